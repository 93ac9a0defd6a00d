"""Ancestral sampling, as in DDPM: each step draws from the posterior of the next, less noisy picture.

    q(x' | x, x_0) = N(x_0 + (sigma'/sigma)^2 (x - x_0), sigma'^2 (1 - sigma'^2 / sigma^2))

which is Ho et al. 2020, equations 6 and 7, in the variance-exploding form x = x_0 + sigma n, with the estimate D for
x_0. Many call it Euler ancestral; it is `ddim` with eta 1. Fresh noise mends earlier errors, but needs many steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from torch import Tensor

from figment.core.noise import following
from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 1


def sample(
    denoise: Denoiser, noise: Tensor, sigmas: Tensor, *, noise_at: Callable[[int], Tensor] | None = None
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean."""
    state, fresh = noise * sigmas[0], noise_at or following(noise)
    for step, (sigma, after) in enumerate(itertools.pairwise(sigmas)):
        clean = denoise(state, sigma.to(state).expand(len(state)))
        ratio = after / sigma
        state = clean + (state - clean) * ratio**2
        if after > 0:
            state = state + fresh(step) * (after * (1 - ratio**2).sqrt())
        yield state
