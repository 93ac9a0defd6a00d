"""Runs of several families side by side: who leads by what, what they draw, what they copy, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from figment.evaluate.ranking import Column, Entry, Pooled
from figment.pages import page, plots
from figment.pages.glossary import GLOSSARY, UNKNOWN, Meaning
from figment.pages.numerals import number, with_interval
from figment.pages.plots import Axis
from figment.pages.run_report import Curve
from figment.pages.score_table import Bar

_RECALL, _PRECISION = Axis(0, 1, plots.LEFT, plots.RIGHT), Axis(0, 1, plots.BOTTOM, plots.TOP)

_SHOWN_PASSPORT = {
    "extractor": "features",
    "resize": "resize",
    "quantisation": "rounding",
    "dtype": "arithmetic",
    "num_real": "real pictures",
    "num_fake": "generated pictures",
    "reference_digest": "reference",
    "seed": "seed",
    "figment": "figment",
    "torch": "PyTorch",
    "numpy": "NumPy",
}


@dataclass(frozen=True)
class Pair:
    """A generated picture beside the training pictures that it resembles most, one or two, as bytes of PNG files."""

    fake: bytes
    trains: Sequence[bytes]
    note: str
    is_suspicious: bool


@dataclass(frozen=True)
class Look:
    """What one entry shows beside its scores.

    sample: a grid as bytes of a PNG file, of the same seeds for every entry. facts: what it cost, names and values as
    texts. classes: metric -> class -> value. verdict: whether it copies, in a sentence. pairs: its pictures most like
    a training picture, the most suspicious first.
    """

    sample: bytes | None = None
    facts: Mapping[str, str] | None = None
    classes: Mapping[str, Mapping[str, float]] | None = None
    verdict: str = ""
    pairs: Sequence[Pair] = ()


@dataclass(frozen=True)
class Cell:
    """One score of one entry. rank: 0 where it has none; bar: on the scale that all entries share."""

    rank: int
    value: str
    low: str
    high: str
    spread: str
    bar: Bar | None


@dataclass(frozen=True)
class Row:
    """One metric: a cell for each entry, None where an entry does not have it."""

    name: str
    meaning: Meaning
    better: str
    cells: list[Cell | None]
    floor: str
    ceiling: str
    refusal: str


@dataclass(frozen=True)
class Spot:
    """An entry in the plane of precision and recall, in SVG units: its place, and its two intervals."""

    index: int
    name: str
    x: float
    y: float
    left: float
    right: float
    top: float
    bottom: float
    what: str


def write(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    entries: Sequence[Entry],
    columns: Sequence[Column],
    looks: Mapping[str, Look],
    curves: Sequence[tuple[Curve, str]] = (),
    notes: Sequence[str] = (),
    command: str = "",
) -> None:
    """Write the comparison to `path`, one HTML file of at most 5 MB, whole or not at all.

    entries: in the order to show them; columns: the headline first. looks: by entry. curves: each with the unit of its
    x axis, images or seconds, its series named like the entries. notes: what to know before believing a rank.
    """
    rows = [_row(column, entries) for column in columns]
    shown = {name: look for name, look in looks.items() if look.sample}
    copies = {name: look for name, look in looks.items() if look.pairs}
    classes = _classes(entries, looks)
    spots = _spots(entries)
    costs = list(dict.fromkeys(fact for look in looks.values() for fact in look.facts or {}))
    cost_rows = [(entry.name, [(looks[entry.name].facts or {}).get(cost, "") for cost in costs]) for entry in entries]
    cost_rows = cost_rows if costs else []
    parts = {"Ranking": rows and not rows[0].refusal, "Samples": shown, "Scores": rows, "Plane": spots}
    parts |= {"Curves": curves, "Classes": classes, "Copies": copies, "Cost": cost_rows, "Passport": rows}
    pngs = [look.sample for look in shown.values() if look.sample]
    pngs += [png for look in copies.values() for pair in look.pairs for png in (pair.fake, *pair.trains)]
    page.write(
        path,
        "leaderboard.html.j2",
        pngs=pngs,
        title=title,
        facts=facts,
        notes=notes,
        sections=[name for name, part in parts.items() if part],
        entries=entries,
        headline=rows[0] if rows and not rows[0].refusal else None,
        rows=rows,
        samples=shown,
        spots=spots,
        plane=plots.Plot(_RECALL.ticks(), _PRECISION.ticks()),
        curves=[(curve, unit, plots.curves(curve.series, unit)) for curve, unit in curves],
        classes=classes,
        copies=copies,
        costs=costs,
        cost_rows=cost_rows,
        passport=_passport(entries),
        command=command,
    )


def _row(column: Column, entries: Sequence[Entry]) -> Row:
    scores = [entry.scores.get(column.metric) for entry in entries]
    having = [score for score in scores if score]
    first, ends = having[0], _ends(having, GLOSSARY.get(column.metric.lower(), UNKNOWN).is_share)
    texts = with_interval(first.low, first.high, first.floor, first.ceiling)
    return Row(
        name=column.metric,
        meaning=GLOSSARY.get(column.metric.lower(), UNKNOWN),
        better="higher" if column.higher_is_better else "lower",
        cells=[
            score and _cell(score, column.ranks.get(entry.name, 0), ends)
            for entry, score in zip(entries, scores, strict=True)
        ],
        floor=texts[2],
        ceiling=texts[3],
        refusal=column.refusal,
    )


def _cell(score: Pooled, rank: int, ends: tuple[float, float]) -> Cell:
    low, high, value = with_interval(score.low, score.high, score.value)
    spread = f"{score.spread:.2g}" if score.spread is not None else ""
    left, right = ends

    def at(part: float) -> float:
        return (min(max(part, left), right) - left) / (right - left)

    floor = None if score.floor is None else at(score.floor)
    bar = Bar(
        at(score.value),
        at(score.low),
        at(score.high),
        floor,
        (number(float(f"{left:.2g}")), number(float(f"{right:.2g}"))),
    )
    return Cell(rank, value, low, high, spread, bar)


def _ends(scores: Sequence[Pooled], is_share: bool) -> tuple[float, float]:
    """One scale for all entries, from 0 or below to a little above the largest; the ceiling, far off, has no place."""
    parts = [part for score in scores for part in (score.value, score.low, score.high, score.floor) if part is not None]
    left, right = min(0.0, *parts), max(0.0, *parts)
    return (left, 1.0) if is_share and right <= 1 else (left, right + ((right - left) / 20 or 1.0))


def _spots(entries: Sequence[Entry]) -> list[Spot]:
    """Where both precision and recall are known."""
    spots = []
    for index, entry in enumerate(entries):
        recall, precision = entry.scores.get("recall"), entry.scores.get("precision")
        if recall and precision:
            what = f"precision {precision.value:.3f}, recall {recall.value:.3f}"
            across, down = (_RECALL(one) for one in (recall.value, recall.low, recall.high)), _PRECISION
            x, left, right = across
            y, top, bottom = down(precision.value), down(precision.high), down(precision.low)
            spots.append(Spot(index, entry.name, x, y, left, right, top, bottom, what))
    return spots


def _classes(entries: Sequence[Entry], looks: Mapping[str, Look]) -> list[tuple[str, Meaning, list[tuple[str, list]]]]:
    """For each metric that is known by class: its name, its meaning, and a row for each class with a value an entry."""
    tables = []
    for metric in dict.fromkeys(name for look in looks.values() for name in look.classes or {}):
        by_entry = [(looks[entry.name].classes or {}).get(metric, {}) for entry in entries]
        names = dict.fromkeys(name for values in by_entry for name in values)
        rows = [(name, [values.get(name) for values in by_entry]) for name in names]
        tables.append((metric, GLOSSARY.get(metric, UNKNOWN), rows))
    return tables


def _passport(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """What the scores have in common; where they differ, each refusal has said so."""
    passports = [score.passport for entry in entries for score in entry.scores.values()]
    values = {key: {str(one[key]) for one in passports if key in one} for key in _SHOWN_PASSPORT}
    return [(_SHOWN_PASSPORT[key], ", ".join(sorted(texts))) for key, texts in values.items() if texts]
