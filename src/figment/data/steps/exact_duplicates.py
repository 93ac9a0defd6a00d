"""Refuse pictures whose pixels, after all other steps, are those of another: one of each is kept.

Part of the data room. A copy held out for testing is kept before one for training, so that no official test picture is
lost and none is trained on; otherwise the first is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from figment.core.types import Rejected
from figment.data.index import Index

ORDER = 60
GLOBAL = True


@dataclass(frozen=True)
class Config:
    """Equal is equal: nothing to set."""


def select(index: Index, config: Config) -> Iterable[Rejected]:
    """One Rejected for every copy but the best of each group; the reason names the one that is kept."""
    copies = index.query(
        """
        select key, label, pixel_digest from images
        where status = 'accepted' and pixel_digest in
            (select pixel_digest from images where status = 'accepted' group by pixel_digest having count(*) > 1)
        order by pixel_digest, case source_split when 'test' then 0 when 'val' then 1 else 2 end, id
        """
    )
    kept: dict[str, tuple[str, str | None]] = {}
    for key, label, digest in copies:
        if digest not in kept:
            kept[digest] = key, label
            continue
        kept_key, kept_label = kept[digest]
        other = "" if label == kept_label else f", which is labelled '{kept_label}' and not '{label}'"
        yield Rejected(key, "exact_duplicates", f"same pixels as {kept_key}{other}")
