"""MeanFlow: the average velocity between two times, so that one step goes from noise to the picture.

    u(z_t, r, t) = 1 / (t - r)  integral of v(z_s, s) ds from r to t           (Geng et al. 2025, equation 3)
    u = v - (t - r) du/dt           du/dt = v du/dz + du/dt|z                  (equations 6 and 8)

z_t = (1 - t) x + t n as in a rectified flow, to which it comes down at r = t. The derivative goes along the network's
own velocity instead of n - x, which is the mean of it and does not rattle (Geng et al. 2025b, section 4.1). Guidance is
part of what is learnt, so it costs nothing when pictures are drawn.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.denoising import adaptive, logit_normal_times, rows
from figment.nets.backbone import Backbone, BackboneConfig, complete
from figment.nets.embeddings import drop_condition

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99)

# Times are told to the network on a slow scale: its derivative by them would drown in the fast waves of an embedding.
TIME_SCALE = 1 / 16


@dataclass(frozen=True)
class Config(BackboneConfig):
    """How big the network is, and how it is trained."""

    time_mean: float = -0.4
    """Mean of the logit of training times: above, more noise is seen."""
    share_apart: float = 0.25
    """Share of the pictures that learn an average over time; the others learn the velocity of one moment."""
    guidance: float = 1.5
    """How strongly the condition is followed, learnt for good; 1 is the plain model."""
    adaptive_power: float = 0.5
    """How far large errors are kept from deciding alone: 0 is the plain squared error, 1 counts all rows alike."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.time_mean", self.time_mean, -10, 10)
        check_range("family.share_apart", self.share_apart, 0.01, 1)
        check_range("family.guidance", self.guidance, 1, 20)
        check_range("family.adaptive_power", self.adaptive_power, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    steps: int = 1
    """Steps from noise to picture, each as long as the others."""

    CHOICES: ClassVar[Mapping[str, tuple[Any, ...]]] = {"steps": (1, 2, 4)}

    def __post_init__(self):
        check_range("sampling.steps", self.steps, 1, 1000)


class MeanFlowModel(nn.Module):
    """Average velocity u(z_t, r, t) with the faces Generates, Denoises and Jumps."""

    sigma_min, sigma_max = 0.02, 80.0

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        self.spec, self.net = spec, Backbone(config, spec, times=2)

    def velocity(self, z: Tensor, r: Tensor, t: Tensor, condition: Condition | None) -> Tensor:
        """Average from r to t, (B,) each, along the path through z at t: (B, C, H, W)"""
        return self.net(z, condition, TIME_SCALE * t, TIME_SCALE * (t - r))

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        t = sigma / (1 + sigma)
        z = noisy * rows(1 - t, noisy)
        return z - rows(t, noisy) * self.velocity(z, t, t, condition)

    def end(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        t = sigma / (1 + sigma)
        z = noisy * rows(1 - t, noisy)
        return z - rows(t, noisy) * self.velocity(z, torch.zeros_like(t), t, condition)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        z, steps = noise, (settings or Sampling()).steps
        for t, r in pairwise(torch.linspace(1, 0, steps + 1).to(noise)):
            z = z - (t - r) * self.velocity(z, r.expand(len(z)), t.expand(len(z)), condition)  # equation 12
        return z.clamp(-1, 1)


class MeanFlowObjective(Objective[MeanFlowModel]):
    def __init__(self, model: MeanFlowModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        config, x = self.config, batch.images
        n = torch.randn(x.shape).to(x)
        times = [logit_normal_times(len(x), mean=config.time_mean, device=x.device) for _ in range(2)]
        wanted = config.share_apart * len(x)
        # The first rows, which are as random as any; whether a last one is among them, where a part of a row is wanted,
        # a coin decides: so the share holds on the mean however small a slice is.
        coin = torch.rand(1).to(x.device) if wanted % 1 else 0
        is_apart = torch.arange(len(x), device=x.device) + coin < wanted
        apart = math.ceil(wanted)  # those of which it may be true
        t = torch.maximum(*times)
        r = torch.where(is_apart, torch.minimum(*times), t)
        z = x + rows(t, x) * (n - x)
        condition = drop_condition(batch.condition, config.condition_dropout, config.told)
        target = self._target(n - x, z, r, t, condition, apart)
        error = (self.model.velocity(z, r, t, condition) - target).square().flatten(1).mean(1)
        stats = {"error": error.mean()}
        return Loss({"velocity": adaptive(error, config.adaptive_power).mean()}, stats)

    @torch.no_grad()
    def _target(self, v: Tensor, z: Tensor, r: Tensor, t: Tensor, condition: Condition, apart: int) -> Tensor:
        """What u should be: the guided velocity, less (t - r) times its change in the first `apart` rows: (B, C, H, W)

        With u_c and u_0 the network's own velocities, asked and left free, v + (1 - 1/w) (u_c - u_0) leads it to
        w v_c + (1 - w) v_0, whose variance is not larger than that of v (equations 20 and 21, with omega = 1).
        """
        own = self.model.velocity(z, t, t, condition)
        told = any(getattr(condition, kind) is not None for kind in self.config.told)
        if self.config.guidance > 1 and told:
            free = self.model.velocity(z, t, t, drop_condition(condition, 1.0))
            v = v + (1 - 1 / self.config.guidance) * (own - free)
        change = self._change(z[:apart], r[:apart], t[:apart], condition[:apart], own[:apart])
        return torch.cat([v[:apart] - rows((t - r)[:apart], z) * change, v[apart:]])

    def _change(self, z: Tensor, r: Tensor, t: Tensor, condition: Condition, v: Tensor) -> Tensor:
        """du/dt along the path that leaves z with velocity v: one pass of forward-mode differentiation."""

        def u(z: Tensor, r: Tensor, t: Tensor) -> Tensor:
            return self.model.velocity(z, r, t, condition)

        # Fused attention has no forward-mode derivative, and torch warns of its own first use of one.
        with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.func.jvp(u, (z, r, t), (v, torch.zeros_like(r), torch.ones_like(t)))[1]


def build(config: Config, spec: ImageSpec) -> Objective:
    """An average-velocity network for pictures of this spec."""
    config = complete(config, spec)
    return MeanFlowObjective(MeanFlowModel(config, spec), config)
