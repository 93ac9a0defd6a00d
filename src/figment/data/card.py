"""The data room: the card of a dataset, a summary of its index: what it is, how much, and two digests that pin it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from figment.core.config import stamped, to_json
from figment.core.errors import DataError
from figment.core.types import ImageSpec
from figment.data.captions import MAX_BYTES
from figment.data.index import ACCEPTED, IN_ORDER, IS_ACCEPTED, Index
from figment.data.layout import natural
from figment.data.leaks import leaks
from figment.version import VERSION

FORMAT = 1
LATE = "card_is_late"  # state of an index whose labels were changed since its card was written

SPLITS = ("train", "val", "test")

_CAPTION_STEP = 16  # caption lengths are rounded up, so that one longer caption seldom changes a model's shape


def describe(index: Index) -> dict[str, Any]:
    """The card, from the index alone.

    spec: what a model must give; classes only where there are two or more. counts: pictures in each split; balance:
    of each class in it. rejected: pictures by step. enlarged: pictures scaled up. mean, deviation: of each channel,
    0..255. leaks: copies of held-out pictures, where the source held some out. pixel_digest: of all pixels, split by
    split; label_digest: of all that is said about them. It is stamped.

    Raises DataError where no picture is accepted, or they are not all of one size.
    """
    if not index.value(f"select count(*) {ACCEPTED}"):
        raise DataError(f"no picture could be used: {refusals(index) or 'there was none'}")
    spec = _spec(index)
    mean, deviation = _statistics(index, spec.channels)
    counts = dict(index.query(f"select split, count(*) {ACCEPTED} group by split"))
    card = {
        "format": FORMAT,
        "figment": VERSION,
        "spec": to_json(spec),
        "counts": {split: counts[split] for split in SPLITS if split in counts},
        "balance": _balance(index, spec.classes),
        "rejected": dict(index.query("select step, count(*) from images where status = 'rejected' group by step")),
        "enlarged": index.value(f"select count(*) {ACCEPTED} and json_extract(quality, '$.scale') > 1"),
        "mean": mean,
        "deviation": deviation,
        **({"leaks": found} if (found := leaks(index)) else {}),
        "pixel_digest": pixel_digest(index, spec),
        "label_digest": label_digest(index),
        "recipe": index.get_state("recipe"),
    }
    return stamped(card)


def refusals(index: Index, most: int = 3) -> str:
    """The commonest reasons why pictures were refused, in one line."""
    reasons = index.query(
        "select step, reason, count(*) from images where status = 'rejected'"
        " group by step, reason order by count(*) desc, step, reason limit ?",
        most,
    )
    return "; ".join(f"{number:,} by {step} ({reason})" for step, reason, number in reasons)


def _spec(index: Index) -> ImageSpec:
    sizes = _distinct(index, "height, width")
    height, width = sizes[0]
    if len(sizes) > 1:
        raise DataError(f"pictures of {len(sizes)} sizes, most of {height}x{width}: do not skip resize_crop")
    lengths = _distinct(index, "frames, paired")
    frames, paired = lengths[0]
    if len(lengths) > 1:
        raise DataError(f"stills, pairs or sequences of {len(lengths)} lengths: build a dataset of each")
    labels = [label for (label,) in index.query(f"select distinct label {ACCEPTED} and label is not null")]
    attributes = index.query(f"select distinct one.key from images, json_each(attributes) one where {IS_ACCEPTED}")
    longest = index.value(
        f"select max(length(cast(one.value as blob))) from images, json_each(captions) one where {IS_ACCEPTED}"
    )
    return ImageSpec(
        channels=index.value(f"select max(channels) {ACCEPTED}"),
        height=height,
        width=width,
        classes=tuple(sorted(labels, key=natural)) if len(labels) > 1 else (),
        frames=frames,
        paired=bool(paired),
        attributes=tuple(sorted((name for (name,) in attributes), key=natural)),
        caption_bytes=min(MAX_BYTES, math.ceil((longest or 0) / _CAPTION_STEP) * _CAPTION_STEP),
    )


def _distinct(index: Index, columns: str) -> list[tuple[Any, ...]]:
    """The values that some columns have among the accepted pictures, the commonest first."""
    return list(index.query(f"select {columns} {ACCEPTED} group by {columns} order by count(*) desc"))


def _balance(index: Index, classes: Sequence[str]) -> dict[str, dict[str, int]]:
    """split -> class -> pictures, for the splits that there are; empty without classes."""
    counts = {
        (split, label): n for split, label, n in index.query(f"select split, label, count(*) {ACCEPTED} group by 1, 2")
    }
    present = [split for split in SPLITS if any(split == of for of, _ in counts)]
    return {split: {name: counts.get((split, name), 0) for name in classes} for split in present} if classes else {}


def _statistics(index: Index, channels: int) -> tuple[list[float], list[float]]:
    """Mean and deviation of each channel, put together from those of each picture, which all have one size."""
    number = 0
    mean, square = [0.0] * channels, [0.0] * channels
    for (text,) in index.query(f"select quality {ACCEPTED} order by id"):
        number += 1
        quality = json.loads(text)
        means = _widened(quality["mean"], channels, opaque=255.0)
        deviations = _widened(quality["deviation"], channels, opaque=0.0)
        for channel, (m, d) in enumerate(zip(means, deviations, strict=True)):
            mean[channel] += m
            square[channel] += m * m + d * d
    mean, square = [m / number for m in mean], [s / number for s in square]
    deviation = [math.sqrt(max(0.0, s - m * m)) for m, s in zip(mean, square, strict=True)]
    return [round(value, 3) for value in mean], [round(value, 3) for value in deviation]


def _widened(figures: Sequence[float], channels: int, opaque: float) -> list[float]:
    """Figures of a grey or RGB picture as those of the same picture with more channels."""
    colours = list(figures) if len(figures) > 1 or channels == 1 else list(figures) * 3
    return colours + [opaque] * (channels - len(colours))


def pixel_digest(index: Index, spec: ImageSpec) -> str:
    """SHA-256 of all accepted pictures and their splits."""
    state = hashlib.sha256(f"{spec.height}x{spec.width}x{spec.channels}\n".encode())
    for split, digest in index.query(f"select split, pixel_digest {ACCEPTED} {IN_ORDER}"):
        state.update(f"{split}:{digest}\n".encode())
    return state.hexdigest()


def label_digest(index: Index) -> str:
    """SHA-256 of all that is said about accepted pictures, with their keys and splits."""
    state = hashlib.sha256()
    for facts in index.query(f"select split, key, label, attributes, captions {ACCEPTED} {IN_ORDER}"):
        state.update(json.dumps(facts, ensure_ascii=False).encode() + b"\n")
    return state.hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any], name: str = "") -> str | None:
    """The first setting in which two recipes differ, as "steps.min_size.pixels: 8, not 16"; None where they agree."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            if inner := difference(before, after, f"{name}{key}."):
                return inner
        elif before != after:
            return f"{name}{key}: {_brief(before)}, not {_brief(after)}"
    return None


def _brief(value: Any) -> str:
    if isinstance(value, Mapping):
        return "on"
    return "off" if value is None else "'" + ", ".join(value) + "'" if isinstance(value, list) else str(value)
