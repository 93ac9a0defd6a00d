"""Times and noise levels at which denoisers are trained."""

from __future__ import annotations

import torch
from torch import Tensor


def logit_normal_times(
    count: int, *, mean: float = 0.0, std: float = 1.0, device: torch.device | str = "cpu"
) -> Tensor:
    """Times in (0, 1), most of them in the middle: (count,). Esser et al. 2024, equation 19."""
    return torch.sigmoid(mean + std * torch.randn(count)).to(device)


def rows(values: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, ...), ready to multiply `like`."""
    return values.view(-1, *[1] * (like.ndim - 1))
