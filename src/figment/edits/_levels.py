"""Latents as whole numbers: how wide a level of each is, how likely each level, and which ones tell a picture best.

A level of any latent moves the decoded picture about as far, by `step`, so that what rounding spoils is spread evenly:
what says little has wide levels. Latents are taken as N(0, 1), so the levels n of a picture x, whose widths are w, are

    min_n  |x - D(n w)|^2 + step^2 / 12 |n w|^2

Rounding costs D = step^2 / 12 each, and n takes R = c - log2 step bits, so a bit is worth -dD/dR = step^2 ln 2 / 6; of
bits, n w takes |n w|^2 / (2 ln 2). The search starts at what the encoder says (Campos et al. 2019, "Content adaptive
optimization for neural image compression").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from figment.core.types import Progress, silent
from figment.edits._coding import Coder, Frequencies, Integers

PARTS = 4  # widths are powers of 2^(1/4), so that machines that differ in the last bit agree on them
WIDEST = 64.0  # deviations
DEVIATIONS = 6.0  # within which a level has a symbol of its own
MOST_LEVELS = 127  # to either side, likewise
SURE = 1 << 14  # total of the frequencies that are expected
GAIN = SURE // 64  # what one that was seen counts beside them
ROUNDS = 60  # of the search
LR = 0.3  # of Adam's first step, in levels
BATCH = 64  # pictures at a time


@dataclass(frozen=True)
class Levels:
    """widths: of one level of each latent, for (B, D, ...) latents (D, 1, ...). step: in grey levels."""

    widths: Tensor
    step: float

    def coders(self) -> list[LevelCoder]:
        """One for each of D."""
        return [LevelCoder(float(width)) for width in self.widths.flatten()]


def levels_of(model: Any, shape: tuple[int, ...], step: float) -> Levels:
    """Levels for a model's latents, (D, ...), by how far each moves what is decoded from 0.

    step: root of the sum of the squares of what changes in a picture, in grey levels. Of a grid, the middle is asked.
    """
    count, middle = shape[0], tuple(length // 2 for length in shape[1:])
    ones = torch.zeros(count, *shape)
    for place in range(count):
        ones[(place, place, *middle)] = 1.0
    moved = torch.cat([model.decode(part) - model.decode(-part) for part in ones.split(BATCH)]) / 2
    reach = 127.5 * moved.flatten(1).norm(dim=1)
    exact = step / reach.clamp_min(step / WIDEST)
    widths = 2 ** ((PARTS * exact.log2()).round() / PARTS)
    return Levels(widths.view(count, *[1] * len(middle)), step)


class LevelCoder:
    """Levels of one latent as symbols: of N(0, 1) at first, then as they come."""

    def __init__(self, width: float):
        self.most = min(MOST_LEVELS, -int(-DEVIATIONS // width))
        edges = width * (torch.arange(-self.most, self.most + 2, dtype=torch.float64) - 0.5)
        expected = (SURE * torch.special.ndtr(edges).diff()).round().long().tolist()
        self.frequencies = Frequencies([1 + count for count in [*expected, 0]], gain=GAIN)  # the last: another number
        self.others = Integers()

    def code(self, coder: Coder, level: int = 0) -> int:
        """Write a level and give it back, or read one."""
        other = 2 * self.most + 1
        symbol = coder.symbol(self.frequencies, level + self.most if abs(level) <= self.most else other)
        return self.others.code(coder, level) if symbol == other else symbol - self.most


def searched(model: Any, levels: Levels, images: Tensor, progress: Progress = silent) -> Tensor:
    """The levels n that tell pictures (B, C, H, W) best, as far as a gradient finds them: (B, D, ...) int64."""
    with torch.no_grad():
        begin = torch.cat([model.encode(part) for part in images.split(BATCH)]).float() / levels.widths
    parts = []
    for part, pictures in zip(begin.split(BATCH), images.split(BATCH), strict=True):
        parts.append(_descended(model, levels, part, pictures))
        progress(sum(map(len, parts)), len(images))
    return torch.cat(parts).long()


def _descended(model: Any, levels: Levels, begin: Tensor, images: Tensor) -> Tensor:
    """Levels, from those of the encoder: the least cost without rounding, rounded, where that is better."""
    free = begin.clone().requires_grad_()
    optimizer = torch.optim.Adam([free], lr=LR)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, ROUNDS)
    with torch.enable_grad():
        for _ in range(ROUNDS):
            (free.grad,) = torch.autograd.grad(_cost(model, levels, free, images).sum(), free)
            optimizer.step()
            schedule.step()
    first, second = begin.round(), free.detach().round()
    with torch.no_grad():
        is_better = _cost(model, levels, second, images) < _cost(model, levels, first, images)
    return torch.where(is_better.view(-1, *[1] * (begin.ndim - 1)), second, first)


def _cost(model: Any, levels: Levels, n: Tensor, images: Tensor) -> Tensor:
    """(B,)"""
    latents = n * levels.widths
    error = 127.5 * (model.decode(latents).clamp(-1, 1) - images)
    return error.square().flatten(1).sum(1) + levels.step**2 / 12 * latents.square().flatten(1).sum(1)
