"""Data whose best denoiser and whose paths are known exactly: what samplers are measured against.

Both have the face Denoises. `path` follows the probability-flow ODE without error, from one sigma to another. Below
them, what is measured: errors of paths, and of the spread of samplers that add noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from figment.core import plugins
from figment.core.types import Condition

HIGH, LOW = 20.0, 0.3  # where errors are measured: from nearly pure noise to where a picture's details appear


@dataclass(frozen=True)
class Gaussian:
    """Pictures whose values are independent, N(mean, spread^2)."""

    mean: float = 0.3
    spread: float = 0.5
    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """E[x | x + sigma n] = (spread^2 noisy + sigma^2 mean) / (spread^2 + sigma^2)"""
        variance = sigma.view(-1, 1, 1, 1) ** 2
        return (self.spread**2 * noisy + variance * self.mean) / (self.spread**2 + variance)

    def path(self, state: Tensor, sigma: float, after: float) -> Tensor:
        """A value keeps its z score: (B, C, H, W) at `sigma` -> (B, C, H, W) at `after`."""
        return self.mean + (state - self.mean) * ((self.spread**2 + after**2) / (self.spread**2 + sigma**2)) ** 0.5


@dataclass(frozen=True)
class Points:
    """Pictures of one value, each of `values` as likely as the others."""

    values: tuple[float, ...] = (-0.8, 0.1, 0.7)
    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """E[x | x + sigma n]: the values, weighted by how likely each is to be behind the noisy one; (B, 1, 1, 1)"""
        values = torch.tensor(self.values).to(noisy).view(1, -1, 1, 1)
        weights = torch.softmax(-((noisy - values) ** 2) / (2 * sigma.view(-1, 1, 1, 1) ** 2), dim=1)
        return (weights * values).sum(1, keepdim=True)

    def path(self, state: Tensor, sigma: float, after: float) -> Tensor:
        """A value keeps its quantile, which bisection finds again at `after`; float64 (B, 1, 1, 1) in and out."""
        quantile, room = self._quantile(state, sigma), max(map(abs, self.values)) + 40 * after
        low, high = torch.full_like(state, -room), torch.full_like(state, room)
        for _ in range(80):
            middle = (low + high) / 2
            below = self._quantile(middle, after) < quantile
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return (low + high) / 2

    def _quantile(self, state: Tensor, sigma: float) -> Tensor:
        values = torch.tensor(self.values).to(state).view(1, -1, 1, 1)
        return torch.special.ndtr((state - values) / sigma).mean(1, keepdim=True)


def path_error(data: Gaussian | Points, sampler: str, steps: int, **settings: float) -> float:
    """Largest distance from the exact path after `steps` equal steps of log sigma from 20 to 0.3, in float64.

    A last step to 0 is taken and not counted: it is exact only for pictures without detail finer than its sigma.
    """
    start = torch.linspace(-1.9, 1.9, 33, dtype=torch.float64).view(-1, 1, 1, 1)
    *_, end, _ = plugins.load("samplers", sampler).sample(data.denoise, start, _levels(steps), **settings)
    return float((end - data.path(start * HIGH, HIGH, LOW)).abs().max())


def spread_error(data: Gaussian, sampler: str, steps: int, **settings: float) -> float:
    """How far the standard deviation is from the exact one after the same steps, without drawing anything.

    All is linear in the noise here. So each row is given 1 in place of one of its independent sources and 0 for the
    others: what it ends in is that source's weight, beside the last row, of 0 alone, which ends in the mean.
    """
    sources = torch.eye(steps + 3, dtype=torch.float64)[:, : steps + 2].view(steps + 3, steps + 2, 1, 1, 1)
    start = (data.mean + (data.spread**2 + HIGH**2) ** 0.5 * sources[:, 0]) / HIGH
    found = plugins.load("samplers", sampler).sample(
        data.denoise, start, _levels(steps), noise_at=lambda step: sources[:, step + 1], **settings
    )
    *_, end, _ = found
    *weights, mean = end.flatten()
    return abs(float((torch.stack(weights) - mean).norm()) - (data.spread**2 + LOW**2) ** 0.5)


def _levels(steps: int) -> Tensor:
    shares = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    return torch.cat([HIGH * (LOW / HIGH) ** shares, torch.zeros(1)])
