"""Classical descriptors that need no training: edges by direction, texture, colour, and detail at several scales.

- Histograms of oriented gradients: 8 directions, softly binned, in 4 x 4 cells, each picture's scaled to length 1, cut
  at 0.2 and scaled again. Dalal and Triggs, "Histograms of Oriented Gradients for Human Detection" (2005).
- Local binary patterns of the 8 neighbours: how often each of the 9 rotations of a uniform pattern occurs, and how
  often none of them. Ojala, Pietikäinen and Mäenpää, "Multiresolution Gray-Scale and Rotation Invariant Texture
  Classification with Local Binary Patterns" (2002), section 2.
- A soft histogram of 8 values for each channel, and the means of 4 x 4 cells.
- What each level of a Laplacian pyramid holds. Burt and Adelson, "The Laplacian Pyramid as a Compact Image Code"
  (1983).

The same for every dataset, so such scores can be compared between datasets of one size, and without any weights. They
do not know what a picture shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.config import check_range
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.data.store import Store

DIRECTIONS, VALUES, LEVELS = 8, 8, 4
VERSION = 1  # another number means other features
_AROUND = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


@dataclass(frozen=True)
class Config:
    """How finely the picture is divided."""

    argument: str = ""
    """Takes none."""
    cells: int = 4
    """Cells across and down that edges and colours are gathered in."""

    def __post_init__(self):
        if self.argument:
            raise ConfigError(f"descriptors:{self.argument}: takes no argument; type --features descriptors")
        check_range("features.cells", self.cells, 1, 16)


@dataclass(frozen=True)
class Descriptors:
    """One number after the other; `cells`: across and down."""

    cells: int
    resize: str = "native size"

    @property
    def digest(self) -> str:
        return f"descriptors-{VERSION}-{self.cells}"

    @property
    def name(self) -> str:
        return f"descriptors {VERSION}, {self.cells}x{self.cells} cells, {self.resize}"

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D); D depends on the number of channels alone."""
        images = images.float()
        grey = images[:, :3].mean(1, keepdim=True)
        cells = F.adaptive_avg_pool2d(images, self.cells).flatten(1)
        parts = [oriented_gradients(grey, self.cells), binary_patterns(grey), value_histogram(images), cells]
        return torch.cat([*parts, *detail(grey)], 1)


def load(config: Config, store: Store | None) -> Descriptors:
    """There is nothing to load; `store` is not looked at."""
    return Descriptors(config.cells)


def oriented_gradients(grey: Tensor, cells: int) -> Tensor:
    """(B, 1, H, W) -> (B, DIRECTIONS * cells * cells), each row of length 1 (or 0 for a flat picture)."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    down = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    place = torch.atan2(down, across).remainder(math.pi) * (DIRECTIONS / math.pi)  # a direction, whichever sign
    bins = torch.arange(DIRECTIONS).view(1, -1, 1, 1)
    away = (place - bins).abs()
    shares = (1 - torch.minimum(away, DIRECTIONS - away)).clamp_min(0)  # bins lie on a circle
    strength = torch.sqrt(across**2 + down**2)
    cut = F.normalize(F.adaptive_avg_pool2d(shares * strength, cells).flatten(1)).clamp_max(0.2)
    return F.normalize(cut)


def binary_patterns(grey: Tensor) -> Tensor:
    """(B, 1, H, W) -> (B, 10): the share of pixels with 0 to 8 brighter neighbours in one piece, and of all others."""
    height, width = grey.shape[2:]
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    around = [padded[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] >= grey for dy, dx in _AROUND]
    brighter = torch.cat(around, 1)  # (B, 8, H, W)
    changes = (brighter != brighter.roll(1, 1)).sum(1)
    pattern = torch.where(changes <= 2, brighter.sum(1), 9)
    return torch.stack([(pattern == kind).float().mean((1, 2)) for kind in range(10)], 1)


def value_histogram(images: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] -> (B, C * VALUES): shares, 1 in all for a channel; between two it counts for both."""
    place = (images.clamp(-1, 1) + 1) * ((VALUES - 1) / 2)
    bins = [(1 - (place - value).abs()).clamp_min(0).mean((2, 3)) for value in range(VALUES)]
    return torch.stack(bins, 2).flatten(1)


def detail(grey: Tensor) -> Iterator[Tensor]:
    """(B, 1, H, W) -> LEVELS of (B, 2): mean size and root mean square of what each halving loses."""
    for _ in range(LEVELS):
        smaller = F.avg_pool2d(grey, 2, ceil_mode=True)
        lost = grey - F.interpolate(smaller, grey.shape[2:], mode="nearest-exact")
        yield torch.cat([lost.abs().mean((2, 3)), lost.square().mean((2, 3)).sqrt()], 1)
        grey = smaller
