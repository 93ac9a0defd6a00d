"""Variational autoencoder: encode a picture as a small Gaussian, decode a draw from it, keep it near N(0, I).

    -ELBO = E_q(z|x)[-log p(x|z)] + KL(q(z|x) || N(0, I))         in nats an image (Kingma and Welling 2014, equation 3)

p(x|z) is a Gaussian around the decoded picture, with the one variance that fits the batch best (Rybkin et al. 2021):
that balances the two terms by itself. Labels and attributes go into both halves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.kl import gaussian_kl_nats
from figment.nets.embeddings import ConditionEmbedding, drop_condition
from figment.nets.mlp import plain_mlp

TRAIN = TrainConfig(batch_size=128, lr=1e-3, beta2=0.999)


@dataclass(frozen=True)
class Config:
    """Size of the networks and of the code between them."""

    width: int = 512
    """Units of the hidden layers."""
    depth: int = 2
    """Hidden layers of the encoder, and of the decoder."""
    latents: int = 16
    """Numbers that a picture is encoded as."""
    beta: float = 1.0
    """Weight of the KL term; above 1 latents are simpler and pictures blurrier (Higgins et al. 2017)."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 8192)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.latents", self.latents, 1, 4096)
        check_range("family.beta", self.beta, 0, 1000)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=128, latents=8), "small": cls(), "base": cls(width=1024, depth=3, latents=64)}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    temperature: float = 1.0
    """Standard deviation of the latents that are decoded; below 1 pictures are safer and more alike."""

    CHOICES: ClassVar[Mapping[str, tuple[float, ...]]] = {"temperature": (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)}

    def __post_init__(self):
        check_range("sampling.temperature", self.temperature, 0, 10)


class VaeModel(nn.Module):
    """Encoder and decoder with the faces Encodes and Generates."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.spec, self.latents = spec, config.latents
        self.condition = ConditionEmbedding(spec, config.width // 8)
        size, hidden = math.prod(spec.shape), [config.width] * config.depth
        self.encoder = plain_mlp([size + self.condition.width, *hidden, 2 * config.latents])
        self.decoder = plain_mlp([config.latents + self.condition.width, *hidden, size])

    def posterior(self, images: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> mean and log variance of q(z|x), (B, Z) each"""
        vector = self.condition(condition, len(images))
        mean, log_variance = self.encoder(torch.cat([images.flatten(1), vector], 1)).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def encode(self, images: Tensor) -> Tensor:
        return self.posterior(images, None)[0]

    def decode(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        vector = self.condition(condition, len(latents))
        flat = self.decoder(torch.cat([latents, vector], 1)).float()
        return flat.view(-1, *self.spec.shape)

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        temperature = (settings or Sampling()).temperature
        return self.decode(noise * temperature, condition).clamp(-1, 1)


class VaeObjective(Objective[VaeModel]):
    def __init__(self, model: VaeModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x = batch.images
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        mean, log_variance = self.model.posterior(x, condition)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape).to(mean)
        error = (self.model.decode(z, condition) - x).square()
        # The variance that makes the pictures likeliest is their mean squared error, so it needs no parameter; the
        # floor of half a grey level keeps the density of constant pictures finite.
        variance = error.mean().clamp_min((0.5 / 127.5) ** 2)
        size = x[0].numel()
        reconstruction = 0.5 * (error.flatten(1).sum(1) / variance + size * (2 * math.pi * variance).log())
        kl = gaussian_kl_nats(mean, log_variance)
        stats = {"kl_nats": kl.mean(), "pixel_error": error.mean().sqrt()}
        # Divided by the number of pixels so that one learning rate serves all sizes.
        terms = {"reconstruction": reconstruction.mean() / size, "kl": self.config.beta * kl.mean() / size}
        return Loss(terms, stats)


def build(config: Config, spec: ImageSpec) -> Objective:
    """Encoder and decoder for pictures of this spec."""
    return VaeObjective(VaeModel(spec, config), config)
