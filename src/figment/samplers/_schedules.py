"""Which noise levels to visit: pure functions of (steps, sigma_min, sigma_max), each a falling (steps + 1,), 0 last."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels closer together the lower they are.

    Karras et al. 2022, equation 5. Equal steps of flow time would begin with a leap that second-order solvers
    do not survive: with 9 of them Heun's pictures fall apart.
    """
    return _between(steps, sigma_max, sigma_min, lambda sigma: sigma ** (1 / rho), lambda root: root**rho)


def log_snr_sigmas(steps: int, sigma_min: float, sigma_max: float) -> Tensor:
    """Equal steps of the log signal-to-noise ratio -2 log(sigma): a geometric sequence (Song and Ermon 2019)."""
    return _between(steps, sigma_max, sigma_min, torch.log, torch.exp)


def flow_sigmas(steps: int, sigma_min: float, sigma_max: float, shift: float = 1.0) -> Tensor:
    """Equal steps of flow time t = sigma / (1 + sigma), moved towards noise by `shift`.

    t' = shift t / (1 + (shift - 1) t), Esser et al. 2024, equation 23, which is sigma' = shift sigma. A picture of m
    pixels is as noisy to the eye as one of n at shift = sqrt(m / n). The ends stay where they are.
    """
    return _between(
        steps, sigma_max, sigma_min, lambda sigma: sigma / (shift + sigma), lambda time: shift * time / (1 - time)
    )


def _between(
    steps: int, high: float, low: float, there: Callable[[Tensor], Tensor], back: Callable[[Tensor], Tensor]
) -> Tensor:
    """`steps` levels from high to low, equally far apart where `there` takes them, then 0; float32."""
    first, end = there(torch.tensor([high, low], dtype=torch.float64))
    levels = back(first + torch.linspace(0, 1, steps, dtype=torch.float64) * (end - first))
    return torch.cat([levels, torch.zeros(1, dtype=torch.float64)]).float()


def step_of(log_sigmas: Tensor, sigma: Tensor) -> Tensor:
    """The step of a schedule at which pictures are this noisy, between two steps where log(sigma) lies: (B,) -> (B,).

    log_sigmas: (steps,), rising.
    """
    s = sigma.log()
    after = torch.searchsorted(log_sigmas, s.contiguous()).clamp(1, len(log_sigmas) - 1)
    low, high = log_sigmas[after - 1], log_sigmas[after]
    return after - 1 + ((s - low) / (high - low)).clamp(0, 1)
