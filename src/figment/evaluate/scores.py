"""Scores with what makes them honest: an interval, a floor, the counts and the protocol.

An interval covers 95% and comes in one of three ways, by what the metric module offers:

- `items(...)`: the score is a mean, and these are what it is a mean of. Only they are resampled; radii and quantiles
  that were taken from the other side stay fixed. Where they are all 0 or 1, Wilson's interval (1927, score test) is
  used, which does not shrink to a point when all of 20 pictures pass.
- `resamples(..., rng, draws)`: the score and (draws,) other values of it. The metric resamples itself, because repeated
  pictures would spoil it or because it has a quicker way.
- neither: the rows of both sides are drawn with replacement and the metric is computed again.

The latter two use the basic interval [2 v - q_high, 2 v - q_low]. Resampling adds the bias of a finite sample a second
time, so the quantiles q themselves may exclude both the truth and v; mirrored at v they allow for the bias. The
interval then is about the value without bias, and v can lie outside it: a warning says so.

The floor is the score of training pictures in place of generated ones, against the same real pictures and at the same
counts: what a perfect generator would get.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType

import numpy as np

from figment.core import plugins
from figment.core.errors import DataError
from figment.core.types import Sample

_QUANTILES = (0.025, 0.975)
_NORMAL_QUANTILE = 1.959963984540054


@dataclass(frozen=True)
class Score:
    """One number and all that is needed to judge it.

    low, high: 95% interval; of a distance, low may be negative. floor: the same score of training pictures; None where
    they cannot be scored (a warning says why). extractor: what made the features, with layer and resize.
    reference_digest: of the real pictures. protocol: the metric's conventions, and how the interval was made.
    """

    value: float
    low: float
    high: float
    floor: float | None
    num_real: int
    num_fake: int
    extractor: str
    reference_digest: str
    protocol: str


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval, and how that was made."""

    value: float
    low: float
    high: float
    method: str


def score_sample(
    *,
    real: Sample,
    fake: Sample,
    train: Sample,
    metrics: Sequence[str],
    extractor: str,
    reference_digest: str,
    seed: int = 0,
    draws: int = 200,
) -> tuple[dict[str, Score], list[str]]:
    """Every score of the named metrics, and warnings, a line each.

    real: held-out pictures; fake: generated; train: what the model learned from. All were rounded to 8 bits and put
    through the same extractor. seed: of the resampling and of the floor's choice of pictures. draws: resamples; 200 are
    quick except for `fd` of thousands of features, where 20 must do. A metric that cannot be computed (too few
    pictures, no labels) is left out with a warning that says why.

    Raises ConfigError for an unknown metric.
    """
    real, fake, train = _in_float64(real), _in_float64(fake), _in_float64(train)
    order = np.random.default_rng(seed).permutation(len(train))
    describe = partial(
        Score, num_real=len(real), num_fake=len(fake), extractor=extractor, reference_digest=reference_digest
    )
    scores: dict[str, Score] = {}
    warnings: list[str] = []
    for name in metrics:
        metric = plugins.load("metrics", name)
        rng = np.random.default_rng(seed)  # afresh, so that the choice of metrics does not matter
        try:
            estimates = _estimates(metric, _sides(metric, real, fake, train), rng, draws)
        except DataError as error:
            warnings.append(f"{name} is left out: {error}")
            continue
        try:
            floors = metric.score(**_floor_sides(metric, real, train, order, len(fake)))
        except DataError as error:
            floors = {}
            warnings.append(f"{name} has no floor, training pictures in place of generated ones: {error}")
        for key, estimate in estimates.items():
            scores[key] = describe(
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                floor=floors.get(key),
                protocol="; ".join(filter(None, (getattr(metric, "PROTOCOL", ""), "8-bit pictures", estimate.method))),
            )
    return scores, warnings + _doubts(scores, len(train))


def _in_float64(sample: Sample) -> Sample:
    """Converted once here, not in every resample."""
    return replace(sample, features=np.asarray(sample.features, dtype=np.float64))


