"""The data room: faces in pictures, found as far as two classical detectors can, and parts of pictures made unreadable.

Faces from the front and from the side are found by boosted cascades (Viola and Jones 2001, "Rapid object detection
using a boosted cascade of simple features"), which come with OpenCV. They miss faces that are small, turned away,
tilted, dark or partly hidden, and they take other things for faces: whoever needs certainty must look.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from figment.data.pixels import to_channels

Box = tuple[int, int, int, int]
"""Left, top, width and height, in pixels."""

Fill = Literal["solid", "pixelate", "noise"]
FILLS = ("solid", "pixelate", "noise")

MARGIN = 0.25  # of a face's width, on every side: hair and chin tell as well
PIXELS_ACROSS = 6  # of a pixelated part

_FRONT, _SIDE = "haarcascade_frontalface_default.xml", "haarcascade_profileface.xml"
_SCALED_SIDE = (160, 640)  # a picture's shorter side is brought in between, because no face below 20 pixels is found
_AGREEING = 3  # neighbouring windows that must see a face


def find_faces(pixels: np.ndarray) -> list[Box]:
    """uint8 (H, W, C) -> boxes around what looks like a face, with a margin, cut at the picture's edges."""
    import cv2

    height, width = pixels.shape[:2]
    shorter = min(height, width)
    scale = min(max(shorter, _SCALED_SIDE[0]), _SCALED_SIDE[1]) / shorter
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    grey = cv2.equalizeHist(cv2.resize(to_channels(pixels, 1), size, interpolation=way))
    found = [*_seen(_FRONT, grey), *_seen(_SIDE, grey)]
    # The detector of profiles knows those that look to the left.
    mirrored = _seen(_SIDE, np.ascontiguousarray(grey[:, ::-1]))
    found += [(size[0] - left - wide, top, wide, high) for left, top, wide, high in mirrored]
    return [_grown(box, scale, height, width) for box in found]


def _seen(name: str, grey: np.ndarray) -> list[Box]:
    boxes = _cascade(name).detectMultiScale(grey, scaleFactor=1.15, minNeighbors=_AGREEING, minSize=(20, 20))
    return [(int(left), int(top), int(width), int(height)) for left, top, width, height in boxes]


@cache
def _cascade(name: str) -> Any:
    import cv2

    return cv2.CascadeClassifier(str(Path(cv2.__file__).parent / "data" / name))


def _grown(box: Box, scale: float, height: int, width: int) -> Box:
    """The box at the picture's own scale, with its margin, as far as the picture goes."""
    left, top, wide, high = (side / scale for side in box)
    first = max(0, int(left - MARGIN * wide)), max(0, int(top - MARGIN * high))
    last = min(width, round(left + (1 + MARGIN) * wide)), min(height, round(top + (1 + MARGIN) * high))
    return first[0], first[1], last[0] - first[0], last[1] - first[1]


def hide(pixels: np.ndarray, boxes: Iterable[Box], fill: Fill, seed: int) -> np.ndarray:
    """uint8 (..., H, W, C) -> the same with what the boxes hold made unreadable.

    solid: one grey. noise: black and white at random, by the seed. pixelate: means of PIXELS_ACROSS squares, from which
    a face that is known may be told again. Alpha stays as it is.
    """
    hidden = pixels.copy()
    draw = np.random.Generator(np.random.Philox(seed))
    colours = min(pixels.shape[-1], 3)
    for left, top, width, height in boxes:
        part = hidden[..., top : top + height, left : left + width, :colours]
        if fill == "solid":
            part[...] = 128
        elif fill == "noise":
            part[...] = draw.integers(0, 2, (*part.shape[:-1], 1), np.uint8) * np.uint8(255)
        else:
            _pixelate(part)
    return hidden


def _pixelate(part: np.ndarray) -> None:
    """Replace (..., h, w, c) in place."""
    rows, columns = (np.linspace(0, side, PIXELS_ACROSS + 1).astype(int) for side in part.shape[-3:-1])
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            if top < bottom and left < right:
                cell = part[..., top:bottom, left:right, :]
                cell[...] = cell.mean((-3, -2), keepdims=True).astype(np.uint8)
