"""DPM-Solver++ (2M) for the reverse SDE: `dpmpp_2m` with fresh noise at every step, which mends earlier errors.

    x' = D + (sigma'/sigma)^(1 + eta) (x - D) + sigma' sqrt(1 - (sigma'/sigma)^(2 eta)) n

with D extrapolated from the step before. Lu et al. 2022b, SDE-DPM-Solver++(2M), in the variance-exploding form
x = x_0 + sigma n, is eta 1; eta 0 is `dpmpp_2m`. In between is the SDE whose noise has that share of its variance.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from torch import Tensor

from figment.core.noise import following
from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 1


def sample(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    noise_at: Callable[[int], Tensor] | None = None,
    eta: float = 1.0,
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean."""
    state, fresh, before, h_before = noise * sigmas[0], noise_at or following(noise), None, 0.0
    for step, (sigma, after) in enumerate(itertools.pairwise(sigmas)):
        clean = denoise(state, sigma.to(state).expand(len(state)))
        if after == 0:
            state = clean  # lambda = -log(sigma) is infinite here; the first-order step is exact
        else:
            ratio = after / sigma
            h = -float(ratio.log())  # lambda_t - lambda_s
            guess = clean if before is None else clean + (clean - before) * (h / (2 * h_before))
            state = guess + (state - guess) * ratio ** (1 + eta)
            if eta > 0:
                state = state + fresh(step) * (after * (1 - ratio ** (2 * eta)).sqrt())
            before, h_before = clean, h
        yield state
