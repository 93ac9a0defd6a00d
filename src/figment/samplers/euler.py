"""Euler's method on the probability-flow ODE: one evaluation a step, first order.

dx/dsigma = (x - D(x, sigma)) / sigma (Karras et al. 2022, equation 1 with s(t) = 1, sigma(t) = t).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 1


def sample(
    denoise: Denoiser, noise: Tensor, sigmas: Tensor, *, noise_at: Callable[[int], Tensor] | None = None
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean."""
    state = noise * sigmas[0]
    for sigma, after in itertools.pairwise(sigmas):
        level = sigma.to(state).expand(len(state))
        slope = (state - denoise(state, level)) / sigma
        state = torch.add(state, slope, alpha=float(after - sigma))
        yield state
