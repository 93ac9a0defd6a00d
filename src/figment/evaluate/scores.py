"""Scores with what makes them honest: an interval, a floor, a ceiling, the counts and the passport.

An interval covers 95% and comes in one of three ways, by what the metric module offers:

- `items(...)`: the score is a mean, and these are what it is a mean of. Only they are resampled; radii and quantiles
  that were taken from the other side stay fixed. Where they are all 0 or 1, Wilson's interval (1927, score test) is
  used, which does not shrink to a point when all of 20 pictures pass. Where each item depends on which pictures the
  other side has, the interval is widened to how much the score varies with both sides: as `resamples`, offered too,
  differ, or where the metric only says that its items are TWO_SIDED, the scores of random quarters of both sides.
- `resamples(..., rng, draws)`: the score and (draws,) other values of it. The metric resamples itself, because repeated
  pictures would spoil it or because it has a quicker way.
- neither: the rows of both sides are drawn with replacement and the metric is computed again.

The latter two use the basic interval [2 v - q_high, 2 v - q_low]. Resampling adds the bias of a finite sample a second
time, so the quantiles q themselves may exclude both the truth and v; mirrored at v they allow for the bias. The
interval then is about the value without bias, and v can lie outside it: a warning says so.

The floor is the score of training pictures in place of generated ones, against the same real pictures and at the same
counts: what a perfect generator would get. The ceiling is the score of noise in their place: what knowing nothing
gets. Without training pictures there is no floor; scores of real pictures alone or of pairs have neither.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from figment.core import plugins
from figment.core.errors import DataError
from figment.core.types import Sample
from figment.evaluate.passport import issued

_QUANTILES = (0.025, 0.975)
_NORMAL_QUANTILE = 1.959963984540054

# Parts of a two-sided score, and how often they are drawn anew: as much work as the score itself.
_PARTS = 4
_PARTITIONS = 4


# What generated pictures have no part in, or one that others cannot take.
_WITHOUT_FLOOR = {"bits", "paired"}

# Features from which on a Fréchet distance takes so long that fewer resamples must do.
MANY_FEATURES = 512

_GAUSSIAN = ("fd", "FID")
_ENOUGH_FOR_FID = 10_000
_ENOUGH_FOR_NOVEL = 99  # held-out pictures, of which the nearest to the training set then marks the 1% quantile


@dataclass(frozen=True)
class Score:
    """One number and all that is needed to judge it.

    low, high: 95% interval; of a distance, low may be negative. floor: the same score of training pictures; None where
    they cannot be scored (a warning says why). extractor: what made the features, with layer and resize.
    reference_digest: of the real pictures. protocol: the metric's conventions, and how the interval was made. ceiling:
    the same score of noise. passport: what it may be compared by, see `figment.evaluate.passport`.
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
    higher_is_better: bool = False
    ceiling: float | None = None
    passport: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sides:
    """Held-out pictures, generated ones, what the model learned from, and noise: through one extractor, from 8 bits."""

    real: Sample
    fake: Sample
    train: Sample | None = None
    noise: Sample | None = None


@dataclass(frozen=True)
class Estimate:
    """A value with its 95% interval, and how that was made."""

    value: float
    low: float
    high: float
    method: str


def score_sample(
    sides: Sides,
    metrics: Sequence[str],
    *,
    extractor: str,
    reference_digest: str,
    facts: Mapping[str, Any] | None = None,
    seed: int = 0,
    draws: int = 0,
) -> tuple[dict[str, Score], list[str]]:
    """Every score of the named metrics, and warnings, a line each.

    facts: what the passports say beside what is known here. seed: of the resampling and of the floor's choice of
    pictures. draws: resamples; 0 takes 200, or 20 where there are so many features that each takes seconds. A metric
    that cannot be computed (too few pictures, no labels) is left out with a warning that says why.

    Raises ConfigError for an unknown metric.
    """
    sides = Sides(**{name: _in_float64(side) for name, side in vars(sides).items() if side is not None})
    draws = draws or (200 if sides.real.features.shape[1] <= MANY_FEATURES else 20)
    common: dict[str, Any] = {"extractor": extractor, "reference_digest": reference_digest}
    common |= {"num_real": len(sides.real), "num_fake": len(sides.fake)}
    scores: dict[str, Score] = {}
    warnings: list[str] = []
    for name in metrics:
        metric = plugins.load("metrics", name)
        rng = np.random.default_rng(seed)  # afresh, so that the choice of metrics does not matter
        try:
            estimates = _estimates(metric, _arguments(metric, sides, sides.fake), rng, draws)
        except DataError as error:
            warnings.append(f"{name} is left out: {error}")
            continue
        floors, ceilings = _anchors(name, metric, sides, seed, warnings)
        for key, estimate in estimates.items():
            shown, definition = shown_name(metric, name, key, extractor), getattr(metric, "PROTOCOL", "")
            passport = {"metric": shown, "definition": definition, "seed": seed, **common, **(facts or {})}
            scores[shown] = Score(
                value=estimate.value,
                low=estimate.low,
                high=estimate.high,
                floor=floors.get(key),
                ceiling=ceilings.get(key),
                protocol="; ".join(filter(None, (definition, "8-bit pictures", estimate.method))),
                higher_is_better=metric.HIGHER_IS_BETTER,
                passport=issued(passport),
                **common,
            )
    return scores, warnings + _doubts(scores, sides)


