"""Walk from picture to picture, through pictures.

Between seeds, in their order, or between given photos, which are inverted first (see `invert`). Noise is walked along
the sphere, styles of a model that has them along straight lines. Frames are chosen so that each differs from the last
about as much as the others do. The walk shows what the first seed is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.noise import noise
from figment.core.types import Maps
from figment.edits import Answer, Request
from figment.edits._drawing import fitted
from figment.edits._inversion import inverted
from figment.edits._walk import evenly, largest_step, points, repeated, shown_at, slerp

NEEDS = (("Generates",),)
INPUTS = ("images?",)


@dataclass(frozen=True)
class Config:
    """How finely."""

    frames: int = 24
    """Pictures from one end to the next, both included."""
    steps: int = 200
    """Of finding given photos among what the model can draw; more come nearer to them."""

    def __post_init__(self):
        check_range("edit.frames", self.frames, 3, 1000)
        check_range("edit.steps", self.steps, 1, 100_000)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """One walk through all ends: (1, T, C, H, W)."""
    ends = _ends(model, request, config)
    is_style, legs = isinstance(model, Maps), []
    for number, (start, end) in enumerate(pairwise(ends)):

        def places(times: Tensor, start: Tensor = start, end: Tensor = end) -> Tensor:
            if is_style:
                return torch.stack([start.lerp(end, float(time)) for time in times])
            return slerp(start, end, times)

        leg = evenly(shown_at(model, places, request.condition, request.settings, row=0), config.frames)
        legs.append(leg[1:] if number else leg)
        request.progress(number + 1, len(ends) - 1)
    frames = torch.cat(legs)
    return Answer(frames[None], figures={"largest_step_over_median": largest_step(frames)})


def _ends(model: Any, request: Request, config: Config) -> Tensor:
    """The places that the walk goes through, (K, ...)."""
    if request.images:
        photos = torch.cat([fitted(image, request.spec) for image in request.images])
        if len(photos) < 2:
            raise ConfigError("interpolate: goes from picture to picture, 1 was given; give two or more, or none")
        asked = repeated(request.condition, 0, len(photos))
        seeds = request.seeds[:1] * len(photos)
        return inverted(model, photos, seeds, asked, request.settings, config.steps)
    if len(request.seeds) < 2:
        raise ConfigError("interpolate: goes from seed to seed; give --num 2 or more, or two pictures")
    asked = repeated(request.condition, 0, len(request.seeds))
    return points(model, noise(request.seeds, model), asked, request.settings)
