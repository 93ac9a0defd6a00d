"""Numbers and conditions as vectors: noise levels, labels, attributes, captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor, nn

from figment.core.errors import ConfigError
from figment.core.types import Condition, ImageSpec
from figment.nets.attention import Text
from figment.nets.text import TextEncoder, text_width

Kind = Literal["labels", "attributes", "captions"]
KINDS: tuple[Kind, ...] = ("labels", "attributes", "captions")


class FourierEmbedding(nn.Module):
    """A number per row as sines and cosines of octave-spaced frequencies: (B,) -> (B, width)."""

    frequencies: Tensor

    def __init__(self, width: int, max_frequency: float = 256.0):
        super().__init__()
        exponents = torch.linspace(0, math.log(max_frequency), width // 2)
        self.register_buffer("frequencies", exponents.exp(), persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        angle = value.float()[:, None] * self.frequencies
        return torch.cat([angle.sin(), angle.cos()], dim=1)


class ConditionEmbedding(nn.Module):
    """Labels, attributes and captions as one vector: (B, width). Whatever is not given has a vector of its own.

    text: what reads captions, (B, L) uint8 -> Text of text_width(width) channels; None for a TextEncoder.
    """

    def __init__(self, spec: ImageSpec, width: int, text: nn.Module | None = None):
        super().__init__()
        self.width, self.caption_bytes = width, spec.caption_bytes
        self.labels = nn.Embedding(spec.num_classes + 1, width) if spec.classes else None
        self.attributes = nn.Linear(2 * len(spec.attributes), width) if spec.attributes else None
        self.text = (text or TextEncoder(text_width(width))) if spec.caption_bytes else None
        self.caption = nn.Linear(text_width(width), width) if spec.caption_bytes else None

    def forward(self, condition: Condition | None, batch_size: int) -> Tensor:
        """A missing condition, or a missing part of it, counts as not given in every row.

        batch_size: tensor.shape[0], never len(tensor), which would fix the number of rows of an exported graph.
        """
        return self.embed(condition, batch_size)[0]

    def embed(self, condition: Condition | None, batch_size: int) -> tuple[Tensor, Text | None]:
        """The vector, and the tokens of the captions for networks that attend to them; None without captions."""
        condition = condition or Condition()
        parameter = next(self.parameters(), torch.empty(0))
        total = parameter.new_zeros(batch_size, self.width)
        if self.labels is not None:
            unknown = self.labels.num_embeddings - 1
            labels = condition.labels
            if labels is None:
                labels = torch.full((batch_size,), -1, device=parameter.device)
            total = total + self.labels(torch.where(labels < 0, unknown, labels))
        if self.attributes is not None:
            attributes = condition.attributes
            if attributes is None:
                attributes = total.new_full((batch_size, self.attributes.in_features // 2), float("nan"))
            given = ~attributes.isnan()
            total = total + self.attributes(torch.cat([attributes.nan_to_num(0.0), given.float()], dim=1))
        if self.text is None or self.caption is None:
            return total, None
        captions = condition.captions
        if captions is None:
            captions = torch.zeros(batch_size, self.caption_bytes, dtype=torch.uint8, device=parameter.device)
        text = self.text(captions)
        return total + self.caption(text.mean()), text


def quiet(embedding: ConditionEmbedding) -> ConditionEmbedding:
    """The embedding, at first as loud as a one-hot is, for a generator that is given it beside its noise.

    As loud as the noise it drowns that: pictures then differ by what was asked for and by nothing else (JOURNAL.md,
    2026-11-23).
    """
    with torch.no_grad():
        for layer in (embedding.labels, embedding.attributes, embedding.caption):
            for weights in layer.parameters() if layer else ():
                weights.mul_(embedding.width**-0.5)
    return embedding


def told_spec(spec: ImageSpec, told: Sequence[Kind]) -> ImageSpec:
    """The spec without the kinds of condition that a network is not told of.

    Raises ConfigError where one was chosen that the dataset does not have.
    """
    has = {"labels": bool(spec.classes), "attributes": bool(spec.attributes), "captions": bool(spec.caption_bytes)}
    for kind in told:
        if not has[kind] and tuple(told) != KINDS:
            raise ConfigError(f"--family.told {kind}: this dataset has no {kind}; leave it out")
    return replace(
        spec,
        classes=spec.classes if "labels" in told else (),
        attributes=spec.attributes if "attributes" in told else (),
        caption_bytes=spec.caption_bytes if "captions" in told else 0,
    )


def drop_condition(condition: Condition, share: float, told: Sequence[Kind] = KINDS) -> Condition:
    """Forget what a random `share` of the rows asks for, so that a model also learns to do without.

    Of several kinds of condition the other rows keep all or any single one, so that each may also be asked for alone.
    What the network is not told of is left out. The other half of a pair stays: it is what a picture is made from.
    """
    parts = {kind: part for kind in told if (part := getattr(condition, kind)) is not None}
    others = {kind: None for kind in KINDS if kind not in parts}
    if not parts or share == 0:
        return replace(condition, **others)
    batch_size = len(next(iter(parts.values())))
    drop = torch.rand(batch_size) < share
    kept = torch.randint(len(parts) + 1, (batch_size,)) if len(parts) > 1 else torch.zeros(batch_size)
    rest = {
        kind: _forgotten(part, (drop | ((kept != place) & (kept != len(parts)))).to(part.device))
        for place, (kind, part) in enumerate(parts.items())
    }
    return replace(condition, **others, **rest)


def _forgotten(part: Tensor, drop: Tensor) -> Tensor:
    """A part of a condition with some rows, drop (B,) bool, not given: labels -1, attributes NaN, captions 0."""
    value = float("nan") if part.is_floating_point() else 0 if part.dtype == torch.uint8 else -1
    return part.masked_fill(drop.view(-1, *[1] * (part.ndim - 1)), value)
