"""Autoencoder: squeeze a picture through a small grid of codes and rebuild it, from a clean or a damaged view.

    z = E(x + s n),  n standard normal          s > 0: a denoising autoencoder (Vincent et al. 2008)
    loss = |D(z + c m) - x|,  m standard normal

Codes are standardised by running statistics, so a little noise c on them (in training alone) limits how much they may
say, and makes neighbouring codes mean similar pictures: what `latent` and interpolation need. A mixture of Gaussians is
fitted to them along the way, so that it can also draw, if only roughly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.nets.codec import Decoder, Encoder
from figment.nets.mixture import Mixture

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99, ema_half_life=10_000)


@dataclass(frozen=True)
class Config:
    """Size of the codes and of the network."""

    width: int = 32
    """Channels at the picture's own size; lower levels have up to four times as many."""
    depth: int = 1
    """Residual blocks on each level."""
    downscale: int = 0
    """Pixels a side that become one code, a power of 2; 0: 2 up to 20 pixels, 4 up to 128, 8 above."""
    code_channels: int = 4
    """Numbers in a code."""
    code_noise: float = 0.1
    """Standard deviation of noise on the codes in training, whose own is 1."""
    noise: float = 0.0
    """Standard deviation of noise on the pictures that are encoded, in units of [-1, 1] images."""
    error: Literal["l1", "l2"] = "l1"
    """What is minimised: l1 keeps edges sharper, l2 gives the best PSNR."""
    components: int = 40
    """Gaussians of the mixture that pictures are drawn from; classes share them."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 1024)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.downscale", self.downscale, 0, 64)
        check_range("family.code_channels", self.code_channels, 1, 64)
        check_range("family.code_noise", self.code_noise, 0, 1)
        check_range("family.noise", self.noise, 0, 2)
        check_range("family.components", self.components, 1, 1000)

    def check_new(self) -> None:
        if self.downscale & (self.downscale - 1):  # earlier runs took the nearest one
            raise ConfigError(f"--family.downscale {self.downscale}: give a power of 2, such as 4")

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    temperature: float = 0.8
    """Deviation of codes around the middle of their Gaussian, 1 as they were found; below 1 pictures are safer."""

    CHOICES: ClassVar[Mapping[str, tuple[float, ...]]] = {"temperature": (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)}

    def __post_init__(self):
        check_range("sampling.temperature", self.temperature, 0, 10)


class AutoencoderModel(nn.Module):
    """Encoder, decoder and a mixture over codes with the faces Encodes and Generates."""

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        levels = round(math.log2(config.downscale or _downscale(min(spec.height, spec.width))))
        sizes = {"width": config.width, "levels": levels, "depth": config.depth}
        self.encoder = Encoder(spec.channels, config.code_channels, **sizes)
        self.standardize = nn.BatchNorm2d(config.code_channels, affine=False)
        self.decoder = Decoder(config.code_channels, spec.channels, (spec.height, spec.width), **sizes)
        self.code_shape = (config.code_channels, -(-spec.height // 2**levels), -(-spec.width // 2**levels))
        floor = max(config.code_noise, 0.01) ** 2  # finer than the noise there is nothing to know
        self.prior = Mixture(math.prod(self.code_shape), config.components, spec.num_classes, floor=floor)

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> codes (B, code_channels, h, w), each channel with mean 0 and deviation 1 over the dataset."""
        return self.standardize(self.encoder(images).float())

    def decode(self, latents: Tensor) -> Tensor:
        return self.decoder(latents).float().clamp(-1, 1)

    def noise_shape(self) -> tuple[int]:
        return self.prior.noise_shape()

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        labels = condition.labels if condition else None
        codes = self.prior.draw(noise, labels, (settings or Sampling()).temperature)
        return self.decode(codes.view(-1, *self.code_shape))


class AutoencoderObjective(Objective[AutoencoderModel]):
    def __init__(self, model: AutoencoderModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x, s, c = batch.images, self.config.noise, self.config.code_noise
        z = self.model.encode(x + s * torch.randn(x.shape).to(x) if s else x)
        noisy = z + c * torch.randn(z.shape).to(z) if self.training else z
        if self.training:
            self.model.prior.observe(z.detach().flatten(1), batch.condition.labels)
        error = self.model.decoder(noisy).float() - x
        squared = error.square().mean()
        psnr = 10 * torch.log10(4 / squared.detach().clamp_min(1e-10))  # the range of [-1, 1] is 2
        return Loss({"error": error.abs().mean() if self.config.error == "l1" else squared}, {"psnr": psnr})


def build(config: Config, spec: ImageSpec) -> Objective:
    """An autoencoder for pictures of this spec; only its mixture takes notice of labels."""
    return AutoencoderObjective(AutoencoderModel(config, spec), config)


def _downscale(side: int) -> int:
    return 2 if side <= 20 else 4 if side <= 128 else 8
