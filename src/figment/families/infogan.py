"""InfoGAN: a part of the noise becomes a code that the picture must give away, and so comes to mean something.

    min_G,Q max_D  V(D, G) - L_I(G, Q)       L_I = E log Q(c | G(z, c)) + H(c)    (Chen et al. 2016, equations 5 and 6)

c is one category and some numbers in [-1, 1]. L_I bounds from below how much a picture tells of its code, in nats. Q
reads codes off generated pictures and shares the critic's convolutions. No label is needed: on MNIST the paper's
category became the digit, its numbers slant and thickness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import (
    category_information_nats,
    non_saturating_critic,
    non_saturating_generator,
    uniform_information_nats,
)
from figment.nets.adversarial import Grower, PlayersConfig, Trunk, Verdict
from figment.nets.embeddings import ConditionEmbedding, Kind, drop_condition, quiet, told_spec

TRAIN = TrainConfig(batch_size=128, optimizer="adam", lr=4e-4, beta1=0.5, beta2=0.999, schedule="constant")

NUMBER_WEIGHT = 0.1  # against the category: the information of numbers has no largest value (Chen et al., appendix C)
MOST_CERTAIN = -6.0  # smallest log variance that Q may claim


@dataclass(frozen=True)
class Config(PlayersConfig):
    """Size of the two players, and of the code."""

    categories: int = 10
    """Values of the code's category; as many as there are kinds of picture."""
    numbers: int = 2
    """Numbers in the code, each in [-1, 1]."""
    information: float = 1.0
    """Weight of the information; higher ties pictures more closely to their code."""
    told: tuple[Kind, ...] = ()
    """What both players are told of a picture; the code then learns what is left open."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.categories", self.categories, 2, 10_000)
        check_range("family.numbers", self.numbers, 0, 1000)
        check_range("family.information", self.information, 0, 100)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, latents=32), "small": cls(), "base": cls(width=64, latents=128)}[scale]


class Generator(nn.Module):
    """Noise, some of it as a code, to pictures, with the face Generates.

    The noise is (latents, categories, numbers) in this order. The largest of the second part is the category; the third
    is mapped to [-1, 1] evenly. So standard normal noise has every code equally often.
    """

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.parts = [config.latents, config.categories, config.numbers]
        self.condition = quiet(ConditionEmbedding(spec, config.latents))
        self.grow = Grower(sum(self.parts) + config.latents, spec.shape, config.width)

    def noise_shape(self) -> tuple[int]:
        return (sum(self.parts),)

    def codes(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The category (B,) int64, and the numbers (B, N) in [-1, 1], of some noise."""
        _, category, numbers = noise.split(self.parts, dim=1)
        return category.argmax(1), torch.erf(numbers / math.sqrt(2))

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        category, numbers = self.codes(noise)
        shown = F.one_hot(category, self.parts[1]).to(noise)
        vector = self.condition(condition, noise.shape[0]).to(noise.device)
        return self.grow(torch.cat([noise[:, : self.parts[0]], shown, numbers, vector], 1))


class Critic(nn.Module):
    """Pictures to a verdict, and to what they tell of their code."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.trunk = Trunk(spec.shape, config.width, "batch")
        self.verdict = Verdict(spec, self.trunk.features)
        self.parts = [config.categories, config.numbers, config.numbers]
        self.read = nn.Linear(self.trunk.features, sum(self.parts))

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        """(B, C, H, W) -> (B, 1), high for real"""
        return self.verdict(self.trunk(images), condition)

    def codes(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q(c | x): logits of the category (B, K), mean and log variance of the numbers (B, N) each"""
        category, mean, log_variance = self.read(self.trunk(images)).float().split(self.parts, dim=1)
        return category, mean, log_variance.clamp(MOST_CERTAIN, -MOST_CERTAIN)


class InfoganObjective(Objective[Generator]):
    def __init__(self, model: Generator, critic: Critic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        readers = ("model", "critic.trunk", "critic.read")
        return (
            Phase("critic", updates=("critic.trunk", "critic.verdict"), loss=self.critic_loss),
            Phase("generator", updates=("model",), loss=self.generator_loss),
            Phase("information", updates=readers, loss=self.information_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        _, fake, condition = self._drawn(batch)
        real, fake = self.config.shown(batch.images), self.config.shown(fake.detach())
        real_logits, fake_logits = self.critic(real, condition), self.critic(fake, condition)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss({"adversarial": non_saturating_critic(real_logits, fake_logits)}, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        _, fake, condition = self._drawn(batch)
        return Loss({"adversarial": non_saturating_generator(self.critic(self.config.shown(fake), condition))})

    def information_loss(self, batch: Batch) -> Loss:
        noise, fake, _ = self._drawn(batch)
        category, numbers = self.model.codes(noise)
        logits, mean, log_variance = self.critic.codes(fake)
        category_nats = category_information_nats(logits, category)
        number_nats = uniform_information_nats(mean, log_variance, numbers)
        terms = {
            "category": -self.config.information * category_nats,
            "numbers": -self.config.information * NUMBER_WEIGHT * number_nats,
        }
        return Loss(terms, {"category_nats": category_nats, "number_nats": number_nats})

    def _drawn(self, batch: Batch) -> tuple[Tensor, Tensor, Condition]:
        """Noise, the pictures that it becomes, and what they show as the real ones do."""
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        noise = torch.randn(len(batch), *self.model.noise_shape()).to(batch.images.device)
        return noise, self.model.generate(noise, condition), condition


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec.

    Raises DataError for pictures that are too small to be halved, ConfigError where `told` has what they lack.
    """
    spec = told_spec(spec, config.told)
    return InfoganObjective(Generator(spec, config), Critic(spec, config), config)
