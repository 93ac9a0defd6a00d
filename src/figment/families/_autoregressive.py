"""What the families share that predict a picture value by value: the model, its objective, and how it is sampled.

They differ in the network: how it sees the values before each one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from figment.core.config import check_range
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.distributions import Likelihood, choosing, on_grid, refuse_grey, value_nats
from figment.nets.embeddings import ConditionEmbedding, Kind, drop_condition, told_spec


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    temperature: float = 1.0
    """What the log probabilities of a value are divided by; below 1 likely values are drawn more often."""

    CHOICES: ClassVar[Mapping[str, tuple[float, ...]]] = {"temperature": (0.8, 0.9, 0.95, 1.0)}

    def __post_init__(self):
        check_range("sampling.temperature", self.temperature, 0.01, 10)


class PixelModel(nn.Module):
    """A network that predicts value by value, with the faces Generates, Scores and Completes.

    net: called as net(images, vector) -> what it says of each value, (B, C, H, W, P); net.fill(vector, choose) -> a
    picture, value by value. make_net(width of the condition's vector) builds it.
    """

    def __init__(
        self,
        spec: ImageSpec,
        kind: Likelihood,
        told: Sequence[Kind],
        condition_width: int,
        make_net: Callable[[int], Any],
    ):
        super().__init__()
        self.spec = spec
        self.kind: Likelihood = kind
        self.condition = ConditionEmbedding(told_spec(spec, told), condition_width)
        self.net = make_net(self.condition.width)

    def nats(self, images: Tensor, condition: Condition | None) -> Tensor:
        """-log p(x) of every value given those before it: (B, C, H, W) on the grid -> the same shape"""
        return value_nats(self.kind, images, self.net(images, self.condition(condition, len(images))))

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """Exact."""
        if self.kind == "bernoulli":
            refuse_grey(images)
        return self.nats(on_grid(self.kind, images), condition).flatten(1).mean(1) / math.log(2)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return self.complete(noise, torch.zeros_like(noise, dtype=torch.bool), noise, condition, settings)

    def complete(
        self,
        images: Tensor,
        known: Tensor,
        noise: Tensor,
        condition: Condition | None = None,
        settings: Sampling | None = None,
    ) -> Tensor:
        """Pictures (B, C, H, W) with what is known of them, and the rest drawn, row by row, to match what is before it.

        known: bool, (H, W) or any shape that broadcasts to the pictures. What comes later than a gap is kept, but
        cannot steer what is drawn into it: give the top of a picture rather than its foot.
        """
        temperature, known = (settings or Sampling()).temperature, known.expand_as(images)
        choose = choosing(self.kind, noise, temperature, images, known)
        return torch.where(known, images, self.net.fill(self.condition(condition, len(noise)), choose))


class PixelObjective(Objective[PixelModel]):
    """The nats of each value, averaged. told, condition_dropout: what of the condition the network sees, and how often
    not."""

    def __init__(self, model: PixelModel, told: Sequence[Kind], condition_dropout: float):
        super().__init__(model)
        self.told, self.condition_dropout = told, condition_dropout

    def loss(self, batch: Batch) -> Loss:
        x = on_grid(self.model.kind, batch.images)
        condition = drop_condition(batch.condition, self.condition_dropout, self.told)
        nats = self.model.nats(x, condition).mean()
        return Loss({"nats": nats}, {"nats_per_image": nats * x[0].numel(), "bits_per_dim": nats / math.log(2)})
