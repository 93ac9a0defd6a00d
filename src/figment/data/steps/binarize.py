"""Make every colour value black or white by one draw that never changes; off unless it is given a seed.

Part of the data room. A value v of 0 to 255 becomes white with probability v / 255: the binary MNIST on which
likelihoods are compared (Salakhutdinov and Murray 2008). The draw belongs to the seed and to the picture's own pixels,
so it is the same on every machine, in any order and from any file. Leave it off for pictures to look at.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from figment.core.config import check_range
from figment.core.types import Record

ORDER = 50


@dataclass(frozen=True)
class Config:
    """Whether, and by which draw."""

    seed: int | None = None
    """Names the draw; left alone, pictures keep their grey levels."""

    def __post_init__(self):
        if self.seed is not None:
            check_range("binarize.seed", self.seed, 0, 2**63 - 1)


def mend(record: Record, config: Config) -> Record:
    """The record with every value of its image, uint8 (H, W, C) or (T, H, W, C), at 0 or 255."""
    if config.seed is None:
        return record
    pixels = record.image
    assert isinstance(pixels, np.ndarray)  # decode cannot be skipped
    return replace(record, image=binarized(pixels, config.seed))


def binarized(pixels: np.ndarray, seed: int) -> np.ndarray:
    """uint8 of any shape -> the same shape, 0 or 255."""
    digest = hashlib.blake2b(np.ascontiguousarray(pixels).tobytes(), digest_size=8, salt=seed.to_bytes(8, "little"))
    # Raw words, because numpy promises never to change those, unlike what its distributions make of them.
    words = np.random.PCG64(int.from_bytes(digest.digest(), "little")).random_raw(pixels.size)
    uniform = (words >> np.uint64(11)).astype(np.float64).reshape(pixels.shape) / 2**53
    return np.where(uniform * 255 < pixels, np.uint8(255), np.uint8(0))
