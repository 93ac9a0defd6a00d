"""What a metric asks of the samples it is given, and the words in which it refuses them."""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample

_NAMES = {"real": "real", "fake": "generated", "train": "training"}

# Extractors work in float32. A number beyond its range is damage, and would overflow the third powers of `kid`.
_LARGEST = np.finfo(np.float32).max


def features(metric: str, *, at_least: int, **sides: Sample) -> list[np.ndarray]:
    """The features of each side, (N, D) float64, in the order given.

    sides: real=, fake= or train=, the names that the messages are worded for.
    Raises DataError where a side has fewer than `at_least` pictures, where features are not finite float32 numbers, or
    where the sides have different D.
    """
    arrays = []
    for side, sample in sides.items():
        if len(sample) < at_least:
            raise DataError(f"{metric} needs at least {at_least} {_NAMES[side]} pictures and was given {len(sample)}")
        arrays.append(_finite(metric, "features", sample.features, side))
    widths = {array.shape[1] for array in arrays}
    if len(widths) > 1:
        each = ", ".join(f"{_NAMES[side]} {array.shape[1]}" for side, array in zip(sides, arrays, strict=True))
        raise DataError(f"{metric} compares features of one extractor, but their numbers a picture differ: {each}")
    return arrays


def logits(metric: str, sample: Sample) -> np.ndarray:
    """The judge's logits of the generated pictures, (N, K) float64.

    Raises DataError where there are none or they are not finite float32 numbers.
    """
    if sample.logits is None or sample.logits.shape[1] < 2 or not len(sample):
        raise DataError(f"{metric} needs generated pictures and a judge that tells at least two classes apart")
    return _finite(metric, "logits", sample.logits, "fake")


def _finite(metric: str, part: str, array: np.ndarray, side: str) -> np.ndarray:
    broken = ~(np.abs(array) <= _LARGEST).all(axis=1)  # a comparison with NaN is false, so this finds NaN too
    if broken.any():
        raise DataError(
            f"{metric}: the {part} of {broken.sum()} of {len(array)} {_NAMES[side]} pictures are not finite numbers; "
            "are the pictures themselves whole?"
        )
    return array.astype(np.float64, copy=False)
