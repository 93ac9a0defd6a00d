"""Plots as positions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.pages import plots
from figment.pages.plots import BOTTOM, LEFT, RIGHT, TOP


def places(path: str) -> list[tuple[float, ...]]:
    """The points of an SVG path of straight lines."""
    return [tuple(float(part) for part in place.split()) for place in path.removeprefix("M").split("L")]


def test_a_line_runs_from_where_it_starts_to_where_it_ends():
    plot = plots.curves({"train": [(0, 0.0), (50, 1.0), (100, 2.0)]})
    (line,) = plot.lines
    x, y = zip(*places(line.path), strict=True)
    assert x == (LEFT, (LEFT + RIGHT) / 2, RIGHT)
    assert y[0] == BOTTOM and TOP < y[2] < y[1] < y[0]
    assert (line.first, line.last) == ("0", "2")


def test_points_may_come_in_any_order():
    forward = [(i, math.sin(i)) for i in range(10)]
    assert plots.curves({"a": forward}) == plots.curves({"a": forward[::-1]})


def test_what_is_not_finite_is_left_out():
    plot = plots.curves({"a": [(0, 1.0), (1, float("nan")), (2, float("inf")), (3, 2.0)], "b": []})
    assert len(places(plot.lines[0].path)) == 2
    assert plot.lines[1].path == ""
    assert plots.curves({"a": [(0, float("nan"))]}) is None
    assert plots.curves({}) is None


def test_points_are_marked_where_they_are_few():
    few, many = plots.curves({"few": [(100, 3.0)], "many": [(i, 1.0) for i in range(13)]}).lines
    assert [tuple(spot) for spot in few.spots] == places(few.path)
    assert many.spots == ()


def test_a_long_line_is_thinned_and_keeps_its_spikes():
    points = [(i, 1.0) for i in range(20_000)]
    points[7777] = (7777, 9.0)
    points[13_333] = (13_333, 0.0)
    (line,) = plots.curves({"a": points}).lines
    heights = [y for _, y in places(line.path)]
    assert len(heights) <= 482
    assert sum(height < 30 for height in heights) == 1 and heights.count(BOTTOM) == 1


@pytest.mark.parametrize(
    "values, is_log",
    [
        ([100 * 0.9**i for i in range(60)], True),
        ([2.0 - i / 60 for i in range(60)], False),
        ([math.cos(math.pi / 2 * i / 60) + 1e-9 for i in range(61)], False),  # a learning rate that ends near 0
        ([0.0, 1.0, 1000.0], False),
    ],
)
def test_the_scale_is_logarithmic_where_most_values_span_much(values, is_log):
    assert plots.curves({"a": list(enumerate(values))}).log is is_log


def test_a_readout_names_every_series_and_where_a_rarer_one_was_measured():
    plot = plots.curves({"train": [(10 * i, 1.0 + i) for i in range(11)], "validation": [(0, 5.0), (100, 7.0)]})
    assert [readout.where for readout in plot.readouts][:2] == ["0 images", "10 images"]
    assert plot.readouts[0].what == "train 1, validation 5"
    assert plot.readouts[3].what == "train 4, validation 5 at 0"
    assert plot.readouts[-1].what == "train 11, validation 7"


def test_readouts_cover_the_plot_without_gaps():
    plot = plots.curves({"a": [(i * i, float(i)) for i in range(500)]})
    assert len(plot.readouts) == 40
    assert plot.readouts[0].left == LEFT
    for left, right in zip(plot.readouts, plot.readouts[1:], strict=False):
        assert left.left + left.width == pytest.approx(right.left, abs=0.11)
    assert plot.readouts[-1].left + plot.readouts[-1].width == pytest.approx(RIGHT, abs=0.11)


def test_bars_stand_on_the_axis_and_are_as_high_as_their_counts():
    plot = plots.histogram([0.0, 0.5, 1.0, 2.0], [10, 20, 0], "pixels")
    assert [bar.top + bar.height for bar in plot.bars] == [BOTTOM] * 3
    assert plot.bars[1].height == pytest.approx(2 * plot.bars[0].height, abs=0.1)
    assert plot.bars[2].height == 0 and plot.bars[2].width == pytest.approx(2 * plot.bars[0].width, abs=0.1)
    assert plot.rows[1] == ("0.5 to 1 pixels", "20 pictures")


def test_an_empty_histogram_is_nothing():
    assert plots.histogram([0, 1], [0]) is None
    with pytest.raises(AssertionError, match="2 counts need 3 edges"):
        plots.histogram([0, 1], [1, 2])


def test_honest_confidence_lies_on_the_diagonal():
    bins = [{"confidence": c, "accuracy": c, "count": 10} for c in (0.25, 0.5, 0.75)]
    bins.append({"confidence": 0.1, "accuracy": 0.9, "count": 0})
    plot = plots.reliability(bins)
    assert len(plot.dots) == 3
    for dot in plot.dots:
        across = (dot.left + dot.width / 2 - LEFT) / (RIGHT - LEFT)
        up = (BOTTOM - dot.top - dot.height / 2) / (BOTTOM - TOP)
        assert across == pytest.approx(up, abs=0.01)
    assert plots.reliability([]) is None


finite = st.floats(-1e12, 1e12, allow_nan=False)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**9), finite), min_size=1, max_size=40))
def test_everything_stays_within_the_axes_and_ticks_are_distinct(points):
    plot = plots.curves({"a": points})
    for x, y in places(plot.lines[0].path):
        assert LEFT <= x <= RIGHT and TOP <= y <= BOTTOM
    for ticks, start, end in ((plot.x_ticks, LEFT, RIGHT), (plot.y_ticks, TOP, BOTTOM)):
        assert len(ticks) <= 12
        assert all(start <= at <= end for at, _ in ticks)
