"""DPM-Solver++ (2M): one evaluation a step, second order by remembering the step before. Stays stable under guidance.

Lu et al. 2022b, algorithm 2, for the data prediction D in the variance-exploding form x = x_0 + sigma n, where
lambda = -log(sigma).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from torch import Tensor

from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 1


def sample(
    denoise: Denoiser, noise: Tensor, sigmas: Tensor, *, noise_at: Callable[[int], Tensor] | None = None
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean."""
    state, before, h_before = noise * sigmas[0], None, 0.0
    for sigma, after in itertools.pairwise(sigmas):
        clean = denoise(state, sigma.to(state).expand(len(state)))
        if after == 0:
            state = clean  # lambda is infinite here; the first-order step is exact
        else:
            h = float((sigma / after).log())  # lambda_t - lambda_s
            guess = clean if before is None else clean + (clean - before) * (h / (2 * h_before))
            state = state * (after / sigma) + guess * (1 - after / sigma)
            before, h_before = clean, h
        yield state
