"""Walks among the pictures that a model can draw: where they lie, ways from one to the next, and steps of one length.

A picture lies at its style w, of a model that Maps, else at the noise that it is drawn from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from figment.core.errors import CapabilityError
from figment.core.noise import noise
from figment.core.types import Condition, Maps
from figment.edits._drawing import in_parts, rows_of

ROUNDS = 6  # of halving the widest steps
TYPICAL = 256  # styles whose mean is the average one


def points(model: Any, start: Tensor, condition: Condition | None, settings: Any) -> Tensor:
    """Where the pictures of some noise (B, *noise) lie: styles, as near to the average as is asked, or the noise."""
    if not isinstance(model, Maps):
        return start
    w = model.map(start, condition)
    truncation = getattr(settings, "truncation", 1.0)
    return w if truncation == 1 else average(model).lerp(w, truncation)


def average(model: Any) -> Tensor:
    """The mean style of a model that Maps: (1, ...)."""
    return model.map(noise(range(TYPICAL), model)).mean(0, keepdim=True)


def pictures(model: Any, places: Tensor, condition: Condition | None, settings: Any) -> Tensor:
    """What lies at some places: (B, ...) -> (B, C, H, W) in [-1, 1]."""
    if isinstance(model, Maps):
        return model.synthesize(places)
    return model.generate(places, condition, settings)


def require_gradient(model: Any, settings: Any) -> None:
    """Raise CapabilityError for a model whose pictures do not change smoothly with their noise."""
    with torch.enable_grad():
        place = points(model, noise([0], model), None, settings).detach().requires_grad_()
        if not pictures(model, place, None, settings).requires_grad:
            raise CapabilityError(
                "this run's pictures do not change smoothly with their noise, so there is no way to be found among "
                "them; give a run of a family such as flow, vae, dcgan or stylegan2"
            )


def repeated(condition: Condition | None, row: int, count: int) -> Condition | None:
    """One row of a condition, `count` times."""
    return None if condition is None else condition[torch.full((count,), row)]


def slerp(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Along the sphere from one place to another, (...) each, at (T,) shares of the way: (T, ...).

    Shoemake 1985. What lies between two draws of normal noise is then as likely as they are; on a straight
    line it would be shorter than any noise that the model has seen.
    """
    share = share.view(-1, *[1] * start.ndim)
    cosine = float((start * end).sum() / (start.norm() * end.norm()).clamp_min(1e-12))
    angle = math.acos(max(-1.0, min(1.0, cosine)))
    if math.sin(angle) < 1e-4:  # the same direction, or opposite ones, between which there is no shortest way
        return start + share * (end - start)
    return (((1 - share) * angle).sin() * start + (share * angle).sin() * end) / math.sin(angle)


def evenly(draw: Callable[[Tensor], Tensor], count: int) -> Tensor:
    """`count` pictures from time 0 to time 1, each about as different from the last: (count, C, H, W).

    draw: (T,) times -> (T, C, H, W). Models change slowly here and all at once there. So the widest steps are halved a
    few times, and of all that was drawn those pictures are shown that lie evenly along the way, the ends always.
    """
    times = torch.linspace(0, 1, count)
    shown = draw(times)
    for _ in range(ROUNDS):
        widest = steps_of(shown).argsort(descending=True)[: count // 3]
        between = (times[widest] + times[widest + 1]) / 2
        order = torch.cat([times, between]).argsort()
        times, shown = torch.cat([times, between])[order], torch.cat([shown, draw(between)])[order]
    along = torch.cat([torch.zeros(1), steps_of(shown).cumsum(0)])
    wanted = torch.linspace(0, float(along[-1]), count)
    chosen = (along[:, None] - wanted).abs().argmin(0)
    chosen[-1] = len(shown) - 1
    return shown[chosen]


def steps_of(frames: Tensor) -> Tensor:
    """How much each frame differs from the last, as the root of the mean square: (T, C, H, W) -> (T - 1,)."""
    return frames.diff(dim=0).square().flatten(1).mean(1).sqrt()


def largest_step(frames: Tensor) -> float:
    """Of one walk (T, C, H, W): the largest step as a multiple of the median one."""
    steps = steps_of(frames)
    return float(steps.max() / steps.median().clamp_min(1e-6))


def shown_at(model: Any, places: Callable[[Tensor], Tensor], condition: Condition | None, settings: Any, row: int):
    """The `draw` of `evenly`: pictures at some times of a way through the model's places.

    places: (T,) times -> (T, ...). The condition's row is what all of them show.
    """

    def draw(times: Tensor) -> Tensor:
        way, asked = places(times), repeated(condition, row, len(times))

        def part(rows: slice) -> Tensor:
            return pictures(model, way[rows], rows_of(asked, rows), settings)

        return in_parts(part, len(times))

    return draw
