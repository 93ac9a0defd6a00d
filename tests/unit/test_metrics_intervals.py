"""95% intervals hold the true value about as often as they say; benchmarks/intervals.py measures it with more draws."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks/intervals.py"

# Of 60 true 95% intervals fewer than 50 hold the truth once in 5,000 times.
REPEATS, LEAST = 60, 50 / 60


@pytest.fixture(scope="module")
def intervals() -> ModuleType:
    spec = importlib.util.spec_from_file_location("benchmark_intervals", BENCHMARK)
    assert spec and spec.loader
    module = sys.modules["benchmark_intervals"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def covered(intervals, metric, key, draw, truth):
    return intervals.coverage(intervals.Case(metric, key, draw, truth), REPEATS, draws=100)


@pytest.mark.parametrize("width", [4, 16])
def test_of_a_frechet_distance(intervals, width):
    found = covered(intervals, "fd", "fd", intervals.gaussians(width, 300), intervals.wide(width, 0.2, 1))
    assert found.share >= LEAST
    assert found.mean > found.truth


def test_of_a_frechet_distance_of_too_few_pictures_the_extrapolation_is_right_and_a_warning_says_so(intervals):
    """60 pictures of 48 features: the bias is ten times the truth, and the bootstrap knows only a part of it."""
    draw, truth = intervals.gaussians(48, 60), intervals.wide(48, 0.2, 1)
    plain = covered(intervals, "fd", "fd", draw, truth)
    assert plain.share < 0.5
    assert plain.warned == 1
    assert covered(intervals, "fd_infinite", "fd_infinite_both", draw, truth).share >= LEAST


def test_of_a_kernel_distance(intervals):
    found = covered(intervals, "kid", "kid", intervals.gaussians(8, 300, 0.4), intervals.kid_of_shift(8, 0.4))
    assert found.share >= LEAST


def test_of_a_gaussian_kernels_discrepancy(intervals):
    found = covered(intervals, "mmd", "mmd", intervals.gaussians(8, 300, 1), intervals.mmd_of_shift(8, 1))
    assert found.share >= LEAST


@pytest.mark.parametrize(
    ("metric", "key"),
    [("precision_recall", "precision"), ("precision_recall", "recall"), ("density_coverage", "density")],
)
def test_of_shares_that_depend_on_both_sides(intervals, metric, key):
    """Balls about one side's pictures: the others alone would give intervals that hold the mean 3 times in 4."""
    assert covered(intervals, metric, key, intervals.gaussians(4, 200), None).share >= LEAST


@pytest.mark.parametrize(("key", "truth"), [("nearest", 1.0), ("novel", 0.99)])
def test_of_distances_measured_by_held_out_pictures(intervals, key, truth):
    """180 of those set the unit and the line: taken as exact, the others alone would hold the truth half the time."""
    found = covered(intervals, "nearest", key, intervals.unseen(8, 180, 700, 400), truth)
    assert found.share >= LEAST
    assert found.mean == pytest.approx(truth, abs=0.01)


def test_of_a_quantile_of_too_few_held_out_pictures_a_warning_tells(intervals):
    found = covered(intervals, "nearest", "novel", intervals.unseen(8, 50, 200, 400), 0.99)
    assert found.mean == pytest.approx(50 / 51, abs=0.005)
    assert found.warned == 1


def test_of_what_a_judge_says(intervals):
    draw = intervals.answers(300)
    assert covered(intervals, "accuracy", "accuracy", draw, 0.8).share >= LEAST
    truth = intervals.inception_truth(100_000)
    assert covered(intervals, "inception_score", "inception_score", draw, truth).share >= LEAST
