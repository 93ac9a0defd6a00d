"""What the doctor knows of a run: its log, its optimizer's memory, its pictures beside real ones, its batches' cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from figment.core.checkpoint import newest_checkpoint
from figment.core.config import to_json
from figment.core.engine import Engine
from figment.core.errors import DataError
from figment.core.noise import mix
from figment.core.objective import Objective
from figment.core.types import Extractor, Generates, Sample
from figment.data.batches import Batches
from figment.data.store import Store
from figment.diagnoses import Copies, Evidence, Series
from figment.evaluate.extract import Eyes, drawn
from figment.evaluate.memorisation import verdict
from figment.evaluate.reference import reference_of
from figment.evaluate.runs import asked_of
from figment.nets import embeddings, text
from figment.train.fit import build_objective
from figment.train.run import RunConfig
from figment.train.runlog import read_log
from figment.train.trainer import Trainer

STILL = 1e-8  # of the largest mean gradient in the layer: what is left of one after some hundred steps without any
LEAST_UNITS = 4
TIMED_BATCHES = 20

_NOT_SERIES = {"kind", "step"}

# Their rows stand for words and classes, and rest while those are not shown.
_RESTING = {embeddings.__name__, text.__name__}


def logged(folder: Path, run: RunConfig) -> Evidence:
    """What the log alone tells, which is little work: enough for the diagnoses that need no more than "log"."""
    points: dict[str, list[tuple[int, float]]] = {}
    seen = 0
    for line in read_log(folder):
        seen = max(seen, int(line.get("seen_images", 0)))
        for name, value in line.items():
            if name not in _NOT_SERIES and isinstance(value, int | float):
                points.setdefault(f"{line['kind']}/{name}", []).append((line["step"], value))
    series = {name: Series(*(np.array(part) for part in zip(*rows, strict=True))) for name, rows in points.items()}
    return Evidence(run.family, to_json(run.settings), seen, series)


def examined(
    folder: Path, run: RunConfig, store: Store, eyes: Extractor | None, num: int, warn: Callable[[str], None]
) -> tuple[Evidence, tuple[str, ...]]:
    """All that can be known of a run from its newest checkpoint, and which parts those are ("log", "pictures", ...).

    eyes: what pictures are compared through; None leaves them out. num: of pictures, at most as many as are held out.
    """
    evidence, parts = logged(folder, run), ["log"]
    checkpoint = newest_checkpoint(folder / "checkpoints", warn)
    if checkpoint is None:
        return evidence, tuple(parts)
    trainer = Trainer(build_objective(run), run.train, steps=run.steps, seed=run.seed, engine=Engine())
    kept = {part: checkpoint.read(part) for part in trainer.state()[0]}
    trainer.load_state(checkpoint.step, kept, checkpoint.facts)
    evidence = replace(evidence, still=still_units(trainer), wait_share=_wait_share(run, store, evidence.series))
    parts += ["optimizer", "loader"]
    model = trainer.model.eval()
    if eyes is not None and isinstance(model, Generates) and run.spec.frames == 1:
        evidence = _with_pictures(evidence, model, run, store, eyes, num)
        parts.append("pictures")
    return evidence, tuple(parts)


@torch.no_grad()
def still_units(trainer: Trainer) -> dict[str, float]:
    """By layer, the share of its units (rows of its weights) that receive no gradient any more."""
    names = _layers(trainer.objective)
    shares: dict[str, float] = {}
    for optimizer in trainer.optimizers.values():
        for parameter, state in optimizer.state.items():
            name, mean = names.get(id(parameter)), state.get("exp_avg")
            if name is None or mean is None or "exp_avg_sq" not in state or len(mean) < LEAST_UNITS:
                continue
            if not state["exp_avg_sq"].any():
                continue  # it never learned: nothing that it is for is in this dataset, such as labels
            largest = mean.abs().flatten(1).amax(1)
            shares[name] = float((largest <= STILL * largest.max()).double().mean())
    return shares


def _layers(objective: Objective) -> dict[int, str]:
    """Names of the weights that should always learn, by identity: those of two dimensions and more."""
    found: dict[int, str] = {}
    for name, module in objective.named_modules():
        above = (objective.get_submodule(name.rsplit(".", cut)[0]) for cut in range(name.count(".") + 1))
        if isinstance(module, nn.Embedding) or any(type(one).__module__ in _RESTING for one in (module, *above)):
            continue
        own = module.named_parameters(recurse=False)
        found |= {id(one): f"{name}.{part}".removesuffix(".weight") for part, one in own if one.ndim >= 2}
    return found


def _wait_share(run: RunConfig, store: Store, series: Mapping[str, Series]) -> float | None:
    steps = series.get("train/seconds")
    if steps is None or not store.counts.get("train"):
        return None
    batches = Batches(store, "train", run.train.batch_size, seed=run.seed, augment=run.train.augment)
    batches.batch_at(0)
    started = time.perf_counter()
    for step in range(TIMED_BATCHES):
        batches.batch_at(step + 1)
    return (time.perf_counter() - started) / TIMED_BATCHES / float(np.median(steps.values))


def _with_pictures(evidence: Evidence, model: Any, run: RunConfig, store: Store, eyes: Extractor, num: int) -> Evidence:
    """The evidence with generated pictures and as many held-out ones, and whether the former are copies."""
    reference = reference_of(store, Eyes(eyes), num)
    count = len(reference.real)
    asked = asked_of(run.spec, reference, count, run.seed)
    pixels = drawn(model, [mix(run.seed, index) for index in range(count)], asked)
    labels = None if asked.labels is None else asked.labels.numpy()
    fake = Eyes(eyes).see(pixels, labels, {})
    return replace(evidence, real=reference.real, fake=fake, copies=_copies(reference.real, fake, reference.train))


def _copies(real: Sample, fake: Sample, train: Sample | None) -> Copies | None:
    if train is None:
        return None
    try:
        copies = verdict(real=real, fake=fake, train=train).copies
    except DataError:  # too few pictures to tell
        return None
    return Copies(copies.value, copies.held_out, by_chance=not copies.is_sick)
