"""The pages of runs: gather what a run left behind into the arguments of its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figment.cli._console import REPORT
from figment.core.images import encode_png
from figment.data.store import Store
from figment.evaluate.runs import Reference
from figment.pages.run_report import Curve, Neighbour, Picture, write
from figment.train.run import RunConfig, read_run
from figment.train.runlog import read_log
from figment.version import VERSION

NEIGHBOURS = 8


def write_run_report(path: Path, run: Path, command: str) -> None:
    """The report of `figment train`: what the run is, its newest samples, its curves and its command."""
    newest = max((run / "samples").glob("*.png"), default=None)
    title = f"Samples after {int(newest.stem):,} steps, seeds in order, not chosen" if newest else ""
    write(
        path,
        title=run.resolve().name,
        facts=_facts(run),
        pictures=[Picture(title, newest.read_bytes())] if newest else [],
        curves=curves(run),
        commands=[command] if command else [],
    )


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
    dataset = ", ".join(f"{count} {split}" for split, count in store.counts.items())
    note = next((command for command in commands if command.startswith("figment sample")), "")
    pictures = [Picture("Samples, seeds in order, not chosen", grid.read_bytes(), note)] if grid.exists() else []
    pages = {"the dataset": store.path / REPORT, "the training": run / REPORT}
    write(
        path,
        title=f"{answer['family']} on {store.path.parent.name}",
        facts=_facts(run) | {"dataset": dataset, "time": f"{seconds:.0f} s in all"},
        pictures=pictures,
        curves=curves(run),
        scores=answer["scores"],
        neighbours=neighbours(result["fake"], reference) if result["fake"] else [],
        commands=commands,
        links={title: page.relative_to(path.parent).as_posix() for title, page in pages.items() if page.exists()},
        classification=answer.get("classification"),
    )


def _facts(run: Path) -> dict[str, str]:
    """What a run is, for the head of its page."""
    config = read_run(run)
    return {
        "family": config.family,
        "pictures": f"{config.spec}",
        "training": f"{config.steps} steps of {config.train.batch_size} pictures",
        "privacy": _privacy(config),
        "machine": f"{config.engine.precision}, {config.engine.layout}" if config.engine else "",
        "figment": VERSION,
    }


def _privacy(run: RunConfig) -> str:
    privacy = run.train.privacy
    return f"epsilon {privacy.epsilon:g} at delta {privacy.delta:g}, noise {run.noise:.3g}" if run.noise else ""


def write_eval_report(path: Path, results: Sequence[dict[str, Any]], dataset: str, command: str) -> None:
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
        facts={"dataset": dataset, "figment": VERSION},
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
    assert train is not None and train.images is not None and fake.images is not None
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
