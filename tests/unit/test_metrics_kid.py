"""Kernel distance: closed forms, freedom from bias, blocks, subsets and the spread that it reports."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _kernels, kid

V = np.ones(4)


def naive(x, y):
    """The definition, pair by pair."""
    within = [
        np.mean([(a @ b / len(a) + 1) ** 3 for i, a in enumerate(z) for j, b in enumerate(z) if i != j]) for z in (x, y)
    ]
    return within[0] + within[1] - 2 * np.mean([(a @ b / len(a) + 1) ** 3 for a in x for b in y])


@pytest.mark.parametrize(
    ("x", "y", "value"),
    [([V, -V], [V, -V], -8), ([V, -V], [0 * V, 0 * V], -1), ([0 * V] * 3, [V] * 5, 7)],
    ids=["equal", "zeros", "zeros against ones"],
)
def test_closed_forms(x, y, value):
    assert kid.score(real=Sample(np.array(x)), fake=Sample(np.array(y)))["kid"] == pytest.approx(value, rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_equals_the_definition_and_is_symmetric(count_x, count_y, width, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count_x, width)), rng.normal(size=(count_y, width)) + 1
    assert kid.unbiased(x, y) == pytest.approx(naive(x, y), rel=1e-9, abs=1e-9)
    assert kid.unbiased(y, x) == pytest.approx(naive(x, y), rel=1e-9, abs=1e-9)


def test_tiles_do_not_change_the_value(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(37, 5)), rng.normal(size=(23, 5))
    whole = kid.unbiased(x, y)
    for rows in (1, 10, 23, 30):
        monkeypatch.setattr(_kernels, "TILE", rows)
        assert kid.unbiased(x, y) == pytest.approx(whole, rel=1e-12)


def gaussian_distance(mean):
    """Of N(0, 1) and N(mean, 1) in one dimension: sum over r of C(3, r) (difference of r-th moments)^2."""
    return 3 * mean**2 + 3 * mean**4 + (mean**3 + 3 * mean) ** 2


@pytest.mark.parametrize("mean", [0, 0.5])
@pytest.mark.parametrize("count", [5, 50])
def test_without_bias_however_few_pictures(mean, count):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 2000, count, 1))
    values = [kid.unbiased(a, b + mean) for a, b in zip(x, y, strict=True)]
    error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - gaussian_distance(mean)) < 3 * error


def test_resamples_spread_as_fresh_samples_do():
    rng = np.random.default_rng(2)
    fresh, resampled = [], []
    for _ in range(200):
        x, y = rng.normal(size=(60, 3)), rng.normal(size=(90, 3)) + 0.7
        fresh.append(kid.unbiased(x, y))
        value, drawn = kid.resamples(real=Sample(x), fake=Sample(y), rng=rng, draws=50)["kid"]
        assert value == pytest.approx(fresh[-1], rel=1e-12)
        resampled.append(drawn.std())
    assert np.mean(resampled) == pytest.approx(np.std(fresh), rel=0.15)


def test_resamples_do_not_shrink_to_nothing_where_the_distributions_are_equal():
    rng = np.random.default_rng(3)
    pairs = [rng.normal(size=(2, 60, 3)) for _ in range(200)]
    fresh = np.std([kid.unbiased(x, y) for x, y in pairs])
    drawn = [kid.resamples(real=Sample(x), fake=Sample(y), rng=rng, draws=50)["kid"][1].std() for x, y in pairs[:50]]
    assert fresh <= np.mean(drawn) <= 2 * fresh


def test_subsets_of_everything_are_the_exact_value():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(2, 40, 6))
    np.testing.assert_allclose(kid.subset_values(x, y, rng, num=3, size=1000), kid.unbiased(x, y), rtol=1e-12)


def test_subsets_estimate_the_same_with_more_noise():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(300, 4)), rng.normal(size=(200, 4)) + 0.5
    values = kid.subset_values(x, y, rng, num=200, size=30)
    assert values.mean() == pytest.approx(kid.unbiased(x, y), abs=4 * values.std() / np.sqrt(200))


def test_one_picture_has_no_pair():
    with pytest.raises(DataError, match="kid needs at least 2 real pictures and was given 1"):
        kid.score(real=Sample(np.zeros((1, 3))), fake=Sample(np.zeros((5, 3))))


def test_agrees_with_torchmetrics():
    oracle = pytest.importorskip("torchmetrics.image.kid")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(2, 150, 24))
    assert kid.unbiased(x, y + 0.2) == pytest.approx(
        float(oracle.poly_mmd(torch.from_numpy(x), torch.from_numpy(y + 0.2))), rel=1e-9
    )
