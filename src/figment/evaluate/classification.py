"""How good a classifier is: accuracy, precision, recall and F1 of each class, confusion, calibration."""

from __future__ import annotations

from typing import Any

import numpy as np

from figment.metrics.calibration import calibration_error, reliability


def classification(logits: np.ndarray, labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    """logits (N, K), labels (N,) in [0, K) -> plain JSON values.

    Precision, recall and F1 are 0 where their denominator is, as in scikit-learn. `calibration_error` is the expected
    calibration error with equal-width bins (Guo et al. 2017, equation 3).
    """
    count = len(classes)
    logits = logits.astype(np.float64)
    probabilities = np.exp(logits - logits.max(1, keepdims=True))
    probabilities /= probabilities.sum(1, keepdims=True)
    guess = probabilities.argmax(1)
    confusion = np.bincount(labels * count + guess, minlength=count * count).reshape(count, count)
    right, asked, given = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
    precision, recall = _ratio(right, given), _ratio(right, asked)
    f1 = _ratio(2 * right, asked + given)
    confidence = probabilities.max(1)
    return {
        "accuracy": float((guess == labels).mean()),
        "macro_f1": float(f1.mean()),
        "calibration_error": calibration_error(confidence, guess == labels),
        "classes": [
            {"name": name, "precision": float(p), "recall": float(r), "f1": float(f), "count": int(n)}
            for name, p, r, f, n in zip(classes, precision, recall, f1, asked, strict=True)
        ],
        "confusion": confusion.tolist(),
        "reliability": reliability(confidence, guess == labels),
    }


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
