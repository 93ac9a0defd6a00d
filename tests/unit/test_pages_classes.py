"""What the page says of a classifier."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from figment.evaluate.classification import classification
from figment.pages.classes import classes


def read(confusion, names, **more):
    return classes({"classes": [{"name": name} for name in names], "confusion": confusion, **more})


def test_mistakes_come_most_frequent_first_and_never_the_right_answers():
    shown = read([[50, 2, 0], [9, 40, 1], [0, 0, 30]], "abc")
    assert shown.pairs == [("b", "a", 9), ("a", "b", 2), ("b", "c", 1)]


def test_heat_is_the_share_of_the_true_class_and_the_rarest_mistake_shows():
    assert read([[999, 1], [0, 10]], "ab").cells == [[(999, 9), (1, 1)], [(0, 0), (10, 9)]]


def test_a_class_without_pictures_is_cold():
    assert read([[5, 0], [0, 0]], "ab").cells[1] == [(0, 0), (0, 0)]


def test_many_classes_become_a_picture_of_one_pixel_a_cell():
    counts = np.diag(np.full(40, 4))
    counts[3, 5] = 1
    shown = read(counts.tolist(), [str(i) for i in range(40)])
    pixels = np.asarray(Image.open(io.BytesIO(shown.png)))
    assert shown.cells is None and pixels.shape == (40, 40, 4)
    assert pixels[0, 0, 3] == 255 and 0 < pixels[3, 5, 3] < 255 and pixels[5, 3, 3] == 0


def test_single_numbers_are_figures_under_a_plain_name():
    shown = read([[1]], "a", calibration_error=0.02134, other=float("nan"), mine=3, note="text")
    assert shown.figures == [("Calibration error", "0.02134"), ("mine", "3")]


def test_counts_and_classes_must_match():
    with pytest.raises(AssertionError, match="2 classes"):
        read([[1]], "ab")


def test_it_reads_what_the_evaluation_writes():
    logits = np.array([[3.0, 0.0], [0.0, 2.0], [1.0, 0.0]])
    shown = classes(classification(logits, np.array([0, 1, 1]), ("cat", "dog")))
    assert shown.pairs == [("dog", "cat", 1)]
    assert shown.figures[0] == ("Accuracy", "0.6667")
    assert [row["name"] for row in shown.rows] == ["cat", "dog"]
    assert len(shown.reliability.dots) == 3
