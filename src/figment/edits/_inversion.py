"""From a picture to where it lies among those that a model can draw.

A model that denoises is walked backwards: its probability-flow ODE leads from the picture x to noise n as well as from
n to x (Song et al. 2021, "Score-based generative modeling", section 4.3). What the sampler's own steps miss is made up
for by n <- n + E(x) - E(G(n)), E being the way backwards and G the sampler's way.

Any other is asked for the gradient. From the best of some draws, Adam descends to

    min_p  mean (G(p) - x)^2  +  weight * unlikeness to a judge  +  prior * mean ((p - mean) / spread)^2

p is the noise, or, of a model with styles, a style for each layer: the space W+ of Abdal et al. 2019.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from figment.core.noise import mix, noise
from figment.core.types import Condition, Denoises, Encodes, Maps
from figment.edits._seeing import Look, unlikeness
from figment.edits._walk import average, pictures, points, repeated, require_gradient
from figment.samplers import Denoiser, Sampling, guided, karras_sigmas

DRAWS = 64  # to choose a beginning from
LR = 0.1  # of the first step, in spreads of the places
PRIOR = 1e-3
MENDS = 4  # rounds of making up for the sampler's steps


@torch.no_grad()
def inverted(
    model: Any,
    targets: Tensor,
    seeds: Sequence[int],
    condition: Condition | None,
    settings: Any,
    steps: int,
    look: Look | None = None,
) -> Tensor:
    """The places of pictures (B, C, H, W) of the model's size, each sought from its own seed: (B, ...).

    `_walk.pictures` draws from them. Raises CapabilityError for a model that has no gradient.
    """
    if isinstance(model, Denoises):
        return _backwards(model, targets, condition, settings, steps)
    require_gradient(model, settings)
    start = torch.cat(
        [
            _beginning(model, target, seed, repeated(condition, row, DRAWS), settings)
            for row, (target, seed) in enumerate(zip(targets.split(1), seeds, strict=True))
        ]
    )
    return _descended(model, targets, start, condition, settings, steps, look)


def _backwards(model: Any, targets: Tensor, condition: Condition | None, settings: Any, steps: int) -> Tensor:
    denoise = guided(model, condition, settings if isinstance(settings, Sampling) else Sampling())
    each = max(2, steps // (MENDS + 1))  # of the steps, in each round
    sigmas = karras_sigmas(each, model.sigma_min, model.sigma_max)[:-1].flip(0)

    def back(images: Tensor) -> Tensor:
        return _ode_up(denoise, model.encode(images) if isinstance(model, Encodes) else images, sigmas)

    goal = n = back(targets)
    best, least = n, torch.full((len(n),), math.inf)
    for mend in range(MENDS + 1):
        drawn = model.generate(n, condition, settings)
        error = (drawn - targets).square().flatten(1).mean(1)
        better = error < least
        best = torch.where(better.view(-1, *[1] * (n.ndim - 1)), n, best)
        least = torch.where(better, error, least)
        if mend < MENDS:
            n = n + goal - back(drawn)
    return best


def _ode_up(denoise: Denoiser, state: Tensor, sigmas: Tensor) -> Tensor:
    """Heun's method from nearly clean pictures up to pure noise, which is returned in units of its sigma."""
    for sigma, after in pairwise(sigmas):
        slope = (state - denoise(state, sigma.expand(len(state)))) / sigma
        guess = state + (after - sigma) * slope
        slope_after = (guess - denoise(guess, after.expand(len(state)))) / after
        state = state + (after - sigma) * (slope + slope_after) / 2
    return state / sigmas[-1]


def _beginning(model: Any, target: Tensor, seed: int, condition: Condition | None, settings: Any) -> Tensor:
    """The nearest of the places of some draws, of the picture's own code where the model encodes, and of the average
    style: (1, ...)."""
    draws = noise([mix(seed, number) for number in range(DRAWS)], model)
    if isinstance(model, Encodes):
        code = model.encode(target)
        draws = torch.cat([code, draws[1:]]) if code.shape[1:] == draws.shape[1:] else draws
    places = points(model, draws, condition, settings)
    if isinstance(model, Maps):
        places = torch.cat([average(model), places[1:]])
    error = (pictures(model, places, condition, settings) - target).square().flatten(1).mean(1)
    return places[error.argmin()][None]


def _descended(
    model: Any,
    targets: Tensor,
    start: Tensor,
    condition: Condition | None,
    settings: Any,
    steps: int,
    look: Look | None,
) -> Tensor:
    mean, spread = _typical(model, start)
    wanted = None if look is None else look(targets)
    with torch.enable_grad():
        place = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([place], lr=LR * spread, betas=(0.9, 0.99))
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(steps):
            drawn = pictures(model, place, condition, settings)
            loss = (drawn - targets).square().flatten(1).mean(1)
            if look is not None and wanted is not None:
                loss = loss + unlikeness(look(drawn), wanted) / 10
            loss = loss + PRIOR * ((place - mean) / spread).square().flatten(1).mean(1)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            schedule.step()
    return place.detach()


def _typical(model: Any, start: Tensor) -> tuple[Tensor, float]:
    """Mean and standard deviation of the places of a model's pictures."""
    if not isinstance(model, Maps):
        return torch.zeros_like(start[:1]), 1.0
    styles = model.map(noise(range(DRAWS), model))
    return average(model), float((styles - styles.mean(0)).square().mean().sqrt())
