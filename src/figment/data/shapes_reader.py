"""The data room: look at a picture of drawn figures and say what it shows, to check pictures that a model generated.

    read(pixels).figures[0].colour             what is there
    shows(pixels, "a small red circle")        whether a caption is true of the picture

What differs from the border's colour is cut into patches that hang together. A patch has the nearest colour of the
palette. Its ink and its centre of mass say where and how large each shape would be; the one whose drawing agrees best
is named. Noise, blur and slight errors of colour do not matter; a patch that no shape fits is a figure without shape.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from figment.data.shapes_drawing import coverage, moments
from figment.data.shapes_scene import COLOURS, SHAPES, SIZES, Figure, Scene, captions_of

MIN_CONTRAST = 0.35  # ink of a pixel that counts as drawn
MIN_AREA = 0.008  # of the picture: smaller patches are specks; the smallest figure has three times as much
MAX_MISFIT = 0.45  # share of a figure's area in which its best shape may be wrong
MIN_MOVE = 0.08  # of the side, between first and last frame


def shows(pixels: np.ndarray, caption: str) -> bool:
    """Whether a caption of `figment.data.shapes_scene`, in either language, is true of a picture or sequence.

    pixels: uint8 (H, H, 3) or (T, H, H, 3).
    """
    return caption in captions_of(read_clip(pixels) if pixels.ndim == 4 else read(pixels))


def read(pixels: np.ndarray) -> Scene:
    """What a picture shows, its figures from left to right or from top to bottom.

    pixels: uint8 (H, H, C); alpha is not looked at.
    """
    picture = np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels[..., :3]
    picture = picture.astype(np.float32)
    ground = np.median(np.concatenate([picture[[0, -1]].reshape(-1, 3), picture[:, [0, -1]].reshape(-1, 3)]), axis=0)
    return _arranged([_figure(*patch) for patch in _patches(picture, ground)])


def read_clip(frames: np.ndarray) -> Scene:
    """What a sequence, uint8 (T, H, H, C), shows: the scene of its middle frame, with what moved from first to last.

    A scene whose frames show different numbers of figures has none.
    """
    scenes = [read(frames[place]) for place in (0, len(frames) // 2, -1)]
    if len({len(scene.figures) for scene in scenes}) > 1:
        return Scene(())
    first, middle, last = (sorted(scene.figures, key=lambda one: (one.colour, one.shape)) for scene in scenes)
    moved = zip(first, middle, last, strict=True)
    return _arranged([replace(between, **_motion(before, after)) for before, between, after in moved])


def _motion(before: Figure, after: Figure) -> dict[str, str]:
    """Which motion takes one figure to the other; of one that grows or shrinks, the size is not mentioned."""
    right, down, growth = after.x - before.x, after.y - before.y, after.radius - before.radius
    if max(abs(right), abs(down)) >= MIN_MOVE:
        if abs(right) > abs(down):
            return {"motion": "moving right" if right > 0 else "moving left"}
        return {"motion": "moving down" if down > 0 else "moving up"}
    if abs(growth) >= MIN_MOVE / 2:
        return {"motion": "growing" if growth > 0 else "shrinking", "size": ""}
    return {"motion": ""}


def _arranged(figures: list[Figure]) -> Scene:
    if len(figures) != 2:
        return Scene(tuple(figures))
    x, y = (abs(getattr(figures[0], axis) - getattr(figures[1], axis)) for axis in "xy")
    first, second = sorted(figures, key=lambda figure: figure.x if x > y else figure.y)
    return Scene((first, second), "left of" if x > y else "above")


def _patches(picture: np.ndarray, ground: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """(ink (H, W) in [0, 1], colour (3,)) of every patch, the largest first."""
    import cv2

    difference = picture - ground
    strength = np.linalg.norm(difference, axis=2)
    drawn = strength > MIN_CONTRAST * _least_contrast(ground)
    number, places = cv2.connectedComponents(drawn.astype(np.uint8), connectivity=8)
    found = []
    for place in range(1, number):
        patch = places == place
        if patch.sum() < MIN_AREA * patch.size:
            continue
        core = patch & (strength >= np.quantile(strength[patch], 0.6))
        colour = np.median(picture[core], axis=0)
        if np.linalg.norm(colour - ground) < MIN_CONTRAST * _least_contrast(ground):
            continue  # grain on both sides of the ground, and no colour of its own
        around = cv2.dilate(patch.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        direction = (colour - ground) / np.square(colour - ground).sum()
        ink = np.where(around, difference @ direction, 0).clip(0, 1)
        found.append((ink, colour))
    return sorted(found, key=lambda one: -one[0].sum())


def _least_contrast(ground: np.ndarray) -> float:
    """Distance of the background to the nearest colour that figures have."""
    return min(float(np.linalg.norm(np.array(rgb) - ground)) for _, rgb in COLOURS.values())


def _figure(ink: np.ndarray, colour: np.ndarray) -> Figure:
    side, mass = len(ink), float(ink.sum())
    centres = (np.arange(side) + 0.5) / side
    x, y = float((ink.sum(0) * centres).sum() / mass), float((ink.sum(1) * centres).sum() / mass)
    best, best_misfit = Figure("", "", "", x, y, 0.0), float("inf")
    for shape in SHAPES:
        area, below = moments(shape)
        radius = float(np.sqrt(mass / area)) / side
        top = y - below * radius
        misfit = float(np.abs(ink - coverage(shape, x, top, radius, side)).sum()) / mass
        if misfit < best_misfit:
            best, best_misfit = Figure("", shape, _size(radius), x, top, radius), misfit
    name = min(COLOURS, key=lambda name: float(np.linalg.norm(colour - np.array(COLOURS[name][1]))))
    return replace(best, colour=name, shape=best.shape if best_misfit <= MAX_MISFIT else "")


def _size(radius: float) -> str:
    """The nearest size, by ratio."""
    return min(SIZES, key=lambda name: abs(np.log(radius * 2 / (SIZES[name][1] + SIZES[name][2]))))
