"""Pictures in pairs: a real one, and what became of it in a reconstruction or restoration."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample


def pairs(metric: str, *, real: Sample, fake: Sample, smallest: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of both sides, uint8 (N, H, W, C) each: fake[i] is what became of real[i].

    Raises DataError where a side has no pictures, where they are not as many or as large as those of the other side,
    or where they are less than `smallest` pixels high or wide.
    """
    if real.images is None or fake.images is None or not len(real):
        raise DataError(f"{metric} compares pictures, and was given none; give samples with their images")
    if real.images.shape != fake.images.shape:
        given = ", ".join(f"{len(images)} of {_size(images)}" for images in (real.images, fake.images))
        raise DataError(
            f"{metric} compares each real picture with what became of it, and was given {given}; give as many of each, "
            "of one size and in the same order"
        )
    if min(real.images.shape[1:3]) < smallest:
        raise DataError(
            f"{metric} needs pictures of at least {smallest}x{smallest}, these are {_size(real.images)}; use psnr"
        )
    return real.images, fake.images


def one_by_one(first: np.ndarray, second: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of pictures, (H, W, C) float64 each, of two arrays (N, H, W, C)."""
    assert first.shape == second.shape, (first.shape, second.shape)
    for one, other in zip(first, second, strict=True):
        yield one.astype(np.float64), other.astype(np.float64)


def _size(images: np.ndarray) -> str:
    return "x".join(map(str, images.shape[1:]))
