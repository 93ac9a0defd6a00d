"""Structural similarity: whether brightness, contrast and structure of each picture were kept; 1 is exact.

The mean over all 11x11 windows inside the picture, over channels and over pairs. Wang, Bovik, Sheikh and Simoncelli,
"Image Quality Assessment: From Error Visibility to Structural Similarity" (2004), equation 13, with its constants;
scikit-image agrees with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`. Libraries that use a flat
window, or that count windows beyond the border, differ in the second or third decimal.

For pairs: real[i] is a picture, fake[i] what a reconstruction or restoration made of it.
"""

from __future__ import annotations

import numpy as np

from figment.core.types import Sample
from figment.metrics import _pairs, _structure

HIGHER_IS_BETTER = True
NEEDS = ("images", "paired")
SMALLEST = _structure.WINDOW  # side of the pictures
PROTOCOL = "11x11 Gaussian window, sigma 1.5, K1=0.01, K2=0.03, population covariance, valid windows, range 255"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`ssim`, at most 1.

    Raises DataError where the pictures are no pairs, or smaller than the window.
    """
    return {"ssim": float(items(real=real, fake=fake)["ssim"].mean())}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: `ssim` (N,)."""
    return {"ssim": ssim(*_pairs.pairs("ssim", real=real, fake=fake, smallest=SMALLEST), data_range=255)}


def ssim(first: np.ndarray, second: np.ndarray, data_range: float) -> np.ndarray:
    """(N,) similarities of pairs of pictures (N, H, W, C), at least 11 high and wide.

    data_range: the largest difference that two values can have: 255 for uint8, 2 for pictures in [-1, 1].
    """
    return np.array(
        [
            _structure.similarity_and_contrast(one, other, data_range)[0].mean()
            for one, other in _pairs.one_by_one(first, second)
        ]
    )
