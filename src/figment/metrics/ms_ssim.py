"""Multi-scale structural similarity: `ssim` at five sizes at once, as if seen from five distances; 1 is exact.

The product over scales of (contrast and structure)^weight, with the luminance factor at the coarsest scale only. From
one scale to the next 2x2 pixels become their mean. Wang, Simoncelli and Bovik, "Multiscale Structural Similarity for
Image Quality Assessment" (2003), equation 7, with its weights. A scale whose mean is below 0 counts as 0, and each
channel has a product of its own.

Five scales need pictures of 176 pixels or more a side; `ms_ssim` takes fewer weights for smaller ones.

For pairs: real[i] is a picture, fake[i] what a reconstruction or restoration made of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from figment.core.types import Sample
from figment.metrics import _pairs, _structure

HIGHER_IS_BETTER = True
NEEDS = ("images", "paired")
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
PROTOCOL = "5 scales, weights of Wang et al. 2003, 11x11 Gaussian window, sigma 1.5, valid windows, range 255"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`ms_ssim`, in [0, 1].

    Raises DataError where the pictures are no pairs, or too small for five scales.
    """
    return {"ms_ssim": float(items(real=real, fake=fake)["ms_ssim"].mean())}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: `ms_ssim` (N,)."""
    smallest = _structure.WINDOW * 2 ** (len(WEIGHTS) - 1)
    return {"ms_ssim": ms_ssim(*_pairs.pairs("ms_ssim", real=real, fake=fake, smallest=smallest), data_range=255)}


def ms_ssim(first: np.ndarray, second: np.ndarray, data_range: float, weights: Sequence[float] = WEIGHTS) -> np.ndarray:
    """(N,) similarities of pairs of pictures (N, H, W, C), at least 11 pixels high and wide at the coarsest scale.

    data_range: the largest difference that two values can have: 255 for uint8, 2 for pictures in [-1, 1].
    """
    return np.array([_product(one, other, data_range, weights) for one, other in _pairs.one_by_one(first, second)])


def _product(x: np.ndarray, y: np.ndarray, data_range: float, weights: Sequence[float]) -> float:
    """x, y: (H, W, C)"""
    product = np.ones(x.shape[2])
    for scale, weight in enumerate(weights, start=1):
        similarity, contrast = _structure.similarity_and_contrast(x, y, data_range)
        product *= np.maximum(similarity if scale == len(weights) else contrast, 0) ** weight
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def _halved(picture: np.ndarray) -> np.ndarray:
    """(H, W, C) -> (H // 2, W // 2, C), means of 2x2 pixels; an odd last row or column is dropped."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).mean(axis=(1, 3))
