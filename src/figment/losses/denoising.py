"""Times and noise levels at which denoisers are trained, and how their errors are weighted."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def logit_normal_times(
    count: int, *, mean: float = 0.0, std: float = 1.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Times in (0, 1), most of them in the middle: (count,). Esser et al. 2024, equation 19."""
    return torch.sigmoid(mean + std * torch.randn(count)).to(device)


def log_normal_sigmas(count: int, *, mean: float, std: float, device: torch.device | str = "cpu") -> Tensor:
    """Noise levels whose logarithm is normal: (count,). Karras et al. 2022, table 1, noise distribution."""
    return torch.exp(mean + std * torch.randn(count)).to(device)


def pseudo_huber(first: Tensor, second: Tensor) -> Tensor:
    """A distance that is square where it is small and straight where it is large: (B, ...) twice -> (B,).

    Song and Dhariwal 2023, equation 7, with the c that they found for pictures of any size.
    """
    difference = (first - second).flatten(1)
    c = 0.00054 * math.sqrt(difference.shape[1])
    return (difference.square().sum(1) + c**2).sqrt() - c


def adaptive(squared_error: Tensor, power: float) -> Tensor:
    """Squared errors, each divided by its own size to the `power`: (B,) -> (B,). Geng et al. 2025, equation 22.

    0 leaves them alone; 1 gives every row a gradient of the same length, whatever its error.
    """
    return squared_error / (squared_error.detach() + 1e-3) ** power


def rows(values: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), ready to multiply `like`."""
    return values.view(-1, *[1] * (like.ndim - 1))
