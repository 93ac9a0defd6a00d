"""Heun's method on the probability-flow ODE: two evaluations a step but one in the last, second order.

Karras et al. 2022, algorithm 2: with churn, each step first stirs in fresh noise, which mends what earlier steps got
wrong. Without churn, which is the default, it is their algorithm 1 and deterministic.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from figment.core.noise import following
from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 2


def sample(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    noise_at: Callable[[int], Tensor] | None = None,
    churn: float = 0.0,
    churn_low: float = 0.0,
    churn_high: float = math.inf,
    churn_noise: float = 1.0,
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean.

    churn, churn_low, churn_high, churn_noise: S_churn, S_tmin, S_tmax and S_noise of the paper.
    """
    state, fresh, most = noise * sigmas[0], noise_at or following(noise), min(churn / (len(sigmas) - 1), 2**0.5 - 1)
    for step, (before, after) in enumerate(itertools.pairwise(sigmas)):
        gamma = most if churn_low <= before <= churn_high else 0.0
        sigma = before * (1 + gamma)  # line 5
        if gamma > 0:
            state = state + fresh(step) * (churn_noise * (sigma**2 - before**2).sqrt())  # line 6
        slope = (state - denoise(state, sigma.to(state).expand(len(state)))) / sigma  # line 7
        guess = torch.add(state, slope, alpha=float(after - sigma))  # line 8
        if after > 0:  # line 9: at 0 the slope is not defined, and the Euler step is exact
            slope_after = (guess - denoise(guess, after.to(state).expand(len(state)))) / after
            guess = torch.add(state, (slope + slope_after) / 2, alpha=float(after - sigma))
        state = guess
        yield state
