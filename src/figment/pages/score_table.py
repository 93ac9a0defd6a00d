"""Scores made ready to show: each with its interval and floor on a scale, in plain words, and how it was measured."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from figment.pages.glossary import GLOSSARY, UNKNOWN, Meaning
from figment.pages.numerals import is_number, number, with_interval

_PASSPORT = {"extractor": "features", "reference_digest": "real pictures", "protocol": "protocol"}


@dataclass(frozen=True)
class Bar:
    """Where a score, its interval and its floor lie between the ends of its scale: shares in [0, 1] or None."""

    value: float
    low: float | None
    high: float | None
    floor: float | None
    ends: tuple[str, str]


@dataclass(frozen=True)
class Row:
    """One score. better: "higher", "lower" or "". passport: how it was measured, as far as the others differ."""

    name: str
    meaning: Meaning
    better: str
    value: str
    low: str
    high: str
    floor: str
    bar: Bar | None
    counts: str
    passport: list[tuple[str, str]]


def score_table(scores: Mapping[str, Mapping[str, Any]]) -> tuple[list[Row], dict[str, str]]:
    """Rows, and how all of them were measured alike, which then need not be said of each."""
    values = {key: {str(score.get(key) or "") for score in scores.values()} for key in _PASSPORT}
    alike = {_PASSPORT[key]: texts.pop() for key, texts in values.items() if len(texts) == 1 and "" not in texts}
    return [_row(name, score, alike) for name, score in scores.items()], alike


def _row(name: str, score: Mapping[str, Any], alike: Collection[str]) -> Row:
    meaning = GLOSSARY.get(name, UNKNOWN)
    higher = score.get("higher_is_better", meaning.higher_is_better)
    low, high, value, floor = with_interval(*(score.get(key) for key in ("low", "high", "value", "floor")))
    sides = {"num_real": "real", "num_fake": "generated"}
    return Row(
        name=name,
        meaning=meaning,
        better={True: "higher", False: "lower", None: ""}[higher],
        value=value,
        low=low,
        high=high,
        floor=floor,
        bar=_bar(score, is_share=meaning.is_share),
        counts=" · ".join(f"{number(score[key])} {side}" for key, side in sides.items() if score.get(key)),
        passport=[
            (title, str(score[key])) for key, title in _PASSPORT.items() if title not in alike and score.get(key)
        ],
    )


def _bar(score: Mapping[str, Any], is_share: bool) -> Bar | None:
    """A scale that holds 0, the value, its interval and its floor; shares have all of it up to 1."""
    parts = {key: score.get(key) for key in ("value", "low", "high", "floor")}
    known = {key: part for key, part in parts.items() if part is not None and is_number(part)}
    if "value" not in known:
        return None
    left, right = min(0.0, *known.values()), max(0.0, *known.values())
    if is_share and right <= 1:
        right = 1.0
    else:
        right += (right - left) / 20 or 1.0
    at = {key: (part - left) / (right - left) for key, part in known.items()}
    ends = number(left), number(float(f"{right:.2g}"))
    return Bar(at["value"], at.get("low"), at.get("high"), at.get("floor"), ends)
