"""The sizes that a picture passes through on its way from a few pixels to its own, and the way between them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

Size = tuple[int, int]


def pyramid(size: Size, smallest: int = 4) -> list[Size]:
    """Sizes (H, W) from the smallest up to `size`, each half of the next, rounded up, no side below `smallest`.

    A side that is smaller from the start stays alone: pyramid((28, 28)) is [(4, 4), (7, 7), (14, 14), (28, 28)].
    """
    sizes = [size]
    while min(sizes[0]) > 2 * (smallest - 1):
        height, width = sizes[0]
        sizes.insert(0, (-(-height // 2), -(-width // 2)))
    return sizes


def level_widths(levels: int, width: int, most: int) -> list[int]:
    """Channels of each level, smallest size first: `width` at full size, doubled with every halving up to `most`."""
    return [min(width << (levels - 1 - level), most) for level in range(levels)]


def resize(images: Tensor, size: Size) -> Tensor:
    """(B, C, H, W) -> (B, C, *size), bilinear.

    Doubling is the filter [1, 3, 3, 1] / 4 along each axis, halving the mean of 2x2 pixels; odd sizes lie in between.
    """
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)
