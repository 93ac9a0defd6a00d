"""Inception score with the judge's classes: generated pictures that are each clear and together varied.

exp(mean_i KL(p(y|x_i) || p(y))), p(y) the mean of p(y|x_i): 1 where all pictures get the same answer, K where each of
K classes is seen with certainty and equally often. Salimans et al., "Improved Techniques for Training GANs" (2016),
section 4. It looks at no real picture, so read it beside its floor, the score of training pictures.

Published numbers use the 1008 outputs of the original Inception network and the mean over 10 parts of 5,000 pictures.
Here it is one part: the mean of small parts is lower, since p(y) then adapts to each. `split_scores` gives the parts.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _samples

HIGHER_IS_BETTER = True
NEEDS = ("logits",)
PROTOCOL = "one part, natural logarithm, float64"
RESERVED = {"inception": "IS"}  # what it may be called with the classes of which extractor


def score(*, real: Sample, fake: Sample) -> dict[str, float]:
    """`inception_score`, in [1, K]. `real` is not looked at.

    Raises DataError where logits are missing.
    """
    return {"inception_score": float(split_scores(_samples.logits("inception_score", fake), 1)[0])}


def resamples(
    *, real: Sample, fake: Sample, rng: np.random.Generator, draws: int
) -> dict[str, tuple[float, np.ndarray]]:
    """`inception_score`, and its values for generated pictures drawn with replacement, (draws,)."""
    logits = _samples.logits("inception_score", fake)
    p, negative_entropies = _answers(logits)
    weights = rng.multinomial(len(p), np.full(len(p), 1 / len(p)), size=draws) / len(p)
    return {"inception_score": (float(split_scores(logits, 1)[0]), _scores(weights @ p, weights @ negative_entropies))}


def split_scores(logits: np.ndarray, splits: int) -> np.ndarray:
    """logits (N, K) -> (splits,), the score of each contiguous part; part i starts at row floor(i N / splits).

    Raises DataError where there are fewer rows than parts.
    """
    if not 1 <= splits <= len(logits):
        raise DataError(f"inception_score: {len(logits)} pictures cannot be cut into {splits} parts")
    starts = [part * len(logits) // splits for part in range(splits + 1)]
    return np.array([_score(logits[start:stop]) for start, stop in pairwise(starts)])


def _score(logits: np.ndarray) -> float:
    p, negative_entropies = _answers(logits)
    return float(_scores(p.mean(axis=0), negative_entropies.mean()))


def _answers(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, K) -> p(y|x_i), (N, K), and sum_y p log p of each, (N,)."""
    log_p = logits - logits.max(axis=1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(axis=1, keepdims=True))
    p = np.exp(log_p)
    return p, (p * log_p).sum(axis=1)


def _scores(marginal: np.ndarray, negative_entropy: np.ndarray | float) -> np.ndarray:
    """The mean KL divergence from p(y), (..., K), is the entropy of p(y) less the mean entropy, (...)."""
    # A class whose probability underflows in every row adds 0 log 0 = 0.
    log_marginal = np.log(marginal, where=marginal > 0, out=np.zeros_like(marginal))
    return np.exp(negative_entropy - (marginal * log_marginal).sum(axis=-1))
