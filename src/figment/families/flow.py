"""Rectified flow: learn the velocity that carries noise to pictures along straight lines, then follow it.

    x_t = (1 - t) x + t n          t in [0, 1], x a picture, n standard normal          (Liu et al. 2022, equation 1)
    loss = |v(x_t, t) - (n - x)|^2                  times as in Esser et al. 2024, section 3.1

Classes, attributes and captions are learnt with classifier-free guidance (Ho and Salimans 2022). Seen from outside the
model is a denoiser: noisy = x + sigma n is x_t / (1 - t) with sigma = t / (1 - t): every sampler and edit runs on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.coupling import transport
from figment.losses.denoising import rows
from figment.losses.likelihood import ode_bits_per_dim
from figment.losses.times import Times, draw_times
from figment.nets.backbone import Backbone, BackboneConfig, complete
from figment.nets.embeddings import drop_condition
from figment.samplers import Sampling, draw

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99)


@dataclass(frozen=True)
class Config(BackboneConfig):
    """How big the network is, and how it is trained."""

    times: Times = "logit_normal"
    """How training times are spread: logit_normal keeps to the middle, mode and cosmap favour it, uniform does not."""
    time_mean: float = 0.0
    """Mean of the logit of logit_normal times: above 0 more noise is seen."""
    coupling: Literal["independent", "transport"] = "independent"
    """Which noise goes with which picture: transport pairs near ones within a class, for drawing in fewer steps."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.time_mean", self.time_mean, -10, 10)
        if self.time_mean and self.times != "logit_normal":
            raise ConfigError(
                f"--family.time-mean {self.time_mean:g}: has no effect on {self.times} times; leave it out, "
                "or give --family.times logit_normal"
            )

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


class FlowModel(nn.Module):
    """Velocity network v(x_t, t) with the faces Generates, Denoises and Scores."""

    sigma_min, sigma_max = 0.02, 80.0

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        self.spec, self.net = spec, Backbone(config, spec)

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        t = sigma / (1 + sigma)
        x_t = noisy * rows(1 - t, noisy)
        return x_t - rows(t, noisy) * self.net(x_t, condition, t)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return draw(self, noise, condition, settings or Sampling()).clamp(-1, 1)

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        # From below sigma_min, which spans several grey levels: what it blurs would have to be paid for.
        denoise = partial(self.denoise, condition=condition)
        return ode_bits_per_dim(denoise, images, sigma_min=0.002, sigma_max=self.sigma_max)


class FlowObjective(Objective[FlowModel]):
    def __init__(self, model: FlowModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x = batch.images
        n = torch.randn(x.shape).to(x)
        t = draw_times(self.config.times, len(x), mean=self.config.time_mean).to(x.device)
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        if self.config.coupling == "transport":
            n = n[transport(x, n, condition)]
        v = self.model.net(x + rows(t, x) * (n - x), condition, t)
        return Loss({"velocity": (v - (n - x)).square().mean()})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A velocity network for pictures of this spec."""
    config = complete(config, spec)
    return FlowObjective(FlowModel(config, spec), config)
