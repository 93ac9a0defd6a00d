"""Paint a picture in the style of another one, out of that one's own patches; nothing is trained, and no model needed.

Generalised patch nearest neighbours (Granot et al. 2022, "Drop the GAN: in defense of patches nearest neighbors as
single image generative models"). From coarse to fine, every patch of the picture so far is replaced by the patch of the
style that is nearest to it at this size, where a patch that nothing is like counts as nearer: so all of the style is
used. What is coarser than where it begins stays the picture's own. Before, the picture is given the mean and the spread
of the style's colours.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import ConfigError, DataError
from figment.core.types import Progress
from figment.edits import Answer, Request
from figment.edits._colours import with_colours_of
from figment.edits._drawing import resized
from figment.edits._patches import grids, nearest

NEEDS = ()
INPUTS = ("image", "style")

RATIO = 0.75  # of a size to the next finer one


@dataclass(frozen=True)
class Config:
    """What is kept of the picture, and how the style's patches are chosen."""

    structure: int = 48
    """Smaller side, in pixels, of the coarsest picture: what is visible there stays; more keeps more of the picture."""
    content: float = 0.5
    """Share of the picture itself that is mixed in at each size, before patches are replaced."""
    patch: int = 7
    """Side of the patches, in pixels."""
    alpha: float = 0.005
    """How freely patches are chosen: a small one uses all of the style, a large one the nearest patches only."""
    rounds: int = 2
    """How often patches are replaced at each size."""
    recolor: bool = True
    """Give the picture the style's colours first; else patches are found by the picture's own."""

    def __post_init__(self):
        check_range("edit.structure", self.structure, 8, 4096)
        check_range("edit.content", self.content, 0, 1)
        check_range("edit.patch", self.patch, 3, 31)
        check_range("edit.alpha", self.alpha, 1e-6, 1e6)
        check_range("edit.rounds", self.rounds, 1, 100)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture at its own size, (N, C, H, W), the same for every seed."""
    image, style = request.images[0], request.style
    assert style is not None, "require() has asked for it"
    if image.shape[1] != style.shape[1]:
        raise ConfigError(
            f"--style: has {style.shape[1]} channels, the picture {image.shape[1]}; give two in colour or two in grey"
        )
    if min(*image.shape[-2:], *style.shape[-2:]) < 2 * config.patch:
        raise DataError(f"--edit.patch {config.patch}: the smaller picture has no room for two; give a smaller patch")
    start = with_colours_of(image, style) if config.recolor else image
    return Answer(restyled(start, style, config, request.progress).repeat(len(request.seeds), 1, 1, 1))


def restyled(image: Tensor, style: Tensor, config: Config, progress: Progress) -> Tensor:
    """(1, C, H, W) out of patches of (1, C, H', W')."""
    share = min(1.0, (image[0, 0].numel() / style[0, 0].numel()) ** 0.5)  # so that larger styles cost no more
    scales = list(_scales(image, config))
    picture, done = resized(image, _size(image, scales[0])), 0
    for before, scale in pairwise([scales[0], *scales]):
        values = resized(style, _size(style, share * scale))
        blurred = resized(resized(style, _size(style, share * before)), _size(values, 1.0))
        picture = resized(picture, _size(image, scale)).lerp(resized(image, _size(image, scale)), config.content)
        for round in range(config.rounds):
            # The picture comes from a coarser size, so it is first compared with a style that does too.
            picture = _replaced(picture, values if round else blurred, values, config)
            done += 1
            progress(done, len(scales) * config.rounds)
    return picture.clamp(-1, 1)


def _scales(image: Tensor, config: Config) -> Iterator[float]:
    """Shares of the picture's side, rising to 1."""
    side, count = min(image.shape[-2:]), 0
    while side * RATIO ** (count + 1) >= max(config.structure, 2 * config.patch):
        count += 1
    yield from (RATIO**power for power in range(count, -1, -1))


def _size(image: Tensor, scale: float) -> tuple[int, int]:
    height, width = (max(1, round(scale * length)) for length in image.shape[-2:])
    return height, width


def _replaced(picture: Tensor, keys: Tensor, values: Tensor, config: Config) -> Tensor:
    """Every patch replaced by the one of `values` whose `keys` are nearest."""
    mine, theirs = grids(picture, values, config.patch)
    places = nearest(mine.cut(picture), theirs.cut(keys), config.alpha)
    return mine.put(theirs.cut(values)[places], (picture.shape[-2], picture.shape[-1]))
