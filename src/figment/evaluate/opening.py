"""Pictures that somebody gives, from the bytes of their files, as edits take them; and what an edit answers, as pixels.

Files are read as datasets read theirs: colour profiles become sRGB, EXIF orientation is applied, 16 bits become 8. What
is transparent is kept aside, and laid over the answer again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from figment.core.errors import DataError
from figment.core.images import to_float, to_uint8
from figment.data.decoding import decode, decode_frames, num_frames
from figment.data.headers import Unreadable, open_picture
from figment.data.pixels import digest, to_channels

if TYPE_CHECKING:
    from torch import Tensor

    from figment.edits import Answer

MOST_FRAMES = 1000  # of a file that moves


@dataclass(frozen=True)
class Given:
    """A picture as an edit takes it.

    image: (1, C, H, W) in [-1, 1]. alpha: uint8 (H, W), None where all is opaque or where alpha is a channel of the
    image. digest: of the pixels in the file, upright and in sRGB.
    """

    image: Tensor
    alpha: np.ndarray | None
    digest: str


def open_image(content: bytes, name: str, channels: int | None = None) -> Given:
    """A picture file in so many channels; None for its own, 1 or 3, beside alpha.

    name: what it is called where it cannot be read, in a DataError.
    """
    pixels = _pixels(content, name)
    mark, alpha = digest(pixels), None
    if pixels.shape[2] == 4 and channels != 4:
        pixels, alpha = pixels[..., :3], pixels[..., 3]
    pixels = pixels if channels is None else to_channels(pixels, channels)
    return Given(to_float(pixels[None].copy()), alpha if alpha is not None and alpha.min() < 255 else None, mark)


def open_frames(content: bytes, name: str, channels: int) -> list[Given]:
    """All frames of a file that moves, as pictures; or of one that does not, itself.

    What is transparent in a frame is laid on white. Raises DataError, calling it `name`, where it cannot be read.
    """
    try:
        count = num_frames(open_picture(content))
        if count == 1:
            return [open_image(content, name, channels)]
        if count > MOST_FRAMES:
            raise Unreadable(f"has {count} frames; cut it to {MOST_FRAMES} at most")
        frames = [to_channels(pixels, channels) for pixels in decode_frames(content)]
    except Unreadable as error:
        raise DataError(f"{name}: {error}") from None
    return [Given(to_float(pixels[None].copy()), None, digest(pixels)) for pixels in frames]


def open_mask(content: bytes, name: str, size: tuple[int, int]) -> tuple[Tensor, str]:
    """A mask file for a picture of this height and width: (1, 1, H, W), 1 where it is white and opaque; its digest.

    Raises DataError, calling it `name`, where it cannot be read or has another size.
    """
    import torch

    pixels = _pixels(content, name)
    if pixels.shape[:2] != size:
        height, width = pixels.shape[:2]
        raise DataError(f"{name}: {width}x{height} pixels, the picture has {size[1]}x{size[0]}; give one of that size")
    white = to_channels(pixels[..., :3], 1)[..., 0]
    white = np.minimum(white, pixels[..., 3]) if pixels.shape[2] == 4 else white
    return torch.from_numpy(white >= 128).float()[None, None], digest(pixels)


def _pixels(content: bytes, name: str) -> np.ndarray:
    """uint8 (H, W, C), upright."""
    try:
        if num_frames(open_picture(content)) > 1:
            raise Unreadable("has several frames or pages; save the one that you mean as a picture of its own")
        return decode(content)[0]
    except Unreadable as error:
        raise DataError(f"{name}: {error}") from None


def finished(answer: Answer, given: Sequence[Given]) -> np.ndarray:
    """The answer's pictures as uint8 (N, H, W, C) or (N, T, H, W, C); where one was given, with its alpha over them."""
    pixels = to_uint8(answer.images)
    if len(given) != 1 or given[0].alpha is None or pixels.ndim == 5:
        return pixels
    import cv2

    *_, full_height, full_width, _ = pixels.shape
    top, left, height, width = answer.place or (0, 0, full_height, full_width)
    alpha = np.full((full_height, full_width), 255, np.uint8)
    alpha[top : top + height, left : left + width] = cv2.resize(given[0].alpha, (width, height))
    return np.concatenate([to_channels(pixels, 3), np.broadcast_to(alpha[None, ..., None], (*pixels.shape[:3], 1))], -1)
