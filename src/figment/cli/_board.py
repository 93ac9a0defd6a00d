"""The page of a comparison: gather what the runs drew, cost and logged into its arguments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from figment.core import plugins
from figment.core.checkpoint import load_model
from figment.core.errors import DataError, FigmentError
from figment.core.images import encode_png, grid
from figment.core.types import Sample
from figment.evaluate.memorisation import verdict
from figment.pages import leaderboard
from figment.pages.leaderboard import Look, Pair
from figment.pages.numerals import number
from figment.pages.run_report import Curve
from figment.train.run import read_run
from figment.train.runlog import read_log
from figment.version import VERSION

if TYPE_CHECKING:
    from figment.evaluate.ranking import Column, Entry
    from figment.evaluate.reference import Reference
    from figment.evaluate.runs import Yardstick

SHOWN = 32  # pictures of a run
PAIRS = 8  # of its pictures that are most like a training picture
COLUMNS = 8


def write_board(
    path: Path,
    entries: Sequence[Entry],
    columns: Sequence[Column],
    fakes: Mapping[str, Sample | None],
    yardstick: Yardstick,
    command: str,
) -> None:
    """Write the page; of an entry with several seeds the first run is shown. fakes: by run."""
    reference = yardstick.reference
    notes = [f"Not ranked: {column.refusal}." for column in columns if column.refusal]
    leaderboard.write(
        path,
        title="Comparison of " + ", ".join(entry.name for entry in entries),
        facts={
            "pictures": str(yardstick.spec),
            "features": yardstick.eyes.extractor.name,
            "real pictures": f"{len(reference.real):,} ({reference.digest})",
            "entries": str(len(entries)),
            "figment": VERSION,
        },
        entries=entries,
        columns=columns,
        looks={entry.name: _look(entry, fakes, yardstick) for entry in entries},
        curves=list(_curves(entries)),
        notes=[*notes, *reference.doubts],
        command=command,
    )


def _look(entry: Entry, fakes: Mapping[str, Sample | None], yardstick: Yardstick) -> Look:
    run = entry.answers[0]["run"]
    fake, reference = fakes.get(run), yardstick.reference
    facts = _facts(Path(run))
    if fake is None or fake.images is None:
        return Look(facts=facts)
    return Look(
        sample=encode_png(grid(fake.images[shown_rows(fake)], COLUMNS)),
        facts=facts,
        classes=_by_class(fake, yardstick),
        **_memorised(fake, reference),
    )


def _memorised(fake: Sample, reference: Reference) -> dict[str, Any]:
    """The verdict on copying and the pictures behind it; nothing without training pictures, or with hardly any."""
    train = reference.train
    try:
        found = verdict(real=reference.real, fake=fake, train=train) if train is not None else None
    except DataError:
        found = None
    if found is None or train is None or train.images is None or fake.images is None:
        return {}
    share = {"copies": found.copies, "interpolates": found.blends}.get(found.name)
    accused = round(share.value * found.num_fake) if share else 0
    pairs = []
    for place, one in enumerate(found.suspects[:PAIRS]):
        rows = one.pair if found.name == "interpolates" else (one.train,)
        note = f"closeness {one.closeness:.2f}, blend {one.blend:.2f}"
        trains = [encode_png(train.images[row]) for row in rows]
        pairs.append(Pair(encode_png(fake.images[one.fake]), trains, note, place < accused))
    return {"verdict": f"{str(found)[0].upper()}{str(found)[1:]}.", "pairs": pairs}


def shown_rows(fake: Sample) -> np.ndarray:
    """The first pictures in the order of their seeds; with few classes, as many of each, class after class."""
    labels = fake.labels
    if labels is None or not 2 <= len(np.unique(labels)) <= SHOWN // 2:
        return np.arange(min(SHOWN, len(fake)))
    each = max(COLUMNS // 2, SHOWN // len(np.unique(labels)))
    return np.concatenate([np.flatnonzero(labels == label)[:each] for label in np.unique(labels)])


def _by_class(fake: Sample, yardstick: Yardstick) -> dict[str, dict[str, float]]:
    """Each class's Fréchet distance, and how often the judge agrees, where these can be had."""
    real, classes = yardstick.reference.real, yardstick.spec.classes
    if real.labels is None or fake.labels is None:
        return {}
    found: dict[str, dict[str, float]] = {}
    try:
        distances = plugins.load("metrics", "class_fd").by_class(real=real, fake=fake)
        found["class_fd"] = {classes[label]: value for label, value in distances.items()}
    except FigmentError:
        pass  # too few pictures of some class; the score itself has said so
    if fake.logits is not None and fake.logits.shape[1] == len(classes):
        right = fake.logits.argmax(1) == fake.labels
        found["accuracy"] = {
            classes[label]: float(right[fake.labels == label].mean()) for label in np.unique(fake.labels)
        }
    return found


def _facts(run: Path) -> dict[str, str]:
    """What a run is and what it took; nothing for what is no run."""
    try:
        config, loaded = read_run(run), load_model(run)
    except (FigmentError, OSError):
        return {}
    seconds = max(_elapsed(run).values(), default=0.0)
    engine = config.engine
    return {
        "parameters": number(sum(weights.numel() for weights in loaded.model.parameters())),
        "steps": number(loaded.facts.get("step", config.steps)),
        "images seen": number(loaded.facts.get("seen_images", config.steps * config.train.batch_size)),
        "trained for": f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s",
        "arithmetic": f"{engine.device}, {engine.precision}" if engine else "",
    }


def _elapsed(run: Path) -> dict[int, float]:
    """Step -> seconds of training until then, from the pace that the log tells of."""
    lines = [line for line in read_log(run) if line["kind"] == "train"]
    seconds, past = {}, 0.0
    for before, line in pairwise([{"step": 0}, *lines]):
        past += (line["step"] - before["step"]) * line["seconds"]
        seconds[line["step"]] = past
    return seconds


def _curves(entries: Sequence[Entry]) -> Iterator[tuple[Curve, str]]:
    """Every score that some run took during training, over images and over seconds."""
    over_images: dict[str, dict[str, list[tuple[float, float]]]] = {}
    over_seconds: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for entry in entries:
        run = Path(entry.answers[0]["run"])
        elapsed = _elapsed(run)
        for line in read_log(run):
            if line["kind"] != "score":
                continue
            past = np.interp(line["step"], [0, *elapsed], [0.0, *elapsed.values()])
            for metric, value in line.items():
                if metric not in ("kind", "step", "seen_images", "seconds"):
                    over_images.setdefault(metric, {}).setdefault(entry.name, []).append((line["seen_images"], value))
                    over_seconds.setdefault(metric, {}).setdefault(entry.name, []).append((float(past), value))
    for unit, over in (("images", over_images), ("seconds", over_seconds)):
        for metric, series in over.items():
            # The colours are those of the other plots: an entry without this score keeps its place.
            yield Curve(metric, metric, {entry.name: series.get(entry.name, []) for entry in entries}), unit
