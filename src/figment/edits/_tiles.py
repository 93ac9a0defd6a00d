"""Tiles of one size that cover a picture of any size, overlapping by half, and pictures blended out of tiles.

Bar-Tal et al. 2023, "MultiDiffusion", equation 5: of all pictures, the weighted mean of the tiles is the one that is
nearest to all of them. Weights fall towards a tile's edges, so that no seam can be seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

BATCH = 64  # tiles that are worked on at a time

Place = tuple[int, int, int]  # of a tile: which picture of the batch, top, left


@dataclass(frozen=True)
class Tiling:
    """How tiles cover pictures. size: height and width of the pictures; tile: of a tile, at most as large."""

    size: tuple[int, int]
    tile: tuple[int, int]

    @cached_property
    def corners(self) -> list[tuple[int, int]]:
        """(top, left) of every tile."""
        tops, lefts = (_starts(length, tile) for length, tile in zip(self.size, self.tile, strict=True))
        return [(top, left) for top in tops for left in lefts]

    @cached_property
    def window(self) -> Tensor:
        """How much each pixel of a tile counts: (1, h, w), positive."""
        rows, columns = (torch.sin(torch.pi * (torch.arange(n) + 0.5) / n) ** 2 for n in self.tile)
        return (rows[:, None] * columns)[None].clamp(min=1e-4)

    def batches(self, count: int) -> Iterator[list[Place]]:
        """The places of the tiles of `count` pictures, picture by picture, BATCH at a time."""
        places = iter([(row, top, left) for row in range(count) for top, left in self.corners])
        while batch := list(islice(places, BATCH)):
            yield batch

    def cut(self, images: Tensor, places: Sequence[Place]) -> Tensor:
        """(B, C, H, W) -> the tiles at these places, (len(places), C, h, w)"""
        height, width = self.tile
        return torch.stack([images[row, :, top : top + height, left : left + width] for row, top, left in places])

    def blend(self, count: int, draw: Callable[[list[Place]], Tensor]) -> Tensor:
        """`count` pictures out of what `draw` gives for a list of places, tiles (len(places), C, h, w).

        Where gradients are asked for, `draw` is called once more for each batch as they are taken, so that the memory
        of one batch is enough (Chen et al. 2016).
        """
        if torch.is_grad_enabled() and count * len(self.corners) > BATCH:
            draw = partial(checkpoint, draw, use_reentrant=False, preserve_rng_state=False)
        if len(self.corners) == 1:
            return torch.cat([draw(places) for places in self.batches(count)])
        totals = torch.zeros(0)
        for places in self.batches(count):
            tiles = draw(places)
            window = self.window.to(tiles).expand(len(places), *self.window.shape)
            if not len(totals):  # channels, and below them how much each pixel counted
                totals = tiles.new_zeros(tiles.shape[1] + 1, count * self.size[0] * self.size[1])
            values = torch.cat([tiles * window, window], 1).transpose(0, 1).flatten(1)
            totals = totals.index_add(1, self._pixels(places), values)
        return (totals[:-1] / totals[-1]).unflatten(1, (count, *self.size)).transpose(0, 1).contiguous()

    def _pixels(self, places: Sequence[Place]) -> Tensor:
        """The number of each pixel of these tiles among all pixels of all pictures."""
        starts = torch.tensor([(row * self.size[0] + top) * self.size[1] + left for row, top, left in places])
        rows, columns = (torch.arange(length) for length in self.tile)
        return (starts[:, None, None] + rows[:, None] * self.size[1] + columns).flatten()


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin along one axis: evenly spread, the first at 0, the last at the end."""
    count = 1 + -(-2 * (length - tile) // tile)
    return [round(start) for start in np.linspace(0, length - tile, count)]


def mirrored(images: Tensor, size: tuple[int, int]) -> tuple[Tensor, tuple[slice, slice]]:
    """Pictures mirrored beyond their borders up to this height and width, as often as it takes; and where they lie."""
    slices = []
    for axis, least in zip((-2, -1), size, strict=True):
        length = images.shape[axis]
        before = max(0, least - length) // 2
        after = max(0, least - length) - before
        index = np.pad(np.arange(length), (before, after), "symmetric")
        images = images.index_select(axis, torch.from_numpy(index))
        slices.append(slice(before, before + length))
    return images, (slices[0], slices[1])
