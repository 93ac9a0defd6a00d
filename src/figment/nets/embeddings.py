"""Numbers and conditions as vectors: noise levels, labels, attributes."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from figment.core.types import Condition, ImageSpec


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
    """Labels and attributes as one vector: (B, width). Whatever is not given has a vector of its own."""

    def __init__(self, spec: ImageSpec, width: int):
        super().__init__()
        self.width = width
        self.labels = nn.Embedding(spec.num_classes + 1, width) if spec.classes else None
        self.attributes = nn.Linear(2 * len(spec.attributes), width) if spec.attributes else None

    def forward(self, condition: Condition | None, batch_size: int) -> Tensor:
        """A missing condition, or a missing part of it, counts as not given in every row."""
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
        return total


def drop_condition(condition: Condition, share: float) -> Condition:
    """Forget the whole condition of a random `share` of the rows, so that a model also learns to do without."""
    given = next((part for part in (condition.labels, condition.attributes) if part is not None), None)
    if given is None or share == 0:
        return condition
    drop = torch.rand(len(given)).to(given.device) < share
    labels, attributes = condition.labels, condition.attributes
    return Condition(
        labels=None if labels is None else labels.masked_fill(drop, -1),
        attributes=None if attributes is None else attributes.masked_fill(drop[:, None], float("nan")),
    )
