"""A run's report: its pictures, scores with their error bars, curves, nearest training pictures and commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.pages import page, plots
from figment.pages.classes import classes
from figment.pages.score_table import score_table


@dataclass(frozen=True)
class Picture:
    """A picture with its title; note: what made it (command, seed). png: bytes of a PNG file."""

    title: str
    png: bytes
    note: str = ""


@dataclass(frozen=True)
class Curve:
    """Series of (images seen, value) that share one unit and one plot; `over`: what stands in place of images seen."""

    title: str
    unit: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    over: str = "images seen"


@dataclass(frozen=True)
class Neighbour:
    """A generated picture beside its nearest training picture, as bytes of PNG files, and how far apart they are.

    floor_distance: the same for a typical held-out picture; a generated one that lies much closer may be a copy.
    """

    fake: bytes
    train: bytes
    distance: float
    floor_distance: float | None

    @property
    def is_suspicious(self) -> bool:
        return self.floor_distance is not None and self.distance < self.floor_distance / 2


def write(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, str],
    pictures: Sequence[Picture] = (),
    curves: Sequence[Curve] = (),
    scores: Mapping[str, Mapping[str, Any]] | None = None,
    neighbours: Sequence[Neighbour] = (),
    commands: Sequence[str] = (),
    links: Mapping[str, str] | None = None,
    notes: Sequence[str] = (),
    classification: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of a run to `path`, one HTML file of at most 5 MB, whole or not at all.

    facts: names and values for the head of the page. notes: what the reader should know before believing a number.
    links: titles and addresses, relative to this page, of reports that say more.
    scores: by metric, as `figment eval --json` prints them: value, low, high, floor, num_real, num_fake, extractor,
        reference_digest, protocol and, optionally, higher_is_better.
    classification: how a classifier does, as `figment.evaluate.classification` gives it: "classes" (K mappings with
        name, precision, recall, f1, count), "confusion" (K rows of K counts, true classes down, predicted ones across),
        "reliability" (bins with confidence, accuracy, count), and single numbers, such as "accuracy", by their names.
    Parts that are empty do not appear.
    """
    assert not any(":" in address for address in (links or {}).values()), "links stay within the folder"
    rows, alike = score_table(scores or {})
    by_class = classes(classification) if classification else None
    pngs = [picture.png for picture in pictures]
    pngs += [png for neighbour in neighbours for png in (neighbour.fake, neighbour.train)]
    pngs += [by_class.png] if by_class and by_class.png else []
    sections = {"Pictures": pictures, "Scores": rows, "Curves": curves, "Neighbours": neighbours, "Classes": by_class}
    sections["Commands"] = commands
    page.write(
        path,
        "run_report.html.j2",
        pngs=pngs,
        title=title,
        sections=[name for name, part in sections.items() if part],
        facts=facts,
        links=links or {},
        notes=notes,
        pictures=pictures,
        scores=rows,
        alike=alike,
        curves=[(curve, plots.curves(curve.series, curve.over.partition(" ")[0])) for curve in curves],
        neighbours=neighbours,
        classes=by_class,
        commands=commands,
    )
