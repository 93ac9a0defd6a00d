"""Rectified flow: learn the velocity that carries noise to pictures along straight lines, then follow it.

    x_t = (1 - t) x + t n          t in [0, 1], x a picture, n standard normal          (Liu et al. 2022, equation 1)
    loss = |v(x_t, t) - (n - x)|^2                  times logit-normal (Esser et al. 2024, equation 19)

Classes and attributes are learnt with classifier-free guidance (Ho and Salimans 2022). Seen from outside the model is a
denoiser: noisy = x + sigma n is x_t / (1 - t) with sigma = t / (1 - t), so every sampler and edit runs on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from figment.core import plugins
from figment.core.config import Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.denoising import logit_normal_times, rows
from figment.nets.embeddings import ConditionEmbedding, FourierEmbedding, drop_condition
from figment.nets.mlp import ModulatedMlp
from figment.nets.unet import UNet
from figment.samplers import guided, karras_sigmas, last

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99)


@dataclass(frozen=True)
class Config:
    """How big the network is, and how it is trained."""

    net: Literal["auto", "mlp", "unet"] = "auto"
    """Network; auto takes the MLP for pictures of up to 10x10 pixels, else the U-Net."""
    width: int = 32
    """Channels of the U-Net's first level, later ones have twice as many; the MLP is eight times as wide."""
    depth: int = 1
    """Residual blocks: on each level of the U-Net; the MLP has four times as many in all."""
    patch: int = 1
    """Pixels folded into channels before the U-Net's first level: 2 is twice as fast at 64x64 and up, and coarser."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, which guidance needs."""
    time_mean: float = 0.0
    """Mean of the logit of training times: above 0 more noise is seen."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 1024)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.patch", self.patch, 1, 16)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    sampler: str = "dpmpp_2m"
    """Solver of the differential equation: figment list samplers."""
    steps: int = 18
    """Steps from noise to picture; heun evaluates the network 2 * steps - 1 times, the others once a step."""
    guidance: float = 1.5
    """How strongly the condition is followed; 1 is the plain model."""

    def __post_init__(self):
        check_range("sampling.steps", self.steps, 1, 1000)
        check_range("sampling.guidance", self.guidance, 0, 20)
        plugins.require("samplers", self.sampler)


class FlowModel(nn.Module):
    """Velocity network with the faces Generates and Denoises."""

    sigma_min, sigma_max = 0.02, 80.0

    def __init__(self, net: nn.Module, spec: ImageSpec, condition_width: int):
        super().__init__()
        self.net, self.spec = net, spec
        self.time = nn.Sequential(FourierEmbedding(64), nn.Linear(64, condition_width))
        self.condition = ConditionEmbedding(spec, condition_width)

    def velocity(self, x_t: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
        """x_t (B, C, H, W), t (B,) in [0, 1] -> dx_t/dt, (B, C, H, W)"""
        vector = self.time(t) + self.condition(condition, len(t))
        if isinstance(self.net, ModulatedMlp):
            return self.net(x_t.flatten(1), vector).float().view_as(x_t)
        return self.net(x_t, vector).float()

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        t = sigma / (1 + sigma)
        x_t = noisy * rows(1 - t, noisy)
        return x_t - rows(t, noisy) * self.velocity(x_t, t, condition)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        settings = settings or Sampling()
        sampler: Any = plugins.load("samplers", settings.sampler)
        denoise = guided(self, condition, settings.guidance)
        sigmas = karras_sigmas(settings.steps, self.sigma_min, self.sigma_max)
        return last(sampler.sample(denoise, noise, sigmas)).clamp(-1, 1)


class FlowObjective(Objective[FlowModel]):
    def __init__(self, model: FlowModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x = batch.images
        n = torch.randn(x.shape).to(x)
        t = logit_normal_times(len(x), mean=self.config.time_mean, device=x.device)
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        v = self.model.velocity(x + rows(t, x) * (n - x), t, condition)
        return Loss({"velocity": (v - (n - x)).square().mean()})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A velocity network for pictures of this spec."""
    tiny = spec.height * spec.width <= 100
    condition_width = 8 * config.width
    if config.net == "mlp" or (config.net == "auto" and tiny):
        size = spec.channels * spec.height * spec.width
        net: nn.Module = ModulatedMlp(size, 8 * config.width, 4 * config.depth, condition_width)
    else:
        net = UNet(
            spec.channels,
            (spec.height, spec.width),
            widths=_widths(spec, config.width),
            depth=config.depth,
            patch=config.patch,
            attention_below=8,
            condition_width=condition_width,
        )
    return FlowObjective(FlowModel(net, spec, condition_width), config)


def _widths(spec: ImageSpec, width: int) -> list[int]:
    """Levels down to 8 pixels or fewer: 16x16 has two, 28x28 three, 64x64 four, 256x256 six."""
    side, widths = min(spec.height, spec.width), [width]
    while side > 8:
        side //= 2
        widths.append(2 * width)
    return widths
