"""The data room: copies of held-out pictures among those to train on, where the source itself says which is which.

An official split is kept, whatever is found, because scores are compared on it. The steps that find duplicates refuse
the copy on the training side; what they leave, such as a copy that was restored, is still trained on.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from figment.data.index import Index

MOST_PAIRS = 100  # named in the card

_COPIES = """
    with groups as (
        select pixel_digest, max(duplicate_group) as name from images where duplicate_group is not null group by 1
    ), copied as (
        select pixel_digest from images where pixel_digest is not null group by 1 having count(*) > 1
    )
    select key, coalesce(source_split, 'train'), status, coalesce(duplicate_group, name, images.pixel_digest)
    from images left join groups on groups.pixel_digest = images.pixel_digest
    where (status = 'accepted' or step in ('exact_duplicates', 'near_duplicates'))
        and (duplicate_group is not null or images.pixel_digest in copied)
    order by case source_split when 'test' then 0 when 'val' then 1 else 2 end, status, id
"""


def leaks(index: Index) -> dict[str, Any] | None:
    """What the card says of leaks; None where the source held nothing out.

    refused: copies that are not trained on; kept: copies that are; pairs: of the first of them, its key and that of the
    held-out picture that it is a copy of, or that small changes lead to.
    """
    if not index.value("select 1 from images where source_split in ('val', 'test') limit 1"):
        return None
    first: dict[str, tuple[str, str]] = {}
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for key, side, status, group in index.query(_COPIES):
        held_out, of = first.setdefault(group, (key, side))
        if side != of:
            pairs[status].append((key, held_out))
    kept, refused = pairs["accepted"], pairs["rejected"]
    shown = {"pairs": dict([*kept, *refused][:MOST_PAIRS])} if kept or refused else {}
    return {"refused": len(refused), "kept": len(kept), **shown}
