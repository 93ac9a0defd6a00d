"""Slide from one class to another, or along an attribute, with everything else left as it is.

Every stop begins with the same noise. A model that denoises is asked for both classes at every step, and goes by the
mean of the two answers, weighted by where the stop lies: (1 - t) D_from + t D_to. One with styles mixes those of both.
For an attribute the model itself is asked for every value between the ends.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import ConfigError, did_you_mean
from figment.core.noise import noise
from figment.core.types import Condition, Denoises, ImageSpec
from figment.edits import Answer, Request
from figment.edits._drawing import finish, in_parts, sampling_of, shown
from figment.edits._walk import pictures, points
from figment.samplers import guided

NEEDS = (("Generates", "Denoises"), ("Generates", "Maps"))
INPUTS = ()


@dataclass(frozen=True)
class Config:
    """Where to, and in how many stops."""

    to: str = ""
    """The class at the other end; --label is the one to begin with."""
    attribute: str = ""
    """An attribute to slide along, in place of a class."""
    low: float = 0.0
    """The attribute's value at the beginning."""
    high: float = 1.0
    """The attribute's value at the end."""
    stops: int = 9
    """Pictures from end to end, both included."""

    def __post_init__(self):
        check_range("edit.stops", self.stops, 2, 1000)
        if self.to and self.attribute:
            raise ConfigError(f"--edit.to {self.to} and --edit.attribute {self.attribute}: give one of the two")
        if not self.attribute and (self.low, self.high) != (0.0, 1.0):
            raise ConfigError("--edit.low and --edit.high: are an attribute's values; give --edit.attribute NAME too")


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """All stops of each seed: (N, stops, C, H, W)."""
    count, shares = len(request.seeds), torch.linspace(0, 1, config.stops)
    start, end = _ends(request, config)
    of_seed, share = torch.arange(count).repeat_interleave(config.stops), shares.repeat(count)
    begin = noise(request.seeds, model)

    def draw(rows: slice) -> Tensor:
        places, at = of_seed[rows], share[rows]
        return _mixed(model, begin[places], start[places], end[places], at, request)

    return Answer(in_parts(draw, len(share), request.progress).unflatten(0, (count, config.stops)))


def _ends(request: Request, config: Config) -> tuple[Condition, Condition]:
    """What the seeds are asked for at the beginning and at the end."""
    spec, count, given = request.spec, len(request.seeds), request.condition or Condition()
    assert spec is not None, "an edit that needs a model is told of its pictures"
    if config.attribute:
        place = _place(config.attribute, spec.attributes, "attribute")
        known = given.attributes
        known = torch.full((count, len(spec.attributes)), torch.nan) if known is None else known
        values = [known.index_fill(1, torch.tensor([place]), value) for value in (config.low, config.high)]
        return replace(given, attributes=values[0]), replace(given, attributes=values[1])
    if not config.to:
        raise ConfigError(f"slide: where to? give --edit.to CLASS{_choice(spec)}")
    label = _place(config.to, spec.classes, "to")
    begin = torch.full((count,), -1) if given.labels is None else given.labels
    return replace(given, labels=begin), replace(given, labels=torch.full((count,), label))


def _place(name: str, known: tuple[str, ...], flag: str) -> int:
    if name not in known:
        raise ConfigError(f"--edit.{flag} {name}: this run has no such{did_you_mean(name, known)}")
    return known.index(name)


def _choice(spec: ImageSpec) -> str:
    if spec.classes:
        return did_you_mean("", spec.classes)
    return f" or --edit.attribute NAME{did_you_mean('', spec.attributes)}" if spec.attributes else "; this run has none"


def _mixed(model: Any, begin: Tensor, start: Condition, end: Condition, share: Tensor, request: Request) -> Tensor:
    """Pictures of some noise, each at its own share of the way: (B, *noise), (B,) -> (B, C, H, W)."""
    if isinstance(model, Denoises):
        settings = sampling_of(request)
        sigmas, ends = settings.sigmas(model), (guided(model, start, settings), guided(model, end, settings))

        def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
            first, second = (one(noisy, sigma) for one in ends)
            return first.lerp(second, share.view(-1, *[1] * (noisy.ndim - 1)).expand_as(first))

        drawn = finish(denoise, begin * sigmas[0], sigmas, begin, settings)
        return shown(model, drawn)
    first, second = (points(model, begin, condition, request.settings) for condition in (start, end))
    w = first.lerp(second, share.view(-1, *[1] * (first.ndim - 1)).expand_as(first))
    return pictures(model, w, start, request.settings)
