"""A walk among the pictures of a model that comes back to where it began, for films that repeat.

    n(t) = cos(a) c + sin(a) (cos(2 pi t) u + sin(2 pi t) v)        c, u, v: normal noise of the seed's

a circle around c, on which all noise is as likely as any other. Frames are chosen so that each differs from the last
about as much as the others do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.noise import mix, noise
from figment.edits import Answer, Request
from figment.edits._walk import evenly, largest_step, points, repeated, shown_at

NEEDS = (("Generates",),)
INPUTS = ()


@dataclass(frozen=True)
class Config:
    """How long the film is, and how far it goes."""

    frames: int = 48
    """Pictures until it begins again."""
    reach: float = 35.0
    """Radius of the circle in degrees: small ones stay with one picture, 90 is the widest."""

    def __post_init__(self):
        check_range("edit.frames", self.frames, 3, 1000)
        check_range("edit.reach", self.reach, 0.1, 90)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """A loop for each seed: (N, frames, C, H, W)."""
    loops = []
    for row in range(len(request.seeds)):
        draw = shown_at(model, _circle(model, request, row, config), request.condition, request.settings, row)
        loops.append(evenly(draw, config.frames + 1)[:-1])  # the last one is the first
        request.progress(row + 1, len(request.seeds))
    figures = {"largest_step_over_median": max(largest_step(loop) for loop in loops)}
    return Answer(torch.stack(loops), figures=figures)


def _circle(model: Any, request: Request, row: int, config: Config):
    """The place at some times, (T,) -> (T, ...), of a seed's loop."""
    seed, radius = request.seeds[row], math.radians(config.reach)
    centre, first, second = noise([seed, mix(seed, 1), mix(seed, 2)], model)

    def places(times: Tensor) -> Tensor:
        angle = 2 * math.pi * times.view(-1, *[1] * centre.ndim)
        way = math.cos(radius) * centre + math.sin(radius) * (angle.cos() * first + angle.sin() * second)
        return points(model, way, repeated(request.condition, row, len(way)), request.settings)

    return places
