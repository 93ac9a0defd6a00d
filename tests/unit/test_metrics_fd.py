"""Fréchet distance: closed forms, the bias of finite samples, invariances, and covariances that break square roots."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _frechet, fd
from figment.metrics._frechet import Gaussian
from figment.metrics._moments import Moments


def distance(x, y):
    return fd.score(real=Sample(x), fake=Sample(y))["fd"]


def frechet(mean_1, covariance_1, mean_2, covariance_2):
    return _frechet.distance(
        Gaussian.from_covariance(mean_1, covariance_1), Gaussian.from_covariance(mean_2, covariance_2)
    )


def moments_distance(first, second):
    return frechet(first.mean, first.covariance, second.mean, second.covariance)


def total_variance(*sets):
    return sum(x.var(axis=0, ddof=1).sum() for x in sets)


def rotation(width, rng):
    return np.linalg.qr(rng.normal(size=(width, width)))[0]


# Gaussians whose distance is known exactly


def test_shifted_unit_gaussians_are_apart_by_the_squared_shift():
    eye = np.eye(2048)
    assert frechet(np.zeros(2048), eye, np.ones(2048), eye) == pytest.approx(2048, rel=1e-12)


def test_scaled_covariances_differ_by_the_squared_difference_of_deviations():
    zero, eye = np.zeros(64), np.eye(64)
    assert frechet(zero, 4 * eye, zero, eye) == pytest.approx(64, rel=1e-12)


def test_covariances_that_do_not_commute():
    zero = np.zeros(2)
    value = frechet(zero, np.array([[2.0, 1.0], [1.0, 2.0]]), zero, np.diag([1.0, 3.0]))
    assert value == pytest.approx(8 - 2 * np.sqrt(14), rel=1e-12)


def test_singular_covariances_need_no_correction():
    u, v = np.array([1.0, 0.0]), np.array([0.5, np.sqrt(0.75)])
    assert frechet(np.zeros(2), np.outer(u, u), np.zeros(2), np.outer(v, v)) == pytest.approx(1, rel=1e-12)


def test_covariances_have_one_degree_of_freedom_less_than_rows():
    assert distance(np.array([[0.0], [2.0]]), np.array([[1.0], [1.0]])) == pytest.approx(2, rel=1e-12)


def test_nothing_at_all_is_at_distance_zero():
    assert distance(np.zeros((3, 5)), np.zeros((9, 5))) == 0


@pytest.mark.parametrize(("width", "count", "repeats"), [(16, 500, 40), (64, 1000, 10), (64, 128, 40)])
def test_bias_of_equal_unit_gaussians_is_as_computed(width, count, repeats):
    rng = np.random.default_rng(0)
    mean = np.mean([distance(*rng.normal(size=(2, count, width))) for _ in range(repeats)])
    assert mean == pytest.approx(2 * width / count + width * (width + 1) / (2 * (count - 1)), rel=0.03)


# Invariances, for many pictures and for fewer pictures than features

SHAPES = st.tuples(st.integers(2, 40), st.integers(2, 40), st.integers(1, 24), st.integers(0, 2**32 - 1))


@settings(max_examples=60, deadline=None)
@given(SHAPES)
def test_symmetric_and_blind_to_rotation_shift_and_order(shape):
    count_x, count_y, width, seed = shape
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count_x, width)), 2 * rng.normal(size=(count_y, width)) + 0.5
    turn, close = rotation(width, rng), 1e-9 * total_variance(x, y)
    value = distance(x, y)
    assert distance(y, x) == pytest.approx(value, abs=close)
    assert distance(x @ turn, y @ turn) == pytest.approx(value, abs=close)
    assert distance(x + 3, y + 3) == pytest.approx(value, abs=close)
    assert distance(rng.permutation(x), rng.permutation(y)) == pytest.approx(value, abs=close)


@settings(max_examples=60, deadline=None)
@given(SHAPES, st.floats(1e-3, 1e3))
def test_scales_with_the_square_and_vanishes_against_itself(shape, factor):
    count_x, count_y, width, seed = shape
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count_x, width)), rng.normal(size=(count_y, width)) + 1
    assert distance(factor * x, factor * y) == pytest.approx(factor**2 * distance(x, y), rel=1e-9)
    assert abs(distance(x, x)) <= 1e-9 * total_variance(x)


def test_few_pictures_lose_no_digits():
    """Nothing in common but the origin, so nothing is taken off the traces; a singular covariance would cost 1e-8."""
    rng = np.random.default_rng(8)
    x, y = np.zeros((2, 20, 64))
    x[:, :32], y[:, 32:] = rng.normal(size=(2, 20, 32))
    expected = np.square(x.mean(axis=0) - y.mean(axis=0)).sum() + total_variance(x, y)
    assert distance(x, y) == pytest.approx(expected, rel=1e-13)


@settings(max_examples=30, deadline=None)
@given(SHAPES)
def test_features_and_their_moments_give_the_same(shape):
    count_x, count_y, width, seed = shape
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(count_x, width)), rng.normal(size=(count_y, width))
    expected = moments_distance(Moments.of(x), Moments.of(y))
    assert distance(x, y) == pytest.approx(expected, abs=1e-6 * total_variance(x, y))


def degenerate(rng, count, width):
    """Features whose covariance has no, few or tiny eigenvalues, as after a ReLU or a collapse."""
    x = rng.normal(size=(count, width))
    kind = rng.integers(8)
    if kind == 1:
        x[:, rng.random(width) < 0.5] = 0
    elif kind == 2:
        x = x[:, rng.integers(width, size=width)]
    elif kind == 3:
        x = np.outer(x[:, 0], rng.normal(size=width))
    elif kind == 4:
        x = np.repeat(x[:1], count, axis=0)
    elif kind == 5:
        x = np.maximum(x - 1, 0) * 10.0 ** rng.uniform(-6, 6, size=width)
    elif kind == 6:
        x = x * 1e-9 + 1e3
    elif kind == 7:
        x = x @ np.diag(10.0 ** -np.arange(width)) @ rotation(width, rng)
    return x


def test_500_degenerate_pairs_give_a_real_distance():
    rng = np.random.default_rng(1)
    for _ in range(500):
        width = int(rng.integers(1, 25))
        x, y = (degenerate(rng, int(rng.integers(2, 60)), width) for _ in range(2))
        for first, second in pairwise((x, y, x)):
            value, scale = distance(first, second), total_variance(first, second)
            assert isinstance(value, float)
            assert np.isfinite(value)
            assert value >= -1e-6 * scale
            assert value == pytest.approx(distance(second, first), rel=1e-6, abs=1e-6 * scale)
        assert abs(distance(x, x)) <= 1e-6 * total_variance(x)


def covariance(rng, width):
    """Of full or deficient rank, rank one, diagonal with zeros, or nothing; between 1e-12 and 1e12."""
    rank = [2 * width, max(1, width // 2), 1, 0][rng.integers(4)]
    rows = (
        rng.normal(size=(rank, width))
        if rng.random() < 0.7
        else np.diag(rng.normal(size=width) * (rng.random(width) < 0.7))
    )
    return 10 ** rng.uniform(-12, 12) * rows.T @ rows


def test_500_covariance_pairs_give_a_real_distance():
    rng = np.random.default_rng(9)
    for turn in range(500):
        width = int(rng.integers(1, 33))
        first, second = covariance(rng, width), covariance(rng, width)
        if turn % 5 == 0:
            second = first * (1 + 1e-9 * (turn % 2))
        zero, traces = np.zeros(width), first.trace() + second.trace()
        value = frechet(zero, first, zero, second)
        assert isinstance(value, float)
        assert -1e-6 * traces <= value <= (1 + 1e-6) * traces
        assert value == pytest.approx(frechet(zero, second, zero, first), abs=1e-6 * traces)
        if turn % 5 == 0:
            assert value == pytest.approx(0, abs=1e-6 * traces)


def test_small_eigenvalues_are_not_lost_to_the_quick_way():
    """Deviations from 1 to 1e-12, turned alike on both sides: squares of the small ones vanish beside the largest."""
    rng = np.random.default_rng(10)
    deviations = 10.0 ** -np.linspace(0, 12, 40)
    factor = np.diag(deviations) @ rotation(40, rng)
    found = _frechet.distance(Gaussian(np.zeros(40), factor), Gaussian(np.zeros(40), 3 * factor))
    assert found == pytest.approx(4 * np.square(deviations).sum(), rel=1e-12)


# Resampling


def test_a_row_counted_three_times_is_a_row_repeated_three_times():
    rng = np.random.default_rng(4)
    for width in (3, 40):
        x, y = rng.normal(size=(30, width)), rng.normal(size=(25, width))
        counts = rng.multinomial(30, np.full(30, 1 / 30))
        counted = _frechet.distance(Gaussian.of(x, counts), Gaussian.of(y))
        assert counted == pytest.approx(distance(np.repeat(x, counts, axis=0), y), rel=1e-9)


def test_resamples_bring_the_value_itself():
    rng = np.random.default_rng(5)
    real, fake = Sample(rng.normal(size=(50, 4))), Sample(rng.normal(size=(60, 4)))
    value, drawn = fd.resamples(real=real, fake=fake, rng=rng, draws=7)["fd"]
    assert value == fd.score(real=real, fake=fake)["fd"]
    assert drawn.shape == (7,)
    assert len(set(drawn)) == 7


def test_two_pictures_can_be_compared_and_resampled():
    rng = np.random.default_rng(6)
    real, fake = Sample(rng.normal(size=(2, 8))), Sample(rng.normal(size=(2, 8)))
    value, drawn = fd.resamples(real=real, fake=fake, rng=rng, draws=50)["fd"]
    assert np.isfinite([value, *drawn]).all()


def test_one_picture_has_no_covariance():
    with pytest.raises(DataError, match="fd needs at least 2 generated pictures and was given 1"):
        distance(np.zeros((5, 3)), np.zeros((1, 3)))


def test_agrees_with_torchmetrics():
    fid = pytest.importorskip("torchmetrics.image.fid")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(400, 32)) @ rng.normal(size=(32, 32)), rng.normal(size=(300, 32)) + 0.3
    statistics = [torch.from_numpy(part) for z in (x, y) for part in (z.mean(axis=0), np.cov(z, rowvar=False))]
    assert distance(x, y) == pytest.approx(float(fid._compute_fid(*statistics)), rel=1e-9)
