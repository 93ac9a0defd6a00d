"""Randomness that is derived, never stored: from a seed, or from (seed, epoch, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def mix(*parts: int) -> int:
    """One 63-bit seed out of several integers; every part changes it."""
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = _splitmix(state ^ _splitmix(np.array([part & (2**64 - 1)], np.uint64)))
    return int(state[0] >> np.uint64(1))


def _splitmix(state: np.ndarray) -> np.ndarray:
    """SplitMix64 (Steele, Lea and Flood 2014): uint64 in, well mixed uint64 out, element by element."""
    state = state + _GOLDEN  # unsigned arithmetic wraps, which is what the method wants
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def uniform(seed: int, epochs: np.ndarray, indices: np.ndarray, columns: int) -> np.ndarray:
    """Numbers in [0, 1) that belong to (seed, epoch, index) alone, whatever else is in the batch.

    epochs, indices: (B,) integers -> (B, columns) float32
    """
    rows = _splitmix(indices.astype(np.uint64) ^ _splitmix(epochs.astype(np.uint64) ^ np.uint64(mix(seed))))
    cells = _splitmix(rows[:, None] + np.arange(columns, dtype=np.uint64)[None, :] * _GOLDEN)
    return (cells >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def noise(seeds: Sequence[int], model: Any) -> Tensor:
    """One picture's noise for each seed, made on the CPU, so that a seed means the same picture in any batch.

    model: anything that `Generates`. Returns (B, *model.noise_shape()) standard normal.
    """
    return normal(seeds, model.noise_shape())


def normal(seeds: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Standard normal numbers of this shape for each seed, made on the CPU: (B, *shape)."""
    rows = [torch.randn(tuple(shape), generator=torch.Generator().manual_seed(mix(seed))) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, *shape)


def following(noise: Tensor) -> Callable[[int], Tensor]:
    """Fresh noise for every later step, derived from each row's own first noise.

    noise: (B, ...). Returns a function of the step: standard normal, of the same shape, dtype and device. Row i is
    made, on the CPU, from the step and a digest of row i alone, so it is the same alone or in any batch.
    """
    digests: list[int] = []
    source = torch.Generator()

    def noise_at(step: int) -> Tensor:
        if not digests:  # not before they are needed: most samplers never ask
            digests.extend(_digest(row) for row in noise.detach().float().cpu())
        seeds = _splitmix(np.array(digests, np.uint64) ^ _splitmix(np.array([step], np.uint64))) >> np.uint64(1)
        fresh = torch.empty(noise.shape)
        for row, seed in zip(fresh, seeds.tolist(), strict=True):
            row.normal_(generator=source.manual_seed(seed))
        return fresh.to(noise)

    return noise_at


def _digest(row: Tensor) -> int:
    """64 bits that tell one row of numbers from another."""
    return int.from_bytes(hashlib.blake2b(row.contiguous().numpy().tobytes(), digest_size=8).digest(), "little")
