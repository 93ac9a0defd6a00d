"""Generative adversarial network, as in the textbook: a generator and a critic, both MLPs, play against each other.

    critic      min  -log D(x) - log(1 - D(G(z)))         (Goodfellow et al. 2014, equation 1)
    generator   min  -log D(G(z))                         (the non-saturating form of section 3)

Two phases with an optimizer each; only the generator is shipped. Labels and attributes are shown to both players
(Mirza and Osindero 2014). Other losses than these two are a setting.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import Game, critic_loss, generator_loss
from figment.nets.adversarial import drawn
from figment.nets.embeddings import ConditionEmbedding, quiet
from figment.nets.mlp import plain_mlp

TRAIN = TrainConfig(batch_size=128, optimizer="adam", lr=4e-4, beta1=0.5, beta2=0.999, schedule="constant")


@dataclass(frozen=True)
class Config:
    """Size of the two players."""

    width: int = 512
    """Units of the hidden layers."""
    depth: int = 3
    """Hidden layers of each player."""
    latents: int = 64
    """Length of the noise vector."""
    critic_dropout: float = 0.3
    """Share of the critic's units that are hidden from it at a time, which keeps it from winning early."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""
    loss: Game = "non_saturating"
    """What the two minimise: minimax is the first idea, the others keep a gradient where the critic wins."""
    label_smoothing: float = 0.0
    """How far below 1 the critic's target for real pictures is, 0.1 for instance; hinge has no targets."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 8192)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.latents", self.latents, 1, 4096)
        check_range("family.critic_dropout", self.critic_dropout, 0, 0.9)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)
        check_range("family.label_smoothing", self.label_smoothing, 0, 0.5)
        if self.label_smoothing and self.loss == "hinge":
            raise ConfigError(
                f"--family.label-smoothing {self.label_smoothing:g}: has no effect on hinge; leave it out, "
                "or give --family.loss non_saturating"
            )

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=128, depth=2, latents=16), "small": cls(), "base": cls(width=1024, latents=128)}[
            scale
        ]


class Generator(nn.Module):
    """Noise and condition to pictures, with the face Generates."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.spec, self.latents = spec, config.latents
        self.condition = quiet(ConditionEmbedding(spec, config.latents))
        self.net = plain_mlp([2 * config.latents, *[config.width] * config.depth, math.prod(spec.shape)])

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        vector = self.condition(condition, noise.shape[0]).to(noise.device)
        return self.net(torch.cat([noise, vector], 1)).float().tanh().view(-1, *self.spec.shape)


class Critic(nn.Module):
    """Pictures and condition to logits, high for real."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.condition = ConditionEmbedding(spec, config.latents)
        self.net = plain_mlp([math.prod(spec.shape) + config.latents, *[config.width] * config.depth, 1])
        self.dropout = nn.Dropout(config.critic_dropout)

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        """(B, C, H, W) -> (B, 1)"""
        vector = self.condition(condition, images.shape[0]).to(images.device)
        hidden = torch.cat([images.flatten(1), vector], 1)
        for layer in self.net:
            hidden = layer(hidden)
            if isinstance(layer, nn.LeakyReLU):
                hidden = self.dropout(hidden)
        return hidden.float()


class GanObjective(Objective[Generator]):
    def __init__(self, model: Generator, critic: Critic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("generator", updates=("model",), loss=self.generator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        real_logits, fake_logits = self.critic(batch.images, condition), self.critic(fake.detach(), condition)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        loss = critic_loss(self.config.loss, real_logits, fake_logits, self.config.label_smoothing)
        return Loss({"adversarial": loss}, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        return Loss({"adversarial": generator_loss(self.config.loss, self.critic(fake, condition))})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec."""
    return GanObjective(Generator(spec, config), Critic(spec, config), config)
