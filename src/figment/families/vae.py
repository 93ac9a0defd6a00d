"""Variational autoencoder: encode a picture as a small Gaussian, decode a draw from it, keep it near N(0, I).

    -ELBO = E_q(z|x)[-log p(x|z)] + KL(q(z|x) || N(0, I))         in nats an image (Kingma and Welling 2014, equation 3)
    log p(x) >= E log 1/K sum_k p(x, z_k) / q(z_k|x)              z_k from q(z|x)   (Burda et al. 2016, equation 8)

p(x|z) is a Gaussian around the decoded picture, with the one variance that fits the batch best (Rybkin et al. 2021):
that balances the two terms by itself; or Bernoulli, for black and white, or a discretised logistic. The conditions go
into both halves. Without hidden layers it learns principal components (Lucas et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.engine import whole_batch
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.distributions import (
    bernoulli_nats,
    gaussian_density_nats,
    gaussian_nats,
    logistic_nats,
    on_grid,
    refuse_grey,
)
from figment.losses.kl import free_kl_nats, latent_kl_nats
from figment.losses.likelihood import importance_bits_per_dim
from figment.nets.bottleneck import FlatDecoder, FlatEncoder, GridDecoder, GridEncoder
from figment.nets.embeddings import KINDS, ConditionEmbedding, Kind, drop_condition, told_spec

TRAIN = TrainConfig(batch_size=128, lr=1e-3, beta2=0.999)

CONVOLVE_FROM = 16  # pixels of the shorter side
SMALLEST_VARIANCE = (0.5 / 127.5) ** 2  # half a grey level: keeps the density of constant pictures finite


@dataclass(frozen=True)
class Config:
    """Size of the networks and of the code between them, and what is minimised."""

    net: Literal["auto", "mlp", "conv"] = "auto"
    """Kind of network: auto takes mlp below 16 pixels a side, conv from there on."""
    width: int = 512
    """Units of the hidden layers; conv has a 32nd of it as channels at the picture's own size."""
    depth: int = 2
    """mlp: hidden layers of the encoder, and of the decoder, 0 for principal components; conv: residual blocks on each
    level, one less."""
    latents: int = 16
    """Numbers that a picture is encoded as."""
    likelihood: Literal["gaussian", "bernoulli", "logistic"] = "gaussian"
    """What a decoded picture says of each value: bernoulli is for black and white, logistic for 8 bits."""
    beta: float = 1.0
    """Weight of the KL term; above 1 latents are simpler and pictures blurrier (Higgins et al. 2017)."""
    kl_warmup: int = 0
    """Images over which the KL term grows to its weight, so that latents come into use first; 0: at once."""
    free_bits: float = 0.0
    """Bits of each latent that cost nothing in training, so that few latents collapse (Kingma et al. 2016)."""
    importance_samples: int = 50
    """Draws from q(z|x) for the bound on the likelihood of a picture; 1 is the plain ELBO."""
    told: tuple[Kind, ...] = KINDS
    """What both networks are told of a picture, if the dataset has it; nothing for the plain likelihood."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their condition, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 8192)
        check_range("family.depth", self.depth, 0, 12)
        check_range("family.latents", self.latents, 1, 4096)
        check_range("family.beta", self.beta, 0, 1000)
        check_range("family.kl_warmup", self.kl_warmup, 0)
        check_range("family.free_bits", self.free_bits, 0, 100)
        check_range("family.importance_samples", self.importance_samples, 1, 100_000)
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
    """Encoder and decoder with the faces Encodes, Generates and Scores."""

    variance: Tensor
    log_scale: Tensor

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.spec, self.config = spec, config
        self.condition = ConditionEmbedding(told_spec(spec, config.told), max(1, config.width // 8))
        convolve = config.net == "conv" or (config.net == "auto" and min(spec.height, spec.width) >= CONVOLVE_FROM)
        if convolve and not config.depth:
            raise ConfigError("--family.depth 0: a linear encoder is an mlp; give --family.net mlp as well")
        encoder, decoder = (GridEncoder, GridDecoder) if convolve else (FlatEncoder, FlatDecoder)
        sizes = {"width": config.width, "depth": max(1, config.depth - 1) if convolve else config.depth}
        self.encoder = encoder(spec.shape, 2 * config.latents, self.condition.width, **sizes)
        self.decoder = decoder(spec.shape, config.latents, self.condition.width, **sizes)
        # What p(x|z) has beside the decoded picture: only what the likelihood needs.
        self.register_buffer("variance", torch.ones(()) if config.likelihood == "gaussian" else None)
        scale = nn.Parameter(torch.full((spec.channels, 1, 1), -2.0)) if config.likelihood == "logistic" else None
        self.register_parameter("log_scale", scale)

    def posterior(self, images: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> mean and log variance of q(z|x), (B, Z) each"""
        mean, log_variance = self.encoder(images, self.condition(condition, images.shape[0])).float().chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def decoded(self, latents: Tensor, condition: Condition | None) -> Tensor:
        """(B, Z) -> what p(x|z) is about, (B, C, H, W): means, or the logits of white for bernoulli."""
        return self.decoder(latents, self.condition(condition, latents.shape[0])).float()

    def encode(self, images: Tensor) -> Tensor:
        return self.posterior(images, None)[0]

    def decode(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        decoded = self.decoded(latents, condition)
        return (decoded / 2).tanh() if self.config.likelihood == "bernoulli" else decoded  # 2 P(white) - 1

    def noise_shape(self) -> tuple[int]:
        return (self.config.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        temperature = (settings or Sampling()).temperature
        return self.decode(noise * temperature, condition).clamp(-1, 1)

    def picture_nats(self, images: Tensor, decoded: Tensor) -> Tensor:
        """-log p(x|z), in nats a picture: (B,). images: of grey levels, or black and white for bernoulli."""
        if self.config.likelihood == "bernoulli":
            nats = bernoulli_nats(images, decoded)
        elif self.config.likelihood == "logistic":
            nats = logistic_nats(images, decoded, self.log_scale.clamp(-7, 3))
        else:
            nats = gaussian_nats(images, decoded, self.variance.clamp_min(SMALLEST_VARIANCE))
        return nats.flatten(1).sum(1)

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """A bound from above by `importance_samples` draws, which are derived from each picture."""
        if self.config.likelihood == "bernoulli":
            refuse_grey(images)
        images = on_grid("categorical", images)
        mean, log_variance = self.posterior(images, condition)

        def log_weight(e: Tensor) -> Tensor:
            z = mean + (log_variance / 2).exp() * e
            log_prior_ratio = 0.5 * (e.square() + log_variance - z.square()).sum(1)  # log p(z) / q(z|x)
            return log_prior_ratio - self.picture_nats(images, self.decoded(z, condition))

        return importance_bits_per_dim(images, log_weight, mean.shape[1], count=self.config.importance_samples)


class VaeObjective(Objective[VaeModel]):
    seen_images: Tensor

    def __init__(self, model: VaeModel, config: Config):
        super().__init__(model)
        self.config = config
        self.register_buffer("seen_images", torch.zeros((), dtype=torch.int64))

    def loss(self, batch: Batch) -> Loss:
        x, size = batch.images, batch.images[0].numel()
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        mean, log_variance = self.model.posterior(x, condition)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape).to(mean)
        decoded = self.model.decoded(z, condition)
        reconstruction, kl = self.reconstruction(x, decoded).mean(), latent_kl_nats(mean, log_variance)
        weight = self.config.beta * self.warmth(len(x))
        stats = {
            "kl_nats": kl.sum(1).mean(),
            "nats": reconstruction + kl.sum(1).mean(),
            "pixel_error": (self.model.decode(z, condition) - x).square().mean().sqrt(),
            # Burda et al. 2016, section 5.2: those whose means hardly differ from picture to picture.
            "collapsed_latents": (mean.var(0, correction=0) < 0.01).sum(),
        }
        # Divided by the number of pixels so that one learning rate serves all sizes.
        cost = free_kl_nats(kl, self.config.free_bits * math.log(2))
        return Loss({"reconstruction": reconstruction / size, "kl": weight * cost / size}, stats)

    def reconstruction(self, x: Tensor, decoded: Tensor) -> Tensor:
        """-log p(x|z) in nats a picture, (B,); of the Gaussian its density."""
        if self.config.likelihood != "gaussian":
            is_binary = self.config.likelihood == "bernoulli"
            return self.model.picture_nats(x.clamp(-1, 1) if is_binary else on_grid("categorical", x), decoded)
        # The variance that makes the pictures likeliest is their mean squared error, so it needs no parameter.
        variance = (decoded - x).square().mean().clamp_min(SMALLEST_VARIANCE)
        if self.training:  # a running mean, for the likelihood of single pictures
            count = whole_batch(len(x))
            share = max(0.01, count / (int(self.seen_images) + count))
            self.model.variance.lerp_(variance.detach(), share)
        return gaussian_density_nats(x, decoded, variance).flatten(1).sum(1)

    def warmth(self, count: int) -> float:
        """The share of its weight that the KL term has: it grows with the images seen, and held-out ones get it all."""
        if not self.training:
            return 1.0
        self.seen_images += whole_batch(count)
        return min(1.0, int(self.seen_images) / self.config.kl_warmup) if self.config.kl_warmup else 1.0


def build(config: Config, spec: ImageSpec) -> Objective:
    """Encoder and decoder for pictures of this spec."""
    return VaeObjective(VaeModel(spec, config), config)