def _sides(metric: ModuleType, real: Sample, fake: Sample, train: Sample) -> dict[str, Sample]:
    """The arguments of a metric; without images where it does not look at them, since resampling copies rows."""
    sides = {"real": real, "fake": fake} | ({"train": train} if "train" in metric.NEEDS else {})
    if "images" not in metric.NEEDS:
        sides = {name: replace(sample, images=None) for name, sample in sides.items()}
    return sides


def _floor_sides(
    metric: ModuleType, real: Sample, train: Sample, order: np.ndarray, num_fake: int
) -> dict[str, Sample]:
    """The arguments with training pictures, in random `order`, in place of the generated ones.

    A metric that compares with the training set is given the rest of it: no picture is compared with itself.
    """
    if "train" not in metric.NEEDS:
        return _sides(metric, real, train[order[:num_fake]], train)
    count = min(num_fake, len(train) // 2)
    return _sides(metric, real, train[order[:count]], train[order[count:]])


def _estimates(
    metric: ModuleType, sides: dict[str, Sample], rng: np.random.Generator, draws: int
) -> dict[str, Estimate]:
    """Every value of one metric with its interval."""
    if hasattr(metric, "items"):
        estimates = {key: _mean_estimate(items, rng, draws) for key, items in metric.items(**sides).items()}
    else:
        resample = getattr(metric, "resamples", None) or partial(_row_resamples, metric)
        drawn = resample(**sides, rng=rng, draws=draws)
        estimates = {key: basic_estimate(value, others) for key, (value, others) in drawn.items()}
    for key, estimate in estimates.items():
        if not np.isfinite((estimate.value, estimate.low, estimate.high)).all():
            raise DataError(f"{key} or its interval is not a finite number for these pictures")
    return estimates


def _row_resamples(
    metric: ModuleType, *, rng: np.random.Generator, draws: int, **sides: Sample
) -> dict[str, tuple[float, np.ndarray]]:
    """Each score, and its values (draws,) for rows of the real and of the generated side drawn with replacement."""
    scores, drawn = metric.score(**sides), []
    for _ in range(draws):
        again = {side: sides[side][rng.integers(len(sides[side]), size=len(sides[side]))] for side in ("real", "fake")}
        drawn.append(metric.score(**(sides | again)))
    return {key: (value, np.array([values[key] for values in drawn])) for key, value in scores.items()}


def basic_estimate(value: float, drawn: np.ndarray) -> Estimate:
    """The basic bootstrap interval from resampled values (draws,); Davison and Hinkley (1997), section 5.2."""
    low, high = np.quantile(drawn, _QUANTILES)
    return Estimate(value, float(2 * value - high), float(2 * value - low), f"95% basic bootstrap, {len(drawn)} draws")


def _mean_estimate(items: np.ndarray, rng: np.random.Generator, draws: int) -> Estimate:
    """The mean of items (n,), with an interval for other items of the same kind."""
    value, count = float(items.mean()), len(items)
    if np.isin(items, (0, 1)).all():
        return Estimate(value, *wilson_interval(value, count), f"95% Wilson, {count} pictures")
    counts = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    low, high = np.quantile(counts @ items / count, _QUANTILES)
    return Estimate(value, float(low), float(high), f"95% bootstrap of the mean, {draws} draws of {count} pictures")


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """95% interval of a probability, from the share seen in `count` trials; Wilson (1927)."""
    z2 = _NORMAL_QUANTILE**2 / count
    centre = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    # Rounding must not leave the share itself outside.
    return float(min(share, max(0.0, centre - half))), float(max(share, min(1.0, centre + half)))


def _doubts(scores: dict[str, Score], num_train: int) -> list[str]:
    """What a reader of the scores should be told."""
    lines = [
        f"{key}: {score.value:.4g} lies outside its interval, {score.low:.4g} to {score.high:.4g}: the bias of "
        f"{score.num_real} real and {score.num_fake} generated pictures is larger; compare it at equal counts only"
        for key, score in scores.items()
        if not score.low <= score.value <= score.high
    ]
    num_fake = max((score.num_fake for score in scores.values()), default=0)
    if num_train < num_fake:
        lines.append(
            f"floors are of {num_train} training pictures, fewer than the {num_fake} generated ones: distances too high"
        )
    return lines
