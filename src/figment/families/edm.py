"""EDM: a denoiser at any noise level, its input and output scaled so that the network's task is always of unit size.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)                    (Karras et al. 2022, equation 7)
    loss = lambda |D(x + sigma n; sigma) - x|^2     log sigma normal     (equation 2, weighted; table 1)

For few pictures there is augmentation that does not leak: the network is told what was done to a picture, and that
nothing was when it draws (appendix F.2). The likelihood is that of the probability-flow ODE (Song et al. 2021).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.denoising import log_normal_sigmas, rows
from figment.losses.likelihood import ode_bits_per_dim
from figment.nets.backbone import Backbone, BackboneConfig, complete
from figment.nets.embeddings import drop_condition
from figment.samplers import Sampling, draw

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99)

CHANGES = 7  # numbers that tell what was done to a picture


@dataclass(frozen=True)
class Config(BackboneConfig):
    """How big the network is, and how it is trained."""

    sigma_data: float = 0.5
    """Standard deviation of the pictures, in units of [-1, 1] images: the report of a dataset shows it."""
    sigma_log_mean: float = -1.2
    """Mean of the logarithm of training noise levels: above, more noise is seen, as large pictures need."""
    sigma_log_std: float = 1.2
    """Standard deviation of the logarithm of training noise levels."""
    augment: float = 0.0
    """Probability of each kind of change to a training picture, which the network is told of: 0.1 for few pictures."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.sigma_data", self.sigma_data, 0.01, 10)
        check_range("family.sigma_log_mean", self.sigma_log_mean, -10, 10)
        check_range("family.sigma_log_std", self.sigma_log_std, 0.01, 10)
        check_range("family.augment", self.augment, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


class EdmModel(nn.Module):
    """Preconditioned denoiser with the faces Generates, Denoises and Scores."""

    sigma_min, sigma_max = 0.002, 80.0

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        self.spec, self.sigma_data = spec, config.sigma_data
        self.net = Backbone(config, spec, times=1 + CHANGES if config.augment else 1)

    def denoise(
        self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None, changes: Tensor | None = None
    ) -> Tensor:
        """changes: (B, CHANGES), what was done to the pictures; None for nothing."""
        variance = sigma**2 + self.sigma_data**2
        c_skip, c_out = self.sigma_data**2 / variance, sigma * self.sigma_data / variance.sqrt()
        c_in, c_noise = 1 / variance.sqrt(), sigma.log() / 4
        if changes is None:
            changes = noisy.new_zeros(len(noisy), len(self.net.times) - 1)
        answer = self.net(rows(c_in, noisy) * noisy, condition, c_noise, *changes.unbind(1))
        return rows(c_skip, noisy) * noisy + rows(c_out, noisy) * answer

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return draw(self, noise, condition, settings or Sampling()).clamp(-1, 1)

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        denoise = partial(self.denoise, condition=condition)
        return ode_bits_per_dim(denoise, images, sigma_min=self.sigma_min, sigma_max=self.sigma_max)


class EdmObjective(Objective[EdmModel]):
    def __init__(self, model: EdmModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        config, x, changes = self.config, batch.images, None
        if config.augment and self.training:
            x, changes = augmented(x, config.augment)
        sigma = log_normal_sigmas(len(x), mean=config.sigma_log_mean, std=config.sigma_log_std, device=x.device)
        condition = drop_condition(batch.condition, config.condition_dropout, config.told)
        noisy = x + rows(sigma, x) * torch.randn(x.shape).to(x)
        # lambda = 1 / c_out^2: the error of F then counts alike at every noise level (equation 8).
        weight = (sigma**2 + config.sigma_data**2) / (sigma * config.sigma_data) ** 2
        error = (self.model.denoise(noisy, sigma, condition, changes) - x).square()
        return Loss({"denoise": (rows(weight, x) * error).mean()})


def augmented(images: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Pictures moved about, each kind of change with probability `share`, and what was done to them.

    (B, C, H, W) -> (B, C, H, W) and (B, CHANGES): mirrored twice, log2 of the scale, cos - 1 and sin of the angle, and
    two shifts in parts of the picture; zeros are a picture left alone. Karras et al. 2022, table 6.
    """
    count, (height, width) = len(images), images.shape[-2:]

    def some(values: Tensor) -> Tensor:
        return values * (torch.rand(count) < share)

    mirrors = [some(torch.randint(2, (count,)).float()) for _ in range(2)]
    scale, angle = some(0.2 * torch.randn(count)), some(math.pi * (2 * torch.rand(count) - 1))
    shifts = [some(0.125 * torch.randn(count)) for _ in range(2)]
    (x, y), (cos, sin), shrink = (1 - 2 * mirror for mirror in mirrors), (angle.cos(), angle.sin()), 2.0**-scale
    # affine_grid speaks of [-1, 1] on both axes: the ratio keeps a rotation rigid in non-square pictures.
    across = torch.stack([x * cos * shrink, -y * sin * shrink * height / width, 2 * shifts[0]], 1)
    down = torch.stack([x * sin * shrink * width / height, y * cos * shrink, 2 * shifts[1]], 1)
    theta = torch.stack([across, down], 1).to(images)
    where = F.affine_grid(theta, list(images.shape), align_corners=False)
    moved = F.grid_sample(images, where, mode="bilinear", padding_mode="reflection", align_corners=False)
    return moved, torch.stack([*mirrors, scale, cos - 1, sin, *shifts], 1).to(images)


def build(config: Config, spec: ImageSpec) -> Objective:
    """A preconditioned denoiser for pictures of this spec."""
    config = complete(config, spec)
    return EdmObjective(EdmModel(config, spec), config)
