"""Plots as plain positions: where ticks, lines, bars and read-outs of an inline SVG go. Templates draw them.

A picture of curves made by a plotting library cannot follow the reader's theme; positions and CSS can. All positions
are in SVG units within WIDTH x HEIGHT, y growing downwards.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from figment.pages.numerals import is_number, number, pictures, tick_texts

WIDTH, HEIGHT = 400, 240
LEFT, RIGHT, TOP, BOTTOM = 66, 388, 12, 200  # of the area between the axes

# A line is thinned to at most two points a column, read out in at most so many places, and marked where it has few.
_COLUMNS = 240
_READOUTS = 40
_FEW = 12

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """Maps values in [low, high] to positions from `start` to `end`, evenly or by their logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = map(math.log10, (self.low, self.high, value)) if self.log else (self.low, self.high, value)
        return round(self.start + (self.end - self.start) * (value - low) / (high - low), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Positions and texts of about five round values."""
        values = _log_ticks(self.low, self.high) if self.log else _even_ticks(self.low, self.high)
        texts = [f"{value:.3g}" for value in values] if self.log else tick_texts(values)
        return [(self(value), text) for value, text in zip(values, texts, strict=True)]


@dataclass(frozen=True)
class Line:
    """One series: its SVG path and its first and last value as texts. `index` is its colour's number.

    spots: x and y of every point where they are few, and so worth marking.
    """

    index: int
    name: str
    path: str
    spots: tuple[Point, ...]
    first: str
    last: str


@dataclass(frozen=True)
class Readout:
    """What the reader sees while pointing at the strip from `left`, `width` wide, around `at`.

    dots: for each series that has a point there: its index, x, y, and a text such as "train 0.31".
    """

    left: float
    width: float
    at: float
    where: str
    dots: tuple[tuple[int, float, float, str], ...]

    @property
    def what(self) -> str:
        return ", ".join(text for *_, text in self.dots)


@dataclass(frozen=True)
class Mark:
    """A bar (a rectangle) or a dot (the circle within a square): where it stands on the x axis and what it shows."""

    left: float
    top: float
    width: float
    height: float
    where: str
    what: str


@dataclass(frozen=True)
class Plot:
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    lines: tuple[Line, ...] = ()
    readouts: tuple[Readout, ...] = ()
    bars: tuple[Mark, ...] = ()
    dots: tuple[Mark, ...] = ()
    diagonal: bool = False
    log: bool = False

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The same in words, for who cannot see or point: (where, what)."""
        return [(each.where, each.what) for each in (*self.readouts, *self.bars, *self.dots)]


def curves(series: Mapping[str, Sequence[Point]], unit: str = "images") -> Plot | None:
    """Lines over the number of images seen, or of what else `unit` says; None where there is no finite point at all.

    The y axis is logarithmic when all values are positive and most of them span a factor of 30 or more.
    """
    finite = {name: _finite(points) for name, points in series.items()}
    points = [point for line in finite.values() for point in line]
    if not points:
        return None
    x = Axis(0.0, max(point[0] for point in points) or 1.0, LEFT, RIGHT)
    y = _value_axis([p[1] for p in points])
    lines = tuple(_line(index, name, line, x, y) for index, (name, line) in enumerate(finite.items()))
    return Plot(x.ticks(), y.ticks(), lines=lines, readouts=tuple(_readouts(finite, x, y, unit)), log=y.log)


def histogram(edges: Sequence[float], counts: Sequence[int], unit: str = "") -> Plot | None:
    """Bars between neighbouring `edges` (one more than `counts`); None where everything is empty."""
    assert len(edges) == len(counts) + 1, f"{len(counts)} counts need {len(counts) + 1} edges, not {len(edges)}"
    if not any(counts):
        return None
    x, y = Axis(*_widened(edges[0], edges[-1]), LEFT, RIGHT), Axis(0, max(counts) * 1.05, BOTTOM, TOP)
    bars = []
    for (left, right), count in zip(pairwise(edges), counts, strict=True):
        where, what = f"{number(left)} to {number(right)} {unit}".rstrip(), pictures(count)
        bars.append(Mark(x(left), y(count), round(x(right) - x(left), 1), round(BOTTOM - y(count), 1), where, what))
    return Plot(x.ticks(), y.ticks(), bars=tuple(bars))


def reliability(bins: Iterable[Mapping[str, float]]) -> Plot | None:
    """Dots of accuracy over confidence, their area the share of the pictures, and the diagonal of perfect honesty."""
    filled = [each for each in bins if each["count"]]
    if not filled:
        return None
    x, y = Axis(0, 1, LEFT, RIGHT), Axis(0, 1, BOTTOM, TOP)
    total = sum(each["count"] for each in filled)
    dots = []
    for each in filled:
        radius = round(3 + 12 * math.sqrt(each["count"] / total), 1)
        where, what = f"confidence {each['confidence']:.3f}", f"accuracy {each['accuracy']:.3f}"
        left, top = round(x(each["confidence"]) - radius, 1), round(y(each["accuracy"]) - radius, 1)
        dots.append(Mark(left, top, 2 * radius, 2 * radius, where, f"{what}, {pictures(each['count'])}"))
    return Plot(x.ticks(), y.ticks(), dots=tuple(dots), diagonal=True)


def _finite(points: Iterable[Point]) -> list[Point]:
    return sorted((float(x), float(y)) for x, y in points if is_number(x) and is_number(y))


def _widened(low: float, high: float) -> tuple[float, float]:
    """The range, or one around its only value."""
    if low < high:
        return low, high
    margin = abs(low) / 10 or 1.0
    return low - margin, high + margin


def _value_axis(values: Sequence[float]) -> Axis:
    values = sorted(values)
    low, high, end = values[0], values[-1], len(values) // 20
    # Without the outermost 5% at either end: a learning rate that sinks to 0 at the last step is no reason.
    if low > 0 and values[-1 - end] / values[end] >= 30:
        return Axis(low / 1.1, high * 1.1, BOTTOM, TOP, log=True)
    low, high = _widened(low, high)
    margin = (high - low) / 20
    from_zero = 0 <= low < 0.4 * high
    return Axis(0 if from_zero else low - margin, high + margin, BOTTOM, TOP)


def _even_ticks(low: float, high: float) -> list[float]:
    rough = (high - low) / 5
    power = 10 ** math.floor(math.log10(rough))
    step = power * next(factor for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [i * step for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _log_ticks(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    factors = (1, 2, 5) if last - first <= 2 else (1,)
    stride = math.ceil((last - first) / 7)
    values = [factor * 10.0**power for power in range(first, last + 1, stride) for factor in factors]
    return [value for value in values if low <= value <= high]


def _line(index: int, name: str, points: Sequence[Point], x: Axis, y: Axis) -> Line:
    if not points:
        return Line(index, name, path="", spots=(), first="", last="")
    places = tuple((x(seen), y(value)) for seen, value in _thinned(points))
    path = "M" + "L".join(f"{left:g} {top:g}" for left, top in places)
    spots = places if len(places) <= _FEW else ()
    return Line(index, name, path, spots, number(points[0][1]), number(points[-1][1]))


def _thinned(points: Sequence[Point]) -> list[Point]:
    """The lowest and the highest point of each column, in order, so that no spike is lost."""
    if len(points) <= 2 * _COLUMNS:
        return list(points)
    kept = {0, len(points) - 1}
    for column in range(_COLUMNS):
        rows = range(column * len(points) // _COLUMNS, (column + 1) * len(points) // _COLUMNS)
        kept |= {min(rows, key=lambda row: points[row][1]), max(rows, key=lambda row: points[row][1])}
    return [points[row] for row in sorted(kept)]


def _readouts(series: Mapping[str, Sequence[Point]], x: Axis, y: Axis, unit: str) -> Iterable[Readout]:
    """Strips that together cover the plot, each around a measured place."""
    places = sorted({point[0] for line in series.values() for point in line})
    if len(places) > _READOUTS:
        places = [places[i * (len(places) - 1) // (_READOUTS - 1)] for i in range(_READOUTS)]
    borders = [x.low, *((a + b) / 2 for a, b in pairwise(places)), x.high]
    for place, (low, high) in zip(places, pairwise(borders), strict=True):
        dots = []
        for index, (name, line) in enumerate(series.items()):
            if line and line[0][0] <= place <= line[-1][0]:
                near = _nearest(line, place)
                # A series that is measured more rarely says where its value is from.
                elsewhere = f" at {near[0]:,.0f}" if near[0] != place else ""
                dots.append((index, x(near[0]), y(near[1]), f"{name} {number(near[1])}{elsewhere}"))
        yield Readout(x(low), round(x(high) - x(low), 1), x(place), f"{place:,.0f} {unit}", tuple(dots))


def _nearest(line: Sequence[Point], place: float) -> Point:
    row = bisect_left(line, (place, -math.inf))
    return min(line[max(row - 1, 0) : row + 1], key=lambda point: abs(point[0] - place))
