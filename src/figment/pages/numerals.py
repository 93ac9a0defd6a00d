"""Numbers as people read them: thousands apart, no more digits than they carry, a dash where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real

NONE = "–"
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def is_number(value: object) -> bool:
    """Whether `value` is a finite number, numpy's scalars included."""
    return isinstance(value, Real) and math.isfinite(value)


def number(value: float | None) -> str:
    """Four significant digits: 12,345 and 0.1235 and 1.2e-07; a dash for None, NaN and infinity."""
    if value is None or not is_number(value):
        return NONE
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3e}"
    return f"{value:.4g}"


def pictures(count: float) -> str:
    """1 picture, 2,000 pictures."""
    return f"{number(count)} picture{'s' if count != 1 else ''}"


def percent(value: float | None) -> str:
    """A share in [0, 1] as a percentage: 0.973 is 97.3%."""
    return f"{100 * value:.1f}%" if value is not None and is_number(value) else NONE


def with_interval(low: float | None, high: float | None, *values: float | None) -> tuple[str, ...]:
    """Texts of low, high and `values`, all with the decimals that give the interval's width two digits."""
    everything = (low, high, *values)
    if low is None or high is None or not -math.inf < low < high < math.inf:
        return tuple(number(value) for value in everything)
    decimals = min(max(1 - math.floor(math.log10(high - low)), 0), 8)
    return tuple(f"{value:,.{decimals}f}" if value is not None and is_number(value) else NONE for value in everything)


def tick_texts(values: Sequence[float]) -> list[str]:
    """Short texts for evenly spaced values, all in one unit and with just the decimals that tell them apart."""
    top = max((abs(value) for value in values), default=0.0)
    scale, suffix = next((pair for pair in _SUFFIXES if top >= pair[0] and top >= 1e4), (1.0, ""))
    step = min((b - a for a, b in pairwise(values)), default=top) / scale
    if top >= 1e13 or 0 < top < 1e-4:
        return [f"{value:.2g}" for value in values]
    # The small factor lets a step of 0.1 (0.09999...) count as one decimal and 2.5 as one.
    decimals = next((d for d in range(7) if abs(step * 10**d - round(step * 10**d)) < 1e-6), 6)
    return [f"{value / scale:.{decimals}f}{suffix if value else ''}" for value in values]
