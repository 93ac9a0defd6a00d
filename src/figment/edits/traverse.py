"""Walk from a picture along the directions in which the model's pictures change most, one after another.

For styles, principal components of them; for noise of few numbers, the directions that change pictures most; for a
model that denoises, what is still open at some noise about the picture. A model that has codes (infogan) shows those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.noise import noise
from figment.core.types import Denoises, Maps
from figment.edits import Answer, Request
from figment.edits._directions import noise_axes, open_axes, style_axes
from figment.edits._drawing import finish, sampling_of, shown
from figment.edits._walk import pictures, points, repeated, require_gradient
from figment.samplers import Denoiser, guided, states

NEEDS = (("Generates",),)
INPUTS = ()

OPEN_AT = 0.8  # share of noise at which what is open is asked for: later, only details are


@dataclass(frozen=True)
class Config:
    """How many directions, how far and how finely."""

    directions: int = 5
    """Directions, from the one that changes most."""
    stops: int = 9
    """Pictures along each; the middle one is the seed's own, but for codes, which are set."""
    reach: float = 2.0
    """How far to both sides, in standard deviations."""
    level: float | None = None
    """For runs that denoise: share of noise, 0 to 1, at which directions are sought; 0.8 where it is not given. Higher
    for the whole picture, lower for details."""

    def __post_init__(self):
        check_range("edit.directions", self.directions, 1, 100)
        check_range("edit.stops", self.stops, 2, 1000)
        check_range("edit.reach", self.reach, 0, 20)
        if self.level is not None:
            check_range("edit.level", self.level, 0.01, 0.99)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """All directions of each seed below each other, moving: (N, stops, C, directions H, W).

    The extra "sheet" shows the same as one picture a seed, stops from left to right.
    """
    if config.level is not None and not isinstance(model, Denoises):
        raise ConfigError(f"--edit.level {config.level:g}: is of runs that denoise; leave it out")
    walks = []
    for row in range(len(request.seeds)):
        walks.append(torch.stack(list(_rows(model, request, row, config))))  # (directions, stops, C, H, W)
        request.progress(row + 1, len(request.seeds))
    each = torch.stack(walks)
    moving = each.permute(0, 2, 3, 1, 4, 5).flatten(3, 4)
    return Answer(moving, extras={"sheet": each.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)})


def _rows(model: Any, request: Request, row: int, config: Config) -> Iterator[Tensor]:
    """The pictures along each direction, (stops, C, H, W)."""
    if isinstance(model, Denoises):
        yield from _of_what_is_open(model, request, row, config)
        return
    require_gradient(model, request.settings)
    start = noise(request.seeds[row : row + 1], model)
    asked = repeated(request.condition, row, config.stops)
    for places in _ways(model, start, request, row, config):
        yield pictures(model, places, asked, request.settings)


def _ways(model: Any, start: Tensor, request: Request, row: int, config: Config) -> Iterator[Tensor]:
    """The places along each direction, (stops, ...)."""
    stops, condition = _stops(config), repeated(request.condition, row, 1)
    if hasattr(model, "codes") and hasattr(model, "parts"):
        yield from islice(_codes(model.parts, start, stops), config.directions)
        return
    if isinstance(model, Maps):
        start, axes = points(model, start, condition, request.settings), style_axes(model, config.directions)
    else:
        axes = noise_axes(model, config.directions, condition)
    for axis in axes:
        yield start + _along(stops, axis) * axis


def _codes(parts: list[int], start: Tensor, stops: Tensor) -> Iterator[Tensor]:
    """The values of the category from the first to the last, then each number from one end to the other."""
    latents, categories, numbers = parts
    category = start.repeat(len(stops), 1)
    chosen = torch.linspace(0, categories - 1, len(stops)).round().long()
    category[:, latents : latents + categories] = torch.eye(categories)[chosen]
    yield category
    for place in range(latents + categories, latents + categories + numbers):
        number = start.repeat(len(stops), 1)
        number[:, place] = stops
        yield number


def _of_what_is_open(model: Any, request: Request, row: int, config: Config) -> Iterator[Tensor]:
    """The seed's picture is drawn until some noise is left; there it is moved, and drawn to the end."""
    settings, begin = sampling_of(request), noise(request.seeds[row : row + 1], model)
    sigmas, share = settings.sigmas(model), OPEN_AT if config.level is None else config.level
    step = int((sigmas / (1 + sigmas) > share).sum().clamp(1, len(sigmas) - 2))
    *_, state = islice(states(model, begin, repeated(request.condition, row, 1), settings), step)

    def denoiser(count: int) -> Denoiser:
        return guided(model, repeated(request.condition, row, count), settings)

    axes = open_axes(denoiser(config.directions), state, sigmas[step], config.directions)
    stops = _stops(config)
    for axis in axes:
        moved = state + _along(stops, axis) * axis
        drawn = finish(denoiser(len(moved)), moved, sigmas[step:], begin.expand_as(moved), settings)
        yield shown(model, drawn)


def _stops(config: Config) -> Tensor:
    """(stops,), in standard deviations."""
    return torch.linspace(-config.reach, config.reach, config.stops)


def _along(stops: Tensor, axis: Tensor) -> Tensor:
    return stops.view(-1, *[1] * axis.ndim)
