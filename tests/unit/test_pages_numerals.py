"""Numbers as texts."""

from __future__ import annotations

import numpy as np
import pytest

from figment.pages.numerals import number, percent, pictures, tick_texts, with_interval


@pytest.mark.parametrize(
    "value, text",
    [
        (0, "0"),
        (12345, "12,345"),
        (12345.678, "12,346"),
        (0.123456, "0.1235"),
        (1.2e-7, "1.2e-07"),
        (-3.5, "-3.5"),
        (1e18, "1.000e+18"),
        (np.float32(0.5), "0.5"),
        (np.int64(1200), "1,200"),
        (None, "–"),
        (float("nan"), "–"),
        (float("-inf"), "–"),
    ],
)
def test_number(value, text):
    assert number(value) == text


def test_one_picture_is_no_plural():
    assert [pictures(count) for count in (0, 1, 2000)] == ["0 pictures", "1 picture", "2,000 pictures"]


@pytest.mark.parametrize("share, text", [(0.9731, "97.3%"), (0, "0.0%"), (1, "100.0%"), (None, "–")])
def test_percent(share, text):
    assert percent(share) == text


@pytest.mark.parametrize(
    "low, high, value, texts",
    [
        (6.91, 7.66, 7.3124, ("6.91", "7.66", "7.31")),
        (0.0019, 0.0028, 0.00234, ("0.00190", "0.00280", "0.00234")),
        (1200.0, 1400.0, 1312.4, ("1,200", "1,400", "1,312")),
        (0.5, 0.5, 0.123456, ("0.5", "0.5", "0.1235")),
        (None, None, 0.123456, ("–", "–", "0.1235")),
        (0.0, float("inf"), 0.5, ("0", "–", "0.5")),
        (0.5, 0.6, float("nan"), ("0.50", "0.60", "–")),
    ],
)
def test_an_interval_sets_the_decimals(low, high, value, texts):
    assert with_interval(low, high, value) == texts


@pytest.mark.parametrize(
    "values, texts",
    [
        ([0, 100_000, 200_000], ["0", "100k", "200k"]),
        ([0, 500, 1000, 1500], ["0", "500", "1000", "1500"]),
        ([0.0, 0.00025, 0.0005], ["0.00000", "0.00025", "0.00050"]),
        ([0.1 * i for i in range(4)], ["0.0", "0.1", "0.2", "0.3"]),
        ([0, 2.5, 5.0], ["0.0", "2.5", "5.0"]),
        ([0, 2_500_000], ["0.0", "2.5M"]),
        ([0, 2e-5], ["0", "2e-05"]),
        ([0.123454, 0.123455], ["0.123454", "0.123455"]),
        ([], []),
    ],
)
def test_ticks_share_a_unit_and_can_be_told_apart(values, texts):
    assert tick_texts(values) == texts
