"""A dataset's report: what it is, what it looks like, how it is spread over classes, and what was refused and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.types import Rejected
from figment.pages import page, plots

_MOST_ROWS = 1000
_MOST_REASONS = 40
_EXAMPLES = 3


@dataclass(frozen=True)
class Sheet:
    """A contact sheet, as bytes of a PNG file.

    group: the heading that it stands under ("By class", "By split", "Rejected"), in the order of first appearance.
    count: pictures that it is drawn from, where that is known.
    """

    title: str
    png: bytes
    group: str = ""
    count: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Histogram:
    """counts[i] pictures lie between edges[i] and edges[i + 1], in `unit`."""

    title: str
    unit: str
    edges: Sequence[float]
    counts: Sequence[int]


@dataclass(frozen=True)
class ClassRow:
    """A class's pictures in each split, in the order of the columns; share: of the largest class, in [0, 1]."""

    name: str
    counts: tuple[int, ...]
    total: int
    share: float


@dataclass(frozen=True)
class ReasonRow:
    """Why pictures were refused, how many, and the keys of a few; share: of the commonest reason, in [0, 1]."""

    step: str
    reason: str
    count: int
    share: float
    examples: tuple[str, ...]


@dataclass(frozen=True)
class Part:
    """One part of the card: a heading ("" for the top), its values as texts, and whether to show them at once."""

    heading: str
    values: tuple[tuple[str, str], ...]

    @property
    def is_short(self) -> bool:
        return len(self.values) <= 12


def write(
    path: Path,
    *,
    title: str,
    card: Mapping[str, Any],
    sheets: Sequence[Sheet] = (),
    histograms: Sequence[Histogram] = (),
    balance: Mapping[str, Mapping[str, int]] | None = None,
    rejected: Sequence[Rejected] = (),
) -> None:
    """Write the report of a dataset to `path`, one HTML file of at most 5 MB, whole or not at all.

    card: the dataset's card.json; nested parts become headings. balance: split -> class -> pictures kept.
    rejected: one for each refused picture; they are counted by step and reason. Parts that are empty do not appear.
    """
    balance = balance or {}
    rows = _class_rows(balance)
    reasons = _reason_rows(rejected)
    sections = {"Pictures": sheets, "Balance": rows, "Spread": histograms, "Rejected": rejected}
    page.write(
        path,
        "data_report.html.j2",
        pngs=[sheet.png for sheet in sheets],
        title=title,
        card=_parts(card),
        groups={group: [s for s in sheets if s.group == group] for group in dict.fromkeys(s.group for s in sheets)},
        histograms=[(each, plots.histogram(each.edges, each.counts, each.unit)) for each in histograms],
        splits=list(balance),
        split_totals=[sum(counts.values()) for counts in balance.values()],
        num_kept=sum(row.total for row in rows),
        rows=rows[:_MOST_ROWS],
        num_more_rows=max(0, len(rows) - _MOST_ROWS),
        imbalance=_imbalance(rows),
        num_rejected=len(rejected),
        reasons=reasons[:_MOST_REASONS],
        num_more_reasons=max(0, len(reasons) - _MOST_REASONS),
        sections=[name for name, part in sections.items() if part],
    )


def _class_rows(balance: Mapping[str, Mapping[str, int]]) -> list[ClassRow]:
    """One row a class, in the order in which the splits name them."""
    names = dict.fromkeys(name for counts in balance.values() for name in counts)
    counts = {name: tuple(split.get(name, 0) for split in balance.values()) for name in names}
    largest = max((sum(row) for row in counts.values()), default=0) or 1
    return [ClassRow(name, row, sum(row), sum(row) / largest) for name, row in counts.items()]


def _imbalance(rows: Sequence[ClassRow]) -> float | None:
    """How many times the smallest class goes into the largest; None with fewer than two classes or an empty one."""
    totals = [row.total for row in rows]
    return max(totals) / min(totals) if len(totals) > 1 and min(totals) else None


def _reason_rows(rejected: Sequence[Rejected]) -> list[ReasonRow]:
    counts: Counter[tuple[str, str]] = Counter()
    examples: dict[tuple[str, str], list[str]] = {}
    for row in rejected:
        why = row.step, row.reason
        counts[why] += 1
        if counts[why] <= _EXAMPLES:
            examples.setdefault(why, []).append(row.key)
    commonest = max(counts.values(), default=1)
    return [ReasonRow(*why, count, count / commonest, tuple(examples[why])) for why, count in counts.most_common()]


def _parts(card: Mapping[str, Any]) -> list[Part]:
    """The card's plain values first, then each nested part under its own name, flattened to dotted names."""
    plain = tuple((key, _text(value)) for key, value in card.items() if not _is_nested(value))
    nested = [Part(key, tuple(_leaves(value))) for key, value in card.items() if _is_nested(value)]
    return [Part("", plain), *nested] if plain else nested


def _is_nested(value: Any) -> bool:
    """A mapping, or a list that holds one: what gets a heading or dotted names rather than one text."""
    return isinstance(value, Mapping) or (isinstance(value, list | tuple) and any(_is_nested(item) for item in value))


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if not _is_nested(value):
        yield name, _text(value)
        return
    for key, item in value.items() if isinstance(value, Mapping) else enumerate(value, 1):
        if isinstance(item, Mapping) and not isinstance(value, Mapping):
            yield f"{name} {key}".strip(), ", ".join(" ".join(leaf) for leaf in _leaves(item))
            continue
        yield from _leaves(item, f"{name}.{key}" if name else str(key))


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        shown = ", ".join(_text(item) for item in value[:12])
        return shown + (f", … ({len(value):,} in all)" if len(value) > 12 else "")
    return f"{value:,}" if isinstance(value, int) else str(value)
