"""Which pictures somebody wants, and what a run is asked for so that it draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from figment.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from figment.core.checkpoint import LoadedModel
    from figment.core.types import Condition


@dataclass(frozen=True)
class Order:
    """Which pictures to draw: `num` of them, of the seeds from `seed` on; label: a class, "all" in turn, or "none".

    captions: what they show, in turn; "all" then leaves the label open.
    """

    num: int
    label: str
    seed: int
    captions: tuple[str, ...] = ()

    def __post_init__(self):
        if self.num < 1:
            raise ConfigError(f"--num {self.num}: give a number of at least 1")

    @property
    def seeds(self) -> list[int]:
        return list(range(self.seed, self.seed + self.num))


def names_of(loaded: LoadedModel, order: Order) -> list[str]:
    """What each picture is asked to show, in one word or sentence; "" where that is left open."""
    from figment.core.images import interleave
    from figment.evaluate.extract import asked_spec

    if order.captions:
        return [order.captions[turn] for turn in interleave(range(len(order.captions)), order.num)]
    spec = asked_spec(loaded)
    labels = _labels(spec.classes, order)
    return [spec.classes[one] if one >= 0 else "" for one in labels] if labels else [""] * order.num


def condition_of(loaded: LoadedModel, order: Order) -> Condition | None:
    """The labels and captions asked for; None where nothing can be.

    Raises ConfigError for a label or caption that this run cannot be asked for.
    """
    import torch

    from figment.core.types import Condition
    from figment.data.captions import encode_captions
    from figment.evaluate.extract import asked_spec

    spec = asked_spec(loaded)
    for caption in order.captions:
        if not caption.strip():
            raise ConfigError("--caption '': say what to draw, or leave --caption out")
        if not spec.caption_bytes:
            raise ConfigError(f"--caption '{caption}': this model was trained without captions; leave --caption out")
        if len(caption.encode()) > spec.caption_bytes:
            told = f"{len(caption.encode())} bytes of UTF-8, this model reads {spec.caption_bytes}"
            raise ConfigError(f"--caption '{caption}': {told}; give a shorter one")
    labels = _labels(spec.classes, order)
    if labels is None and not order.captions:
        return None
    rows = encode_captions(names_of(loaded, order), spec.caption_bytes).copy() if order.captions else None
    return Condition(
        labels=None if labels is None else torch.tensor(labels),
        captions=None if rows is None else torch.from_numpy(rows),
    )


def _labels(classes: tuple[str, ...], order: Order) -> list[int] | None:
    """The classes asked for, one a picture; None for a model without classes."""
    from figment.core.images import interleave

    label = "none" if order.captions and order.label == "all" else order.label
    if not classes:
        if label not in ("all", "none"):
            raise ConfigError(f"--label {label}: this model was trained without labels; leave --label out")
        return None
    if label == "none":
        return [-1] * order.num
    if label != "all" and label not in classes:
        raise ConfigError(f"--label {label}: no such class{did_you_mean(label, classes)}")
    return interleave(range(len(classes)) if label == "all" else [classes.index(label)], order.num)
