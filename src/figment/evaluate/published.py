"""Scores against somebody's statistics of real pictures, where the pictures themselves are not to be had.

The `.npz` files of pytorch-fid and ADM hold a mean and a covariance, so a Fréchet distance is all that they allow.
There is no floor, and the interval is of the generated pictures alone. The features must be those that the statistics
were made of, with the same resize: nothing in the file tells.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from figment.core import plugins
from figment.core.errors import DataError
from figment.core.types import Extractor, Sample
from figment.evaluate.passport import extractor_facts, issued
from figment.evaluate.scores import MANY_FEATURES, Score, basic_estimate, shown_name
from figment.metrics._frechet import Gaussian, distance
from figment.metrics._moments import Moments
from figment.metrics._statistics import KEYS, Layer, Statistics, read_statistics, write_statistics


def publish(file: Path, real: Sample) -> None:
    """Write the statistics of these pictures' features, and of their places where they were looked at.

    Raises DataError where there are fewer than two.
    """
    if len(real) < 2:
        raise DataError(f"--statistics {file}: a covariance needs two pictures or more, there are {len(real)}")
    spatial = None if real.spatial is None else Moments.of(real.spatial)
    write_statistics(file, Moments.of(real.features), spatial)


def score_against(
    file: Path, fake: Sample, noise: Sample, extractor: Extractor, seed: int = 0
) -> tuple[dict[str, Score], list[str]]:
    """`fd` against the statistics in a file, `spatial_fd` too where both sides have it; and warnings.

    Raises DataError where the file is no such file, or its features have another width.
    """
    scores: dict[str, Score] = {}
    for metric, layer, x, noise_x in _layers(file, fake, noise):
        real = read_statistics(file, layer)
        if x.shape[1] != len(real.mean):
            raise DataError(
                f"{file}: statistics of {len(real.mean)} features, those of '{extractor.name}' are {x.shape[1]}; name "
                "the --features that they were made of"
            )
        name = shown_name(plugins.load("metrics", metric), metric, metric, extractor.name)
        scores[name] = _score(metric, name, x, noise_x, real, extractor, seed)
    told = f"{file}: only fd can be scored against statistics; it holds if they were made with {extractor.name}"
    return scores, [told]


def _layers(file: Path, fake: Sample, noise: Sample) -> Iterator[tuple[str, Layer, np.ndarray, np.ndarray]]:
    yield "fd", "features", fake.features, noise.features
    with np.load(file) as archive:
        has_places = set(KEYS["spatial"][:2]) <= set(archive.files)
    if has_places and fake.spatial is not None and noise.spatial is not None:
        yield "spatial_fd", "spatial", fake.spatial, noise.spatial


def _score(
    metric: str, name: str, x: np.ndarray, noise: np.ndarray, real: Statistics, extractor: Extractor, seed: int
) -> Score:
    x, rng = x.astype(np.float64), np.random.default_rng(seed)
    draws = 200 if x.shape[1] <= MANY_FEATURES else 20
    counts = (rng.multinomial(len(x), np.full(len(x), 1 / len(x))) for _ in range(draws))
    drawn = np.array([distance(real.gaussian, Gaussian.of(x, each)) for each in counts])
    estimate = basic_estimate(distance(real.gaussian, Gaussian.of(x)), drawn)
    definition = plugins.load("metrics", metric).PROTOCOL
    reference = f"{real.digest[:16]}:statistics"
    common = {"num_real": real.count or 0, "num_fake": len(x), "reference_digest": reference}
    facts = {"metric": name, "definition": definition, "seed": seed, **extractor_facts(extractor), **common}
    return Score(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        floor=None,
        num_real=real.count or 0,
        num_fake=len(x),
        extractor=extractor.name,
        reference_digest=reference,
        protocol=f"{definition}; 8-bit pictures; {estimate.method} of the generated pictures",
        ceiling=distance(real.gaussian, Gaussian.of(noise.astype(np.float64))),
        passport=issued(facts),
    )
