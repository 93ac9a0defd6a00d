"""Heun's method on the probability-flow ODE: two evaluations a step but one in the last, second order.

Karras et al. 2022, algorithm 1.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 2


def sample(
    denoise: Denoiser, noise: Tensor, sigmas: Tensor, *, noise_at: Callable[[int], Tensor] | None = None
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean."""
    state = noise * sigmas[0]
    for sigma, after in itertools.pairwise(sigmas):
        level = sigma.to(state).expand(len(state))
        slope = (state - denoise(state, level)) / sigma  # line 4
        guess = torch.add(state, slope, alpha=float(after - sigma))  # line 5
        if after > 0:  # line 6: at 0 the slope is not defined, and the Euler step is exact
            slope_after = (guess - denoise(guess, after.to(state).expand(len(state)))) / after
            guess = torch.add(state, (slope + slope_after) / 2, alpha=float(after - sigma))
        state = guess
        yield state
