"""Gather what a run left behind into the arguments of its report page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figment.core.images import encode_png, grid
from figment.data.store import Store
from figment.evaluate.runs import Reference
from figment.pages import data_report as data_page
from figment.pages.run_report import Curve, Neighbour, Picture, write
from figment.train.run import read_run
from figment.train.runlog import read_log
from figment.version import VERSION

NEIGHBOURS = 8
SHEET = 48


def write_make_report(
    path: Path,
    run: Path,
    grid: Path,
    result: dict[str, Any],
    store: Store,
    reference: Reference,
    commands: Sequence[str],
    seconds: float,
) -> None:
    """The report of `figment make`: everything on one page."""
    answer = result["answer"]
    config = read_run(run)
    facts = {
        "family": config.family,
        "pictures": f"{store.spec}",
        "dataset": ", ".join(f"{count} {split}" for split, count in store.counts.items()),
        "training": f"{config.steps} steps of {config.train.batch_size} pictures",
        "machine": f"{config.engine.precision}, {config.engine.layout}" if config.engine else "",
        "time": f"{seconds:.0f} s in all",
        "figment": VERSION,
    }
    note = next((command for command in commands if command.startswith("figment sample")), "")
    pictures = [Picture("Samples, seeds in order, not chosen", grid.read_bytes(), note)] if grid.exists() else []
    write(
        path,
        title=f"{config.family} on {store.path.parent.name}",
        facts=facts,
        pictures=pictures,
        curves=curves(run),
        scores=answer["scores"],
        neighbours=neighbours(result["fake"], reference) if result["fake"] else [],
        commands=commands,
        classification=answer.get("classification"),
    )


def write_eval_report(path: Path, results: Sequence[dict[str, Any]], store: Store, command: str) -> None:
    """One page for the runs of one `figment eval`; scores are prefixed with the run where there are several."""
    path.parent.mkdir(parents=True, exist_ok=True)
    answers = [result["answer"] for result in results]
    several = len(answers) > 1
    scores = {
        (f"{answer['run']}: {name}" if several else name): score
        for answer in answers
        for name, score in answer["scores"].items()
    }
    write(
        path,
        title=", ".join(Path(answer["run"]).name for answer in answers),
        facts={"dataset": f"{store.path}: {store.spec}", "figment": VERSION},
        pictures=[],
        curves=[curve for answer in answers for curve in curves(Path(answer["run"]))],
        scores=scores,
        neighbours=[],
        commands=[command],
        classification=next((answer["classification"] for answer in answers if "classification" in answer), None),
    )


def curves(run: Path) -> list[Curve]:
    """A run's losses against images seen, one plot a phase; none for a folder without a log."""
    series: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for line in read_log(run):
        if line["kind"] == "train":
            for name, value in line.items():
                if name.endswith("/loss"):
                    phase = name.removesuffix("/loss")
                    series.setdefault(phase, {}).setdefault("training", []).append((line["seen_images"], value))
        elif line["kind"] == "validation":
            series.setdefault("main", {}).setdefault("held-out", []).append((line["seen_images"], line["loss"]))
    return [Curve(f"Loss, phase {phase}", "loss", lines) for phase, lines in series.items()]


def neighbours(fake: Any, reference: Reference) -> list[Neighbour]:
    """The generated pictures that lie nearest to a training picture, each beside it."""
    train, real = reference.train, reference.real
    assert train.images is not None
    distances, places = _nearest(fake.features, train.features)
    usual = float(np.median(_nearest(real.features, train.features)[0]))
    return [
        Neighbour(encode_png(fake.images[row]), encode_png(train.images[places[row]]), float(distances[row]), usual)
        for row in np.argsort(distances)[:NEIGHBOURS]
    ]


def _nearest(of: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance to, and place of, the nearest row: (N, D), (M, D) -> (N,), (N,); in blocks of bounded memory."""
    distances, places = [], []
    for low in range(0, len(of), 256):
        block = of[low : low + 256].astype(np.float64)
        square = (
            (block**2).sum(1)[:, None] - 2 * block @ among.T.astype(np.float64) + (among.astype(np.float64) ** 2).sum(1)
        )
        place = square.argmin(1)
        places.append(place)
        distances.append(np.sqrt(square[np.arange(len(block)), place].clip(0)))
    return np.concatenate(distances), np.concatenate(places)


def write_data_report(path: Path, store: Store) -> None:
    """The report of a dataset: what it holds, what it looks like, what it refused."""
    balance = {split: _balance(store, split) for split in store.counts}
    brightness = np.concatenate([store.images(split).mean((1, 2, 3)) for split in store.counts])
    counts, edges = np.histogram(brightness, bins=32, range=(0, 255))
    data_page.write(
        path,
        title=store.path.resolve().name,
        card=store.card,
        sheets=[sheet for split in store.counts for sheet in _sheets(store, split)],
        histograms=[data_page.Histogram("Brightness", "mean grey level", edges.tolist(), counts.tolist())],
        balance=balance if store.spec.classes else None,
        rejected=store.rejected(),
    )


def _balance(store: Store, split: str) -> dict[str, int]:
    labels = store.labels(split)
    return {name: int((labels == number).sum()) for number, name in enumerate(store.spec.classes)}


def _sheets(store: Store, split: str) -> Iterator[data_page.Sheet]:
    """A contact sheet for every class of a split, or one for the split: up to SHEET pictures, spread evenly."""
    labels, images = store.labels(split), store.images(split)
    groups = {name: np.flatnonzero(labels == number) for number, name in enumerate(store.spec.classes)}
    for title, rows in (groups or {split: np.arange(len(images))}).items():
        if len(rows):
            shown = rows[np.linspace(0, len(rows) - 1, min(len(rows), SHEET)).round().astype(np.int64)]
            png = encode_png(grid(np.asarray(images[shown]), 12))
            yield data_page.Sheet(title, png, group=split, count=len(rows))
