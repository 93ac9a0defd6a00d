"""What a metric asks of the samples it is given, and the words in which it refuses them."""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample

_NAMES = {"real": "real", "fake": "generated", "train": "training"}

# Extractors work in float32. A number beyond its range is damage, and would overflow the third powers of `kid`.
_LARGEST = np.finfo(np.float32).max

# Rows that are looked at at a time.
_BLOCK_ROWS = 4096


def features(metric: str, *, at_least: int, **sides: Sample) -> list[np.ndarray]:
    """The features of each side, (N, D) float64, in the order given.

    sides: real=, fake= or train=, the names that the messages are worded for.
    Raises DataError where a side has fewer than `at_least` pictures, where features are not finite float32 numbers, or
    where the sides have different D.
    """
    return [array.astype(np.float64, copy=False) for array in given(metric, at_least=at_least, **sides)]


def given(metric: str, *, at_least: int, **sides: Sample) -> list[np.ndarray]:
    """As `features`, but float32 where they came so: of 50,000 pictures a second copy is what does not fit."""
    _require(metric, at_least, sides)
    return _matching(metric, {side: _checked(metric, "features", one.features, side) for side, one in sides.items()})


def spatial(metric: str, *, at_least: int, **sides: Sample) -> list[np.ndarray]:
    """The features of places of each side, (N, P), in the order given and in the dtype in which they came.

    Raises DataError as `features` does, and where a side has none.
    """
    _require(metric, at_least, sides)
    arrays = {}
    for side, sample in sides.items():
        if sample.spatial is None:
            raise DataError(
                f"{metric} compares features of places, and the extractor of the {_NAMES[side]} pictures gives none; "
                "take one that does, such as inception"
            )
        arrays[side] = _checked(metric, "spatial features", sample.spatial, side)
    return _matching(metric, arrays)


def _require(metric: str, at_least: int, sides: dict[str, Sample]) -> None:
    for side, sample in sides.items():
        if len(sample) < at_least:
            raise DataError(f"{metric} needs at least {at_least} {_NAMES[side]} pictures and was given {len(sample)}")


def _matching(metric: str, arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    widths = {array.shape[1] for array in arrays.values()}
    if len(widths) > 1:
        each = ", ".join(f"{_NAMES[side]} {array.shape[1]}" for side, array in arrays.items())
        raise DataError(f"{metric} compares features of one extractor, but their numbers a picture differ: {each}")
    return list(arrays.values())


def logits(metric: str, sample: Sample) -> np.ndarray:
    """The judge's logits of the generated pictures, (N, K) float64.

    Raises DataError where there are none or they are not finite float32 numbers.
    """
    if sample.logits is None or sample.logits.shape[1] < 2 or not len(sample):
        raise DataError(f"{metric} needs generated pictures and a judge that tells at least two classes apart")
    return _finite(metric, "logits", sample.logits, "fake")


def _finite(metric: str, part: str, array: np.ndarray, side: str) -> np.ndarray:
    return _checked(metric, part, array, side).astype(np.float64, copy=False)


def _checked(metric: str, part: str, array: np.ndarray, side: str) -> np.ndarray:
    broken = 0
    for start in range(0, len(array), _BLOCK_ROWS):
        inside = np.abs(array[start : start + _BLOCK_ROWS]) <= _LARGEST  # false for NaN, too
        broken += np.count_nonzero(~inside.all(axis=1))
    if broken:
        raise DataError(
            f"{metric}: the {part} of {broken} of {len(array)} {_NAMES[side]} pictures are not finite numbers; "
            "are the pictures themselves whole?"
        )
    return array
