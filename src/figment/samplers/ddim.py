"""DDIM: from deterministic (eta 0, the same as `euler`) to DDPM (eta 1, the same as `ancestral`), first order.

    x' = D + sqrt(sigma'^2 - s^2) (x - D) / sigma + s n,      s = eta sigma' sqrt(1 - sigma'^2 / sigma^2)

Song et al. 2020 (DDIM), equations 12 and 16, divided by sqrt(alpha) to the form x = x_0 + sigma n.
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
    eta: float = 0.0,
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the state after each step, the last one clean."""
    state, fresh = noise * sigmas[0], noise_at or following(noise)
    for step, (sigma, after) in enumerate(itertools.pairwise(sigmas)):
        clean = denoise(state, sigma.to(state).expand(len(state)))
        s = eta * after * (1 - (after / sigma) ** 2).sqrt()
        state = clean + (state - clean) * ((after**2 - s**2).sqrt() / sigma)
        if s > 0:
            state = state + fresh(step) * s
        yield state