def _in_float64(sample: Sample) -> Sample:
    """Converted once here, not in every resample."""
    return replace(sample, features=np.asarray(sample.features, dtype=np.float64))


def shown_name(metric: ModuleType, name: str, key: str, extractor: str) -> str:
    """The name that a score goes by: some are reserved for one extractor, as FID for the original Inception network."""
    reserved = getattr(metric, "RESERVED", {}).get(extractor.partition(" ")[0])
    return reserved if reserved and key == name else key


def _arguments(metric: ModuleType, sides: Sides, fake: Sample, train: Sample | None = None) -> dict[str, Sample]:
    """The arguments of a metric; without images where it does not look at them, since resampling copies rows.

    Raises DataError where it needs training pictures and there are none.
    """
    arguments = {"real": sides.real, "fake": fake}
    if "train" in metric.NEEDS:
        train = sides.train if train is None else train
        if train is None:
            raise DataError("it compares with training pictures, which a folder does not tell; give --data a dataset")
        arguments["train"] = train
    if "images" not in metric.NEEDS:
        arguments = {name: replace(sample, images=None) for name, sample in arguments.items()}
    return arguments


def _anchors(
    name: str, metric: ModuleType, sides: Sides, seed: int, warnings: list[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """Floors and ceilings of a metric's scores; why there is no floor goes to `warnings`."""
    if _WITHOUT_FLOOR & set(metric.NEEDS):
        return {}, {}
    floors: dict[str, float] = {}
    ceilings: dict[str, float] = {}
    if sides.train is not None:
        try:
            floors = metric.score(**_floor_arguments(metric, sides, sides.train, seed))
        except DataError as error:
            warnings.append(f"{name} has no floor, training pictures in place of generated ones: {error}")
    if sides.noise is not None:
        with contextlib.suppress(DataError):  # noise may lie where no judge gives a finite answer
            ceilings = metric.score(**_arguments(metric, sides, sides.noise))
    return floors, {key: value for key, value in ceilings.items() if np.isfinite(value)}


def _floor_arguments(metric: ModuleType, sides: Sides, train: Sample, seed: int) -> dict[str, Sample]:
    """The arguments with training pictures, in random order, in place of the generated ones.

    A metric that compares with the training set is given the rest of it: no picture is compared with itself.
    """
    order = np.random.default_rng(seed).permutation(len(train))
    if "train" not in metric.NEEDS:
        return _arguments(metric, sides, train[order[: len(sides.fake)]])
    count = min(len(sides.fake), len(train) // 2)
    return _arguments(metric, sides, train[order[:count]], train[order[count:]])


def _estimates(
    metric: ModuleType, sides: dict[str, Sample], rng: np.random.Generator, draws: int
) -> dict[str, Estimate]:
    """Every value of one metric with its interval."""
    if hasattr(metric, "items"):
        spread, whose = _spread(metric, sides, rng, draws)
        estimates = {
            key: _mean_estimate(items, rng, draws, spread.get(key, 0.0), whose)
            for key, items in metric.items(**sides).items()
        }
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


def _spread(
    metric: ModuleType, sides: dict[str, Sample], rng: np.random.Generator, draws: int
) -> tuple[dict[str, float], str]:
    """Standard deviation of each score over fresh pictures on both sides, where items alone do not tell it; of what."""
    if hasattr(metric, "resamples"):
        drawn = metric.resamples(**sides, rng=rng, draws=draws)
        return {key: float(others.std()) for key, (_, others) in drawn.items()}, "resamples of both sides"
    return (_quarters_spread(metric, sides, rng) if getattr(metric, "TWO_SIDED", False) else {}), "quarters"


def _quarters_spread(metric: ModuleType, sides: dict[str, Sample], rng: np.random.Generator) -> dict[str, float]:
    """Standard deviation of each score over fresh pictures on both sides, from random quarters of those there are.

    The variance of four parts' mean is a fourth of theirs. Nothing where a quarter is too few pictures to score.
    """
    variances: dict[str, list[float]] = {}
    for _ in range(_PARTITIONS):
        cuts = {side: np.array_split(rng.permutation(len(sample)), _PARTS) for side, sample in sides.items()}
        try:
            parts = [metric.score(**{side: sides[side][cuts[side][part]] for side in sides}) for part in range(_PARTS)]
        except DataError:
            return {}
        for key in parts[0]:
            variances.setdefault(key, []).append(float(np.var([part[key] for part in parts], ddof=1)) / _PARTS)
    return {key: float(np.sqrt(np.mean(found))) for key, found in variances.items()}


def _mean_estimate(items: np.ndarray, rng: np.random.Generator, draws: int, spread: float, whose: str) -> Estimate:
    """The mean of items (n,), with an interval for other items of the same kind.

    spread: a standard deviation of the mean that the interval allows for where it is larger than the items' own; whose:
    what it was taken of.
    """
    value, count, shares = float(items.mean()), len(items), bool(np.isin(items, (0, 1)).all())
    # Agresti and Coull (1998): as if two more had passed and two failed, since none failing is no proof.
    own = np.append(items, [0, 0, 1, 1]).std() if shares else items.std()
    widened = max(1.0, spread * np.sqrt(count) / own) if own else 1.0
    note = f", widened to that of {whose}" if widened > 1 else ""
    if shares:
        return Estimate(value, *wilson_interval(value, count / widened**2), f"95% Wilson, {count} pictures{note}")
    counts = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    low, high = value + widened * (np.quantile(counts @ items / count, _QUANTILES) - value)
    method = f"95% bootstrap of the mean, {draws} draws of {count} pictures{note}"
    return Estimate(value, float(low), float(high), method)


def wilson_interval(share: float, count: float) -> tuple[float, float]:
    """95% interval of a probability, from the share seen in `count` trials; Wilson (1927)."""
    z2 = _NORMAL_QUANTILE**2 / count
    centre = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(share * (1 - share) * z2 + z2**2 / 4) / (1 + z2)
    # Rounding must not leave the share itself outside.
    return float(min(share, max(0.0, centre - half))), float(max(share, min(1.0, centre + half)))


def _doubts(scores: Mapping[str, Score], sides: Sides) -> list[str]:
    """What a reader of the scores should be told."""
    counts = len(sides.real), len(sides.fake)
    lines = _bias_doubts(scores, counts)
    width = sides.real.features.shape[1]
    for key in _GAUSSIAN:
        if key in scores and min(counts) <= width:
            lines.append(
                f"{key}: {min(counts)} pictures are no more than the {width} features: the covariance is singular and "
                "the bias large; give more pictures, or go by kid, which has none"
            )
    if "FID" in scores and min(counts) < _ENOUGH_FOR_FID:
        lines.append(f"FID: of {min(counts)} pictures; published values are of 50,000 and lower for that alone")
    if "novel" in scores and counts[0] < _ENOUGH_FOR_NOVEL:
        lines.append(
            f"novel: the 1% quantile of {counts[0]} held-out pictures is their least: of unseen pictures "
            f"{counts[0] / (counts[0] + 1):.3f} is expected, and the interval is too narrow; hold out "
            f"{_ENOUGH_FOR_NOVEL} or more"
        )
    if (
        sides.train is not None
        and len(sides.train) < counts[1]
        and any(one.floor is not None for one in scores.values())
    ):
        lines.append(
            f"floors are of {len(sides.train)} training pictures, fewer than the {counts[1]} generated ones: "
            "distances too high"
        )
    return lines


def _bias_doubts(scores: Mapping[str, Score], counts: tuple[int, int]) -> list[str]:
    """Values outside their intervals, in one line: the intervals allow for a bias that is larger than themselves."""
    outside = [key for key, score in scores.items() if not score.low <= score.value <= score.high]
    if not outside:
        return []
    way_out = "go by fd_infinite, which extrapolates" if "fd" in outside else "compare at equal counts only"
    lie = "lie outside their intervals" if len(outside) > 1 else "lies outside its interval"
    return [
        f"{', '.join(outside)}: {lie}, since the bias of {counts[0]} real and {counts[1]} generated pictures is "
        f"larger; {way_out}"
    ]
