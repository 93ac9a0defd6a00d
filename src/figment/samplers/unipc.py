"""UniPC: a predictor and a corrector that share one evaluation a step; the best pictures in about ten steps.

Zhao et al. 2023, multistep for the data prediction D, with their B_2(h), here e^-h - 1, and lambda = -log(sigma) in the
variance-exploding form x = x_0 + sigma n. Both halves are the step

    x' = D^ + (sigma'/sigma) (x - D^),        D^ = D + sum_m a_m (D_m - D) / r_m

where the corrector also knows D_m at sigma' itself, as the predictor's answer there. Order 3 is for the plain model,
order 2 for a guided one. It is lower in the first steps, for want of a past, and in the last, for stability.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from figment.samplers import Denoiser

EVALUATIONS_PER_STEP = 1


def sample(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    noise_at: Callable[[int], Tensor] | None = None,
    order: int = 2,
) -> Iterator[Tensor]:
    """noise: (B, C, H, W), standard normal. Yields the corrected state after each step, the last one clean."""
    state, steps = noise * sigmas[0], len(sigmas) - 1
    clean = denoise(state, sigmas[0].to(state).expand(len(state)))
    past: list[tuple[Tensor, Tensor]] = []  # sigma and D of the steps before, newest first
    for step, (sigma, after) in enumerate(itertools.pairwise(sigmas)):
        if after == 0:
            yield clean  # lambda is infinite here; the first-order step is exact
            return
        h, ratio = float((sigma / after).log()), after / sigma
        known = past[: min(order, step + 1, steps - step) - 1]
        r = [float((sigma / level).log()) / h for level, _ in known]
        slopes = [(other - clean) / r_m for (_, other), r_m in zip(known, r, strict=True)]
        guess = clean + _weighted(slopes, r, h)
        predicted = guess + (state - guess) * ratio
        ahead = denoise(predicted, after.to(state).expand(len(state)))
        guess = clean + _weighted([*slopes, ahead - clean], [*r, 1.0], h)
        state = guess + (state - guess) * ratio
        past, clean = [(sigma, clean), *past[: order - 2]] if order > 1 else [], ahead
        yield state


def _weighted(slopes: Sequence[Tensor], r: Sequence[float], h: float) -> Tensor | float:
    """sum_m a_m slope_m, whose weights solve R a = phi / B: the condition of order p of theorem 3.1 and corollary 3.2.

    r: where the slopes were taken, in steps of h from here. One slope alone has the weight 1/2, which meets the
    condition to the order that is needed.
    """
    if len(slopes) <= 1:
        return slopes[0] / 2 if slopes else 0.0
    count, b = math.expm1(-h), []
    phi = count / -h - 1
    for n in range(1, len(r) + 1):
        b.append(phi * math.factorial(n) / count)
        phi = phi / -h - 1 / math.factorial(n + 1)
    powers = torch.tensor([[r_m**n for r_m in r] for n in range(len(r))], dtype=torch.float64)
    weights = torch.linalg.solve(powers, torch.tensor(b, dtype=torch.float64)).tolist()
    return sum(slope * weight for slope, weight in zip(slopes, weights, strict=True))
