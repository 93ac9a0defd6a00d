"""Discrepancy under a Gaussian kernel: closed forms, bias, tiles, spread."""

from __future__ import annotations

import numpy as np
import pytest

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _kernels, mmd


def score(x, y):
    return mmd.score(real=Sample(np.asarray(x)), fake=Sample(np.asarray(y)))["mmd"]


def test_two_orthogonal_unit_vectors():
    """The check-point of the CMMD statistic: 2000 (1 - e^-0.01)."""
    assert score([[1.0, 0.0]], [[0.0, 1.0]]) == pytest.approx(19.900332501663787, rel=1e-12)


def test_identical_sets_are_at_distance_zero():
    x = np.random.default_rng(0).normal(size=(30, 5))
    assert score(x, x) == pytest.approx(0, abs=1e-9)


def test_equals_the_definition():
    rng = np.random.default_rng(1)
    x, y = 5 * rng.normal(size=(9, 3)), 5 * rng.normal(size=(7, 3)) + 4

    def mean(a, b):
        return np.exp(-np.square(a[:, None] - b[None]).sum(axis=2) / 200).mean()

    assert score(x, y) == pytest.approx(1000 * (mean(x, x) + mean(y, y) - 2 * mean(x, y)), rel=1e-12)
    assert score(y, x) == pytest.approx(score(x, y), rel=1e-12)


def test_tiles_do_not_change_the_value(monkeypatch):
    rng = np.random.default_rng(2)
    x, y = 5 * rng.normal(size=(37, 4)), 5 * rng.normal(size=(23, 4)) + 2
    whole = score(x, y)
    for rows in (1, 10, 23, 30):
        monkeypatch.setattr(_kernels, "TILE", rows)
        assert score(x, y) == pytest.approx(whole, rel=1e-12)


def gaussian_distance(width, shift):
    """Between unit Gaussians `shift` apart in each direction; differences of two pictures have variance 2."""
    return 2000 * (1 + 2 / 100) ** (-width / 2) * (1 - np.exp(-width * shift**2 / 204))


@pytest.mark.parametrize("shift", [0, 3])
def test_the_bias_is_that_of_pairs_of_a_picture_with_itself(shift):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 500, 20, 6))
    unbiased, biased = np.transpose(
        [(mmd.unbiased(a, b + shift), score(a, b + shift)) for a, b in zip(x, y, strict=True)]
    )
    error = unbiased.std() / np.sqrt(500)
    assert unbiased.mean() == pytest.approx(gaussian_distance(6, shift), abs=3 * error)
    bias = 2 * (1000 - 1000 * 1.02**-3) / 20
    assert biased.mean() == pytest.approx(gaussian_distance(6, shift) + bias, abs=3 * error)


def test_resamples_spread_as_fresh_samples_do_and_stand_off_by_the_bias():
    rng = np.random.default_rng(4)
    fresh, spread, off = [], [], []
    for _ in range(150):
        x, y = rng.normal(size=(60, 3)), rng.normal(size=(90, 3)) + 2
        value, drawn = mmd.resamples(real=Sample(x), fake=Sample(y), rng=rng, draws=50)["mmd"]
        fresh.append(value)
        spread.append(drawn.std())
        off.append(drawn.mean() - value - (value - mmd.unbiased(x, y)))
    assert np.mean(spread) == pytest.approx(np.std(fresh), rel=0.15)
    assert np.mean(off) == pytest.approx(0, abs=0.1 * np.std(fresh))


def test_no_picture_is_refused():
    with pytest.raises(DataError, match="mmd needs at least 1 generated pictures and was given 0"):
        score(np.zeros((3, 2)), np.zeros((0, 2)))
