"""LPIPS: how different each rebuilt picture looks from the original to a network; 0 is the same.

Version 0.1 on AlexNet, as in most papers; the equation is in `losses/perceptual.py`. Zhang et al., "The Unreasonable
Effectiveness of Deep Features as a Perceptual Metric" (2018). Unlike `psnr` and `ssim` it forgives fine texture that is
another one but looks alike. Grey pictures are given to it as three equal channels.

The network's two published weight files, `alexnet-owt-7be5be79.pth` and `alex.pth`, are not part of figment. Put both
into `~/.cache/figment/weights`, or into a folder that the environment variable FIGMENT_LPIPS names. Their SHA-256 is
checked.

For pairs: real[i] is a picture, fake[i] what a reconstruction or restoration made of it.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from figment.core.errors import CheckpointError, DataError
from figment.core.images import to_float
from figment.core.types import Sample
from figment.losses.perceptual import BACKBONE, HEADS, SMALLEST, Perceptual, load_perceptual
from figment.metrics import _pairs

HIGHER_IS_BETTER = False
NEEDS = ("images", "paired")
VARIABLE = "FIGMENT_LPIPS"
FILES = (BACKBONE, HEADS)
PROTOCOL = "v0.1, alex, input in [-1, 1], native size"

_CHUNK = 16


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`lpips`, 0 or more.

    Raises DataError where the pictures are no pairs, too small, or no weights were given.
    """
    return {"lpips": float(items(real=real, fake=fake)["lpips"].mean())}


def items(*, real: Sample, fake: Sample) -> dict[str, np.ndarray]:
    """What the score is a mean of: `lpips` (N,)."""
    first, second = _pairs.pairs("lpips", real=real, fake=fake, smallest=SMALLEST)
    if first.shape[3] not in (1, 3):
        raise DataError(f"lpips needs grey or RGB pictures, these have {first.shape[3]} channels; use psnr")
    try:
        network = load_perceptual(_folder())
    except CheckpointError as error:
        raise DataError(f"lpips needs its published weights, in a folder that {VARIABLE} names: {error}") from None
    return {"lpips": lpips(first, second, network)}


@torch.no_grad()
def lpips(first: np.ndarray, second: np.ndarray, network: Perceptual) -> np.ndarray:
    """(N,) distances of pairs of uint8 pictures (N, H, W, C), C = 1 or 3, at least 31 high and wide."""
    assert first.shape == second.shape, (first.shape, second.shape)
    chunks = (slice(low, low + _CHUNK) for low in range(0, len(first), _CHUNK))
    distances = [network(to_float(first[rows]), to_float(second[rows])).numpy() for rows in chunks]
    return np.concatenate(distances).astype(np.float64)


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "figment/weights"
    return Path(os.environ.get(VARIABLE) or cache)
