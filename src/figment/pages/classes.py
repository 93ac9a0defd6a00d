"""How a classifier does on each class, made ready to show: its mistakes, and whether it is as sure as it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from figment.pages import plots
from figment.pages.glossary import GLOSSARY, UNKNOWN
from figment.pages.numerals import is_number, number
from figment.pages.plots import Plot

_LEVELS = 9
_LARGEST_TABLE = 30
_SHOWN_PAIRS = 8


@dataclass(frozen=True)
class Classes:
    """What the page shows of a classifier.

    rows: each class's name, precision, recall, f1 and count. figures: (title, text) of what concerns all classes.
    cells: of the confusion matrix, (count, heat in 0 to 9) by row and column; None where that would be too large for a
    table, and `png` is it as a picture. pairs: (true, predicted, count), the most frequent mistakes first.
    """

    rows: Sequence[Mapping[str, Any]]
    figures: list[tuple[str, str]]
    cells: list[list[tuple[int, int]]] | None
    png: bytes | None
    pairs: list[tuple[str, str, int]]
    reliability: Plot | None


def classes(classification: Mapping[str, Any]) -> Classes:
    """Make ready what `figment.evaluate.classification` measured; `run_report.write` says what is in it."""
    rows = classification["classes"]
    counts = np.asarray(classification["confusion"], dtype=np.int64).reshape(len(classification["confusion"]), -1)
    assert counts.shape == (len(rows), len(rows)), f"{counts.shape} counts for {len(rows)} classes"
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    is_table = len(rows) <= _LARGEST_TABLE
    return Classes(
        rows=rows,
        figures=[
            (GLOSSARY.get(name, UNKNOWN).title or name, number(value))
            for name, value in classification.items()
            if is_number(value)
        ],
        cells=_cells(counts, shares) if is_table else None,
        png=None if is_table else _heat(shares),
        pairs=_mistakes(counts, [row["name"] for row in rows]),
        reliability=plots.reliability(classification.get("reliability", ())),
    )


def _mistakes(counts: np.ndarray, names: Sequence[str]) -> list[tuple[str, str, int]]:
    wrong = counts * (1 - np.eye(len(counts), dtype=np.int64))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_SHOWN_PAIRS]
    places = (divmod(int(place), len(counts)) for place in order)
    return [(names[row], names[column], int(wrong[row, column])) for row, column in places if wrong[row, column]]


def _cells(counts: np.ndarray, shares: np.ndarray) -> list[list[tuple[int, int]]]:
    """The smallest share that is not 0 already shows: mistakes are rare and are what one looks for."""
    heat = np.ceil(shares * _LEVELS).astype(int)
    return [list(zip(row, row_heat, strict=True)) for row, row_heat in zip(counts.tolist(), heat.tolist(), strict=True)]


def _heat(shares: np.ndarray) -> bytes:
    """One pixel a cell, a mid blue as opaque as the share is high, so that it suits a light and a dark page."""
    pixels = np.empty((*shares.shape, 4), np.uint8)
    pixels[..., :3] = (64, 120, 216)
    pixels[..., 3] = np.round(255 * np.sqrt(shares))
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
