"""Wasserstein GAN with gradient penalty: the critic measures how far generated pictures are from real ones.

    critic      min  E D(G(z)) - E D(x) + 10 E (|grad D(x')| - 1)^2        (Gulrajani et al. 2017, equation 3)
    generator   min  -E D(G(z))                       x': somewhere between a real and a generated picture

The steepest critic of slope 1 gives the distance by which the heap of generated pictures would have to be moved. It is
trained at every step, the generator at every fifth. The critic has no batch norm: its slope is that of single pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, ImageSpec, Loss, Phase
from figment.losses.adversarial import gradient_penalty, linear_generator, wasserstein_critic
from figment.nets.adversarial import ConvCritic, ConvGenerator, PlayersConfig, drawn

TRAIN = TrainConfig(batch_size=64, optimizer="adam", lr=4e-4, beta1=0.0, beta2=0.9, schedule="constant")

PENALTY = 10.0
CLIP = 0.01


@dataclass(frozen=True)
class Config(PlayersConfig):
    """Size of the two players, and how the critic's slope is kept."""

    critic_steps: int = 5
    """Steps of the critic for each one of the generator: a step of the run is one of the critic."""
    slope: Literal["penalty", "clipping"] = "penalty"
    """How the critic's slope is kept: by the penalty, or by clipping its weights, the historical way."""
    penalty: float | None = None
    """Weight of the penalty; 10 where it is not given."""
    clip: float | None = None
    """Largest weight of the critic with clipping; 0.01 where it is not given."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.critic_steps", self.critic_steps, 1, 100)
        check_range("family.penalty", PENALTY if self.penalty is None else self.penalty, 0, 10_000)
        check_range("family.clip", CLIP if self.clip is None else self.clip, 1e-6, 10)
        for name, way in (("penalty", "penalty"), ("clip", "clipping")):
            if getattr(self, name) is not None and self.slope != way:
                raise ConfigError(
                    f"--family.{name} {getattr(self, name):g}: has no effect on --family.slope {self.slope}; "
                    f"leave it out, or give --family.slope {way}"
                )

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, latents=32), "small": cls(), "base": cls(width=64, latents=128)}[scale]


class WganObjective(Objective[ConvGenerator]):
    def __init__(self, model: ConvGenerator, critic: ConvCritic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("generator", updates=("model",), loss=self.generator_loss, every=self.config.critic_steps),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        self._clip()
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        real, fake = self.config.shown(batch.images), self.config.shown(fake.detach())
        real_logits, fake_logits = self.critic(real, condition), self.critic(fake, condition)
        distance = wasserstein_critic(real_logits, fake_logits)
        terms = {"adversarial": distance}
        if self.config.slope == "penalty":
            critic = partial(self.critic, condition=condition)
            weight = PENALTY if self.config.penalty is None else self.config.penalty
            terms["penalty"] = weight * gradient_penalty(critic, real, fake)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean(), "distance": -distance}
        return Loss(terms, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        self._clip()
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        return Loss({"adversarial": linear_generator(self.critic(self.config.shown(fake), condition))})

    @torch.no_grad()
    def _clip(self) -> None:
        """Back into the box after a step of the critic (Arjovsky et al. 2017, algorithm 1)."""
        if self.config.slope == "clipping":
            most = CLIP if self.config.clip is None else self.config.clip
            for weight in self.critic.parameters():
                weight.clamp_(-most, most)


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec.

    Raises DataError for pictures that are too small to be halved.
    """
    return WganObjective(ConvGenerator(spec, config), ConvCritic(spec, config.width, "none"), config)
