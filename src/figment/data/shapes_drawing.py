"""The data room: figures as anti-aliased pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from figment.data.shapes_scene import COLOURS, Figure

FINER = 8  # lines of a picture are drawn so many times as fine, then averaged

Loop = tuple[tuple[float, float], ...]


def draw(figures: Sequence[Figure], background: tuple[int, int, int], side: int) -> np.ndarray:
    """Figures on a plain background -> uint8 (side, side, 3); later ones lie on top."""
    pixels = np.broadcast_to(np.array(background, np.float32), (side, side, 3))
    for figure in figures:
        ink = coverage(figure.shape, figure.x, figure.y, figure.radius, side)[..., None]
        pixels = pixels * (1 - ink) + np.array(COLOURS[figure.colour][1], np.float32) * ink
    return np.rint(pixels).astype(np.uint8)


def coverage(shape: str, x: float, y: float, radius: float, side: int) -> np.ndarray:
    """Share of each pixel that a shape covers: float32 (side, side) in [0, 1].

    x, y, radius: as shares of the side.
    """
    from PIL import Image, ImageDraw

    fine = Image.new("L", (side * FINER, side * FINER))
    pen = ImageDraw.Draw(fine)
    scale = side * FINER
    for depth, loop in enumerate(_LOOPS[shape]):
        # Pillow fills the pixels whose centres, at whole numbers, lie inside.
        points = [((x + radius * u) * scale - 0.5, (y + radius * v) * scale - 0.5) for u, v in loop]
        pen.polygon(points, fill=0 if depth else 255)
    return np.asarray(fine.reduce(FINER), np.float32) / 255


@cache
def moments(shape: str) -> tuple[float, float]:
    """(area of a shape of radius 1, how far its centre of mass lies below the centre of its box)."""
    side = 64
    ink = coverage(shape, 0.5, 0.5, 0.5, side)
    rows = (np.arange(side) + 0.5) / side * 2 - 1
    return float(ink.sum()) * (2 / side) ** 2, float((ink.sum(1) * rows).sum() / ink.sum())


def _circle(radius: float) -> Loop:
    turns = (2 * math.pi * place / 96 for place in range(96))
    return tuple((radius * math.cos(turn), radius * math.sin(turn)) for turn in turns)


def _star() -> Loop:
    """Five points; the inner radius makes opposite edges one line."""
    inner = math.sin(math.pi / 10) / math.sin(3 * math.pi / 10) * 1.15  # a little fuller, so that small ones are seen
    points = ((math.pi * place / 5 - math.pi / 2, inner if place % 2 else 1.05) for place in range(10))
    return tuple((length * math.cos(turn), length * math.sin(turn) + 0.08) for turn, length in points)


def _heart() -> Loop:
    """The curve x = 16 sin^3 t, y = 13 cos t - 5 cos 2t - 2 cos 3t - cos 4t, scaled into the box."""
    turns = [2 * math.pi * place / 96 for place in range(96)]
    wave = [13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t) for t in turns]
    return tuple((math.sin(t) ** 3, -(y + 2.5) / 16) for t, y in zip(turns, wave, strict=True))


def _cross(length: float, half: float) -> Loop:
    corner = ((half, length), (half, half), (length, half))
    turned: list[tuple[float, float]] = []
    for _ in range(4):
        turned += corner
        corner = tuple((v, -u) for u, v in corner)
    return tuple(turned)


# Outlines within [-1, 1] x [-1, 1], y downwards; a second one is a hole.
_LOOPS: dict[str, tuple[Loop, ...]] = {
    "circle": (_circle(0.95),),
    "square": (((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)),),
    "triangle": (((0, -0.9), (1, 0.83), (-1, 0.83)),),
    "star": (_star(),),
    "heart": (_heart(),),
    "ring": (_circle(1.0), _circle(0.52)),
    "cross": (_cross(1.0, 0.34),),
    "diamond": (((0, -1), (0.82, 0), (0, 1), (-0.82, 0)),),
}
