"""Put every picture into train, val or test: as its source says, else by its content.

Part of the data room. Training sees `train` only; scores are measured on what is held out, `test` or else `val`. Where
the source holds nothing out, a tenth becomes `val`, class by class. The draw is a picture's own digest, so it stays on
its side when pictures are added or renamed, and equal pictures are never on both sides; near duplicates that share a
`duplicate_group` stay together too.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.types import Rejected
from figment.data.index import Index

ORDER = 90
GLOBAL = True

USUAL_SHARE = 0.1


@dataclass(frozen=True)
class Config:
    """How much is held out. Left alone: a tenth as val where the source holds nothing out, else nothing."""

    val: float | None = None
    """Share of the pictures to hold out as val; 0 for none."""
    test: float | None = None
    """Share of the pictures to hold out as test; 0 for none."""

    def __post_init__(self):
        for name, share in (("val", self.val), ("test", self.test)):
            if share is not None:
                check_range(f"split.{name}", share, 0, 0.9)
        if (self.val or 0) + (self.test or 0) > 0.9:
            raise ConfigError(
                f"--split.val {self.val} and --split.test {self.test}: leave a tenth for training at least"
            )


def select(index: Index, config: Config) -> Iterable[Rejected]:
    """Write the split of every accepted picture into the index; refuses none.

    Raises ConfigError where a share is asked for of a split that the source brings.
    """
    pictures = list(
        index.query(
            "select id, label, source_split, coalesce(duplicate_group, pixel_digest) from images"
            " where status = 'accepted'"
        )
    )
    shares = _shares(config, {brought for _, _, brought, _ in pictures})
    classes: dict[str, set[str | None]] = defaultdict(set)
    for _, label, brought, group in pictures:
        if brought not in ("val", "test"):
            classes[group].add(label)
    drawn = assign(classes, shares)
    index.set_splits(
        (id, brought if brought in ("val", "test") else drawn[group]) for id, _, brought, group in pictures
    )
    return ()


def _shares(config: Config, brought: set[str | None]) -> dict[str, float]:
    """The share of each split that is to be drawn."""
    asked = {name: share for name, share in (("test", config.test), ("val", config.val)) if share is not None}
    for name, share in asked.items():
        if name in brought:
            raise ConfigError(f"--split.{name} {share:g}: the source brings its own {name} pictures; leave it out")
    if not asked and not brought & {"val", "test"}:
        return {"val": USUAL_SHARE}
    return asked


def assign(classes: Mapping[str, set[str | None]], shares: Mapping[str, float]) -> dict[str, str]:
    """The split of each group of equal pictures.

    classes: for each group, its digest in hexadecimal, the classes of its members. Every class keeps a group in
    train. As far as it can spare them, it gives one to each split of `shares` in which its share comes to one or more,
    and no split with a share stays empty.
    """
    in_order = sorted(classes)  # digests sort as the numbers that are drawn
    splits = {group: _draw(group, shares) for group in in_order}
    members: dict[str | None, list[str]] = defaultdict(list)
    for group in in_order:
        for label in classes[group]:
            members[label].append(group)
    for groups in members.values():
        if all(splits[group] != "train" for group in groups):
            splits[groups[-1]] = "train"

    num_train = Counter(label for group in in_order if splits[group] == "train" for label in classes[group])

    def hold_out(groups: list[str], name: str) -> None:
        for group in groups:
            if splits[group] == "train" and all(num_train[label] > 1 for label in classes[group]):
                splits[group] = name
                num_train.subtract(classes[group])
                return

    for name, share in shares.items():
        for groups in members.values():
            if len(groups) * share >= 1 and all(splits[group] != name for group in groups):
                hold_out(groups, name)
        if share and name not in splits.values():
            hold_out(in_order, name)
    return splits


def _draw(group: str, shares: Mapping[str, float]) -> str:
    """The split that a digest falls into, when [0, 1) is cut into the shares and the rest."""
    number = int(group[:16], 16) / 16**16
    for name, share in shares.items():
        if number < share:
            return name
        number -= share
    return "train"
