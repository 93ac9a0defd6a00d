"""Runs in an order that their scores bear out: ties where intervals overlap, and no order across passports.

A run's rank by a score is one more than the number of runs whose interval lies wholly on its better side. So runs that
cannot be told apart share a rank, and a run is never placed behind one that it may well beat.

Runs that differ in nothing but the seed are one entry: its value is their mean, its spread their standard deviation,
and its interval reaches from the lowest end of theirs to the highest, wherever one of its seeds may lie.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from figment.core.errors import ConfigError
from figment.evaluate.passport import difference

# Which score orders the table, by the first of these that all entries have.
HEADLINES = ("FID", "fd", "KID", "kid")


@dataclass(frozen=True)
class Pooled:
    """A score of one entry. spread: over its seeds, None of a single one. floor, ceiling: None where there is none."""

    value: float
    low: float
    high: float
    spread: float | None
    floor: float | None
    ceiling: float | None
    higher_is_better: bool
    passport: dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """What is ranked: the answers of `figment eval` for runs that differ in the seed alone, and their pooled scores."""

    name: str
    answers: Sequence[Mapping[str, Any]]
    scores: Mapping[str, Pooled]


@dataclass(frozen=True)
class Column:
    """One metric: each entry's rank, from 1, or why there is none; `is_headline` orders the table."""

    metric: str
    higher_is_better: bool
    ranks: Mapping[str, int]
    refusal: str = ""
    is_headline: bool = False


def entries_of(answers: Sequence[Mapping[str, Any]], groups: Sequence[str]) -> list[Entry]:
    """One entry for each different group, in the order of first appearance; groups: one for each answer."""
    gathered: dict[str, list[Mapping[str, Any]]] = {}
    for answer, group in zip(answers, groups, strict=True):
        gathered.setdefault(group, []).append(answer)
    names = _names([members for members in gathered.values()])
    return [Entry(name, members, _pooled(members)) for name, members in zip(names, gathered.values(), strict=True)]


def ranked(entries: Sequence[Entry]) -> tuple[list[Entry], list[Column]]:
    """The entries in the order of the headline, and a column for each metric that any of them has.

    Raises ConfigError, naming the field, where no metric can be ranked at all.
    """
    metrics = dict.fromkeys(name for entry in entries for name in entry.scores)
    columns = [_column(name, entries) for name in metrics]
    if columns and len(entries) > 1 and all(column.refusal for column in columns):
        raise ConfigError(f"nothing can be ranked: {columns[0].refusal}")
    rankable = {column.metric: column for column in columns if not column.refusal and len(column.ranks) == len(entries)}
    headline = next((name for name in (*HEADLINES, *rankable) if name in rankable), None)
    if headline is None:
        return list(entries), columns
    ranks, sign = rankable[headline].ranks, -1 if rankable[headline].higher_is_better else 1
    order = sorted(entries, key=lambda entry: (ranks[entry.name], sign * entry.scores[headline].value))
    first = [Column(**{**vars(column), "is_headline": True}) for column in columns if column.metric == headline]
    return order, [*first, *(column for column in columns if column.metric != headline)]


def _column(metric: str, entries: Sequence[Entry]) -> Column:
    having = [entry for entry in entries if metric in entry.scores]
    first = having[0].scores[metric]
    for other in having[1:]:
        if told := difference(first.passport, other.scores[metric].passport):
            names = f"{having[0].name} and {other.name}"
            return Column(metric, first.higher_is_better, {}, f"{metric} of {names} differ in {told}")
    ranks = {
        entry.name: 1 + sum(_is_beaten(entry.scores[metric], other.scores[metric]) for other in having)
        for entry in having
    }
    return Column(metric, first.higher_is_better, ranks)


def _is_beaten(mine: Pooled, theirs: Pooled) -> bool:
    """Whether their interval lies wholly on the better side of mine."""
    return theirs.low > mine.high if mine.higher_is_better else theirs.high < mine.low


def _pooled(members: Sequence[Mapping[str, Any]]) -> dict[str, Pooled]:
    shared = [name for name in members[0]["scores"] if all(name in member["scores"] for member in members)]
    return {name: _pool(name, [member["scores"][name] for member in members]) for name in shared}


def _pool(name: str, scores: Sequence[Mapping[str, Any]]) -> Pooled:
    first = scores[0]
    for other in scores[1:]:
        if told := difference(first.get("passport", {}), other.get("passport", {})):
            raise ConfigError(f"{name}: seeds of one run were scored differently, {told}; score them again together")
    values = [float(score["value"]) for score in scores]
    return Pooled(
        value=mean(values),
        low=min(score["low"] for score in scores),
        high=max(score["high"] for score in scores),
        spread=stdev(values) if len(values) > 1 else None,
        floor=_mean_of("floor", scores),
        ceiling=_mean_of("ceiling", scores),
        higher_is_better=bool(first.get("higher_is_better")),
        passport=dict(first.get("passport", {})),
    )


def _mean_of(part: str, scores: Sequence[Mapping[str, Any]]) -> float | None:
    known = [float(score[part]) for score in scores if score.get(part) is not None]
    return mean(known) if len(known) == len(scores) else None


def _names(groups: Sequence[Sequence[Mapping[str, Any]]]) -> list[str]:
    """The last part of the first run's path, made longer until the names differ; with the number of seeds."""
    paths = [str(members[0]["run"]).rstrip("/").split("/") for members in groups]
    parts = next(
        (n for n in range(1, max(map(len, paths)) + 1) if len({tuple(p[-n:]) for p in paths}) == len(paths)), 0
    )
    names = ["/".join(path[-parts:]) for path in paths]
    return [
        f"{name} ({len(members)} seeds)" if len(members) > 1 else name
        for name, members in zip(names, groups, strict=True)
    ]
