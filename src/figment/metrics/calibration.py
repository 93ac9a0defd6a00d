"""Calibration: whether the judge's certainty about generated pictures can be believed.

Pictures are put into bins by the judge's largest probability; in each bin the mean of that probability is compared with
the share of pictures that show what was asked for. The expected calibration error is the mean gap, weighted by how many
pictures a bin holds: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks" (2017), equation 3.

A generator scores badly here where the judge is sure of the wrong class, or unsure of the right one. `inception_score`
rests on the same probabilities, so a large error is a reason to doubt it. The error of few pictures is biased upwards:
compare with the floor. A classifier run is scored by the same formula on real pictures that were held out.
"""

from __future__ import annotations

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _samples

HIGHER_IS_BETTER = False
NEEDS = ("logits", "labels")
ON_REQUEST = True  # by name, or with --metrics all
BINS = 10
PROTOCOL = f"{BINS} bins of equal width, largest probability"


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`calibration_error`, in [0, 1]. `real` is not looked at: the asked labels are the reference.

    Raises DataError where logits are missing, no label was asked for, or a label is not one of the judge's classes.
    """
    return {"calibration_error": calibration_error(*_judged(fake))}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`calibration_error`, and its values for pictures drawn with replacement, (draws,)."""
    confidence, right = _judged(fake)
    count = len(right)
    gaps = np.zeros((count, BINS))
    gaps[np.arange(count), _bins(confidence)] = confidence - right
    counts = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    drawn = np.abs(counts @ gaps).sum(axis=1) / count
    return {"calibration_error": (calibration_error(confidence, right), drawn)}


def calibration_error(confidence: np.ndarray, right: np.ndarray) -> float:
    """Expected calibration error of probabilities (N,) in [0, 1], and whether each guess was right, (N,) bool."""
    rows = reliability(confidence, right)
    return sum(row["count"] * abs(row["confidence"] - row["accuracy"]) for row in rows) / len(right)


def reliability(confidence: np.ndarray, right: np.ndarray) -> list[dict[str, float]]:
    """What is behind a reliability diagram: for each bin of confidence its count, mean confidence and accuracy."""
    bins = _bins(confidence)
    return [
        {
            "count": int(here.sum()),
            "confidence": float(confidence[here].mean()),
            "accuracy": float(right[here].mean()),
        }
        for here in (bins == index for index in range(BINS))
        if here.any()
    ]


def _bins(confidence: np.ndarray) -> np.ndarray:
    return np.minimum((confidence * BINS).astype(int), BINS - 1)


def _judged(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """The judge's largest probability (n,) for each picture with a label, and whether it is that label's, (n,) bool."""
    logits = _samples.logits("calibration", sample)
    known = np.zeros(len(sample), dtype=bool) if sample.labels is None else sample.labels >= 0
    if sample.labels is None or not known.any():
        raise DataError("calibration needs generated pictures that were asked for by label, and there is none")
    if sample.labels.max() >= logits.shape[1]:
        raise DataError(
            f"calibration: label {sample.labels.max()} was asked for of a judge of {logits.shape[1]} classes"
        )
    probabilities = np.exp(logits[known] - logits[known].max(axis=1, keepdims=True))
    confidence = 1 / probabilities.sum(axis=1)  # the largest has become exp(0)
    return confidence, logits[known].argmax(axis=1) == sample.labels[known]
