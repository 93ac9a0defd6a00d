"""The data room: what is measured of every picture when it is decoded: figures of its looks, a hash, a thumbnail.

All of it is measured once, at the picture's own shape and before it is cut, and is kept in the index; steps that judge
looks or search for copies never open a picture again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from figment.data.hashing import perceptual_hashes
from figment.data.pixels import to_channels

SCALE = 256  # longest side at which looks are measured, so that large and small copies measure alike
THUMBNAIL = 16  # side of the thumbnail
HASHED_SIDE = 32  # pictures with a shorter side than this show too little to be told from their like by a hash
HASHED_DEVIATION = 4.0  # flat pictures have no frequencies but noise: their hashes would all collide
HASHED_ENTROPY = 3.0  # bits; drawn figures on plain ground differ by too little (CIFAR-10: 99.9 % are above 3.7)


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a picture.

    looks: brightness (1st, 50th and 99th percentile, 0..255), range (largest difference within a channel, 0..255),
        entropy (bits, 0..8), sharpness (variance of the Laplacian over that of the brightness), border (share of the
        picture that plain bars at its edges take), side (shorter side, pixels), aspect (longer side over shorter).
    hashes: the hash, that of the mirror image and that of the inner part, 96 bytes;
        None of sequences and of what is too small or too plain.
    thumbnail: uint8 (16, 16, C), C = 1 or 3, as bytes; None of sequences.
    """

    looks: dict[str, Any] = field(default_factory=dict)
    hashes: bytes | None = None
    thumbnail: bytes | None = None


def measure(pixels: np.ndarray) -> Figures:
    """uint8 (H, W, C) or (T, H, W, C), C = 1, 3 or 4 -> its figures. What is transparent is laid on white."""
    import cv2

    height, width = pixels.shape[-3:-1]
    strip = pixels.reshape(-1, *pixels.shape[-2:])
    seen = to_channels(strip, min(3, strip.shape[2] | 1)) if strip.shape[2] == 4 else strip
    small = _shrunk(seen, min(1.0, SCALE / max(height, width)))
    grey = to_channels(small, 1)[..., 0]
    looks = {
        "brightness": [round(float(one), 1) for one in np.percentile(grey, (1, 50, 99))],
        "range": _range(strip),
        "entropy": _entropy(grey),
        "sharpness": _sharpness(grey),
        "border": _border(grey),
        "side": min(height, width),
        "aspect": round(max(height, width) / min(height, width), 3),
    }
    if pixels.ndim == 4:
        return Figures(looks)
    thumbnail = cv2.resize(small, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA).tobytes()
    is_plain = grey.std() < HASHED_DEVIATION or looks["entropy"] < HASHED_ENTROPY
    if min(height, width) < HASHED_SIDE or is_plain:
        return Figures(looks, None, thumbnail)
    return Figures(looks, b"".join(perceptual_hashes(grey)), thumbnail)


def _shrunk(pixels: np.ndarray, scale: float) -> np.ndarray:
    import cv2

    if scale == 1.0:
        return pixels
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return small if small.ndim == 3 else small[..., None]


def _range(strip: np.ndarray) -> int:
    """By OpenCV, since NumPy takes a hundred times as long along the last axis but one."""
    import cv2

    extremes = [cv2.minMaxLoc(channel)[:2] for channel in cv2.split(strip)]
    return max(int(high - low) for low, high in extremes)


def _entropy(grey: np.ndarray) -> float:
    """Of the values' histogram, in bits."""
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return round(float(-(shares * np.log2(shares)).sum()), 3) + 0.0


def _sharpness(grey: np.ndarray) -> float:
    """Contrast does not count: a faint picture may be sharp, and a blurred one have strong light and shade."""
    import cv2

    variance = float(grey.var())
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    return round(float(edges.var()) / variance, 5) if variance else 0.0


def _border(grey: np.ndarray) -> float:
    """Share of the area taken by bars at the edges, each row or column of which has one value (give or take 2)."""
    plain_rows, plain_columns = np.ptp(grey, axis=1) <= 4, np.ptp(grey, axis=0) <= 4
    if plain_rows.all() or plain_columns.all():
        return 1.0
    rows, columns = np.flatnonzero(~plain_rows), np.flatnonzero(~plain_columns)
    kept = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
    return round(1 - float(kept) / grey.size, 4)
