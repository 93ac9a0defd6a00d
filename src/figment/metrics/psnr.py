"""Peak signal-to-noise ratio: how exactly each picture was rebuilt, in decibels.

10 log10(range^2 / mean squared error) of each pair, averaged over pairs. 8-bit pictures have the range 255. It counts
errors and not how they look: a shift by one pixel costs as much as heavy noise. Read it beside `ssim` and `lpips`.

For pairs: real[i] is a picture, fake[i] what a reconstruction or restoration made of it.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _pairs

HIGHER_IS_BETTER = True
NEEDS = ("images", "paired")
PROTOCOL = "range 255, mean over pictures of each one's ratio"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`psnr`, in decibels.

    Raises DataError where the pictures are no pairs, or where a pair is equal and its ratio infinite.
    """
    return {"psnr": float(items(real=real, fake=fake)["psnr"].mean())}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: `psnr` (N,)."""
    values = psnr(*_pairs.pairs("psnr", real=real, fake=fake), data_range=255)
    exact = np.isinf(values).sum()
    if exact:
        raise DataError(
            f"psnr: {exact} of {len(values)} pairs are equal to the last bit, so their ratio is infinite; use ssim"
        )
    return {"psnr": values}


def psnr(first: np.ndarray, second: np.ndarray, data_range: float) -> np.ndarray:
    """(N,) ratios of pairs of pictures (N, H, W, C), in decibels; infinite where they are equal.

    data_range: the largest difference that two values can have: 255 for uint8, 2 for pictures in [-1, 1].
    """
    errors = np.array([np.square(one - other).mean() for one, other in _pairs.one_by_one(first, second)])
    with np.errstate(divide="ignore"):
        return 10 * np.log10(data_range**2 / errors)
