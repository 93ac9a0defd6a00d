"""One run folder from its config to its shippable model: the body of the trainer's `for` loop.

    config.json   checkpoints/   log.jsonl   samples/   model/

Giving the same command again resumes. A run that was killed at any moment ends with the same weights as one that was
not, to the last bit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from figment.core.checkpoint import (
    Checkpoint,
    newest_checkpoint,
    prune,
    verify,
    write_checkpoint,
    write_model,
)
from figment.core.config import TrainConfig, to_json
from figment.core.engine import Engine, seed_slice, seeded
from figment.core.errors import CheckpointError, ConfigError
from figment.core.images import encode_png, grid, interleave, to_uint8
from figment.core.noise import noise
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, Generates, ImageSpec
from figment.data.batches import Batches
from figment.data.store import Store
from figment.train.autotune import choose_engine
from figment.train.run import RunConfig, remove_run, write_run
from figment.train.runlog import RunLog
from figment.train.trainer import Report, Trainer

KEEP = 2
VALIDATION_IMAGES = 1000
TIMED_STEPS = 20
UNTIMED_STEPS = 4
SAMPLES = 64


def build_objective(run: RunConfig) -> Objective:
    """The run's objective with its initial weights, which depend on the seed alone."""
    with seeded(run.seed):
        return run.module.build(run.settings, run.spec)


def fit(
    folder: Path,
    run: RunConfig,
    store: Store,
    *,
    warn: Callable[[str], None],
    stopping: Callable[[], bool],
    fresh: bool = False,
) -> Iterator[Report]:
    """Train the run in `folder` to its end, yielding the trainer's reports; `open_run` has made it or found it.

    warn: told of damaged checkpoints and of overfitting. stopping: asked after every step; once true, everything is
    saved and KeyboardInterrupt raised. fresh: delete the run that is there, and start over.
    """
    fitting = _Fitting(folder, run, store, warn, fresh)
    try:
        for report in () if fitting.done else fitting.trainer.run(fitting.batches.batch_at):
            fitting.after_step(report)
            yield report
            if fitting.done:
                break
            if stopping():
                fitting.save()
                raise KeyboardInterrupt
        fitting.finish()
    finally:
        fitting.log.close()


class _Fitting:
    """A run under way: the trainer, and what happens around its steps."""

    def __init__(self, folder: Path, run: RunConfig, store: Store, warn: Callable[[str], None], fresh: bool):
        self.folder, self.checkpoints, self.run, self.warn = folder, folder / "checkpoints", run, warn
        self.batches = Batches(store, "train", run.train.batch_size, seed=run.seed, augment=run.train.augment)
        self.validation = _validation_batches(store, run.train)
        self.run = run = self._complete(run)
        assert run.engine
        self.trainer = Trainer(build_objective(run), run.train, steps=run.steps, seed=run.seed, engine=run.engine)
        # How validation went, which must outlive a kill beside the trainer's own state. train_loss is a running mean.
        self.course: dict[str, Any] = {"best_loss": None, "best_step": 0, "best_train_loss": 0.0, "stalled": 0}
        self.course["train_loss"] = None
        if fresh or not self._resume():
            self._start()
        # Only now, when nothing of what was asked for can turn out to be impossible.
        if fresh:
            remove_run(folder)
        write_run(folder, run)
        self.log = RunLog(folder, self.trainer.step, tensorboard=run.train.tensorboard)

    @property
    def done(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.run.train.patience <= self.course["stalled"]

    def _complete(self, run: RunConfig) -> RunConfig:
        """The run with its engine measured and its number of steps fixed."""
        started = time.perf_counter()
        if run.engine is None:
            identity = [run.family, str(run.settings), str(run.spec)]
            engine = choose_engine(lambda: build_objective(run), run.train, self.batches.batch_at(0), identity)
            run = replace(run, engine=engine)
        if not run.steps:
            budget = run.minutes * 60 - (time.perf_counter() - started)
            run = replace(run, steps=self._steps_within(run, budget))
        return run

    def _steps_within(self, run: RunConfig, seconds: float) -> int:
        """How many steps fit, with their validations, samples and saves: timed on a trainer that is thrown away."""
        steps = UNTIMED_STEPS + TIMED_STEPS
        trial = Trainer(build_objective(run), run.train, steps=steps, seed=run.seed, engine=run.engine or Engine())
        started = now = time.perf_counter()
        for report in trial.run(self.batches.batch_at):
            if report.step == UNTIMED_STEPS:
                now = time.perf_counter()
        per_step = (time.perf_counter() - now) / TIMED_STEPS
        for every, work in (
            (run.train.validate_every, lambda: self._validate(trial)),
            (run.train.sample_every, lambda: _sample_grid(trial, run)),
        ):
            now = time.perf_counter()
            work()
            per_step += (time.perf_counter() - now) / every if every else 0
        left = seconds - (time.perf_counter() - started)
        return max(steps, int(left / per_step))

    def _resume(self) -> bool:
        """Go on from the newest whole checkpoint, if there is one."""
        checkpoint = newest_checkpoint(self.checkpoints, self.warn)
        if checkpoint is None:
            if any(self.checkpoints.glob("[0-9]" * 8)):
                self.warn(f"{self.checkpoints}: no whole checkpoint is left: training begins again")
            return False
        parts = {part: checkpoint.read(part) for part in ("objective", "average", "optimizers")}
        self.trainer.load_state(checkpoint.step, parts, checkpoint.facts)
        self.course = dict(checkpoint.facts["course"])
        return True

    def _start(self) -> None:
        if self.run.start:
            self._start_from(Path(self.run.start))

    def _start_from(self, other: Path) -> None:
        checkpoint = newest_checkpoint(other / "checkpoints", self.warn)
        if checkpoint is None:
            raise CheckpointError(f"--from {other}: has no checkpoint; give a run folder of 'figment train'")
        try:
            self.trainer.objective.load_state_dict(checkpoint.read("objective"))
            self.trainer.ema.model.load_state_dict(checkpoint.read("average"))
        except RuntimeError:  # which lists every tensor
            raise CheckpointError(
                f"--from {other}: its weights do not fit; family, --scale and picture size must be the same"
            ) from None

    def after_step(self, report: Report) -> None:
        train, step = self.run.train, report.step
        last = step == self.run.steps
        loss = report.values.get("main/loss")
        if loss is not None:
            before = self.course["train_loss"]
            self.course["train_loss"] = loss if before is None else before + 0.02 * (loss - before)
        if step % train.log_every == 0 or last:
            values = dict(report.values) | {"lr": report.lr, "seconds": report.seconds}
            self.log.write("train", step, seen_images=report.seen_images, **values)
        if train.validate_every and (step % train.validate_every == 0 or last):
            self._observe(self._validate(self.trainer), report)
        if train.sample_every and (step % train.sample_every == 0 or last):
            picture = _sample_grid(self.trainer, self.run)
            if picture:
                path = self.folder / "samples" / f"{step:08d}.png"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(picture)
        is_best = train.patience and self.course["best_step"] == step
        if step % train.save_every == 0 or last or is_best or self.done:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of this moment, and drop the ones no longer needed."""
        parts, facts = self.trainer.state()
        write_checkpoint(self.checkpoints, self.trainer.step, parts, facts | {"course": self.course})
        self._prune()

    def _prune(self) -> None:
        prune(self.checkpoints, KEEP, int(self.course["best_step"]), self.trainer.step)

    @torch.no_grad()
    def _validate(self, trainer: Trainer) -> float | None:
        """Mean loss of the averaged model on held-out pictures, with the same noise every time."""
        objective = trainer.objective
        if not self.validation or not objective.has_validation:
            return None
        trained, objective.model = objective.model, trainer.model
        objective.eval()
        total = 0.0
        for index, batch in enumerate(self.validation):
            seed_slice(self.run.seed, 0, index)
            with trainer.engine.arithmetic():
                terms = objective.loss(trainer.engine.put(batch)).terms.values()
            total += sum(float(term) for term in terms) * len(batch)
        objective.model = trained
        return total / sum(len(batch) for batch in self.validation)

    def _observe(self, loss: float | None, report: Report) -> None:
        """Take note of a validation: log, best so far, plateau, and overfitting when it starts."""
        if loss is None:
            return
        self.log.write("validation", report.step, seen_images=report.seen_images, loss=loss)
        self.trainer.plateau.patience = 4 if self.run.train.schedule == "plateau" else 2**31
        self.trainer.plateau.observe(loss)
        course = self.course
        if course["best_loss"] is None or loss < course["best_loss"]:
            course |= {
                "best_loss": loss,
                "best_step": report.step,
                "best_train_loss": course["train_loss"],
                "stalled": 0,
            }
            return
        course["stalled"] += 1
        rises = loss > 1.02 * course["best_loss"] and course["train_loss"] < course["best_train_loss"]
        if course["stalled"] == 3 and rises:
            since, best = course["best_step"], course["best_loss"]
            self.log.write("overfitting", report.step, since=since, best=best, loss=loss)
            self.warn(
                f"overfitting since step {since}: held-out loss {best:.4g} -> {loss:.4g} while training loss falls; "
                "more pictures, --train.augment.* or --train.patience 3 help"
            )

    def finish(self) -> None:
        """Write the shippable model: the averaged weights of the last step, or of the best where patience was asked."""
        self._prune()  # a kill may have come between the last checkpoint and this
        model, facts = self.trainer.model, {"step": self.trainer.step, "seen_images": self.trainer.seen_images}
        tensors = model.state_dict()
        best = self._best()
        if best:
            part = "average" if self.run.train.ema_half_life else "objective"
            tensors = {name.removeprefix("model."): tensor for name, tensor in best.read(part).items()}
            tensors = {name: tensors[name] for name in model.state_dict()}
            facts = {"step": best.step, "seen_images": best.facts["seen_images"]}
        facts |= {"data": to_json(self.run.data)}
        write_model(self.folder / "model", tensors, self.run.family, self.run.settings, self.run.spec, facts)

    def _best(self) -> Checkpoint | None:
        """The checkpoint to ship in place of the last step, where patience was asked for and it is whole."""
        step = int(self.course["best_step"])
        if not self.run.train.patience or not 0 < step < self.trainer.step:
            return None
        try:
            return verify(self.checkpoints / f"{step:08d}")
        except CheckpointError as error:
            self.warn(f"{error}; it was the best one, the last step is shipped instead")
            return None


def _validation_batches(store: Store, train: TrainConfig) -> list[Batch]:
    """Up to VALIDATION_IMAGES held-out pictures, spread evenly over their split; none where nothing is held out.

    Raises ConfigError where their loss would steer the training and there are none, or only those that scores need.
    """
    split = "val" if store.counts.get("val") else store.held_out
    if (train.patience or train.schedule == "plateau") and not store.counts.get("val"):
        raise ConfigError(
            "--train.patience and --train.schedule plateau need pictures of their own to watch: "
            f"figment data split {store.path} --val 0.05"
        )
    if not store.counts.get(split):
        return []
    batch_size, batches = train.batch_size, Batches(store, split, train.batch_size)
    count = min(len(batches), VALIDATION_IMAGES)
    rows = np.linspace(0, len(batches) - 1, count).round().astype(np.int64)
    return [batches.take(rows[low : low + batch_size]) for low in range(0, count, batch_size)]


def sample_condition(spec: ImageSpec, count: int) -> Condition:
    """The classes of a dataset taking turns, or nothing where it has none."""
    if not spec.classes:
        return Condition()
    return Condition(labels=torch.tensor(interleave(range(spec.num_classes), count)))


@torch.no_grad()
def _sample_grid(trainer: Trainer, run: RunConfig) -> bytes | None:
    """A PNG of the same seeds every time, one column a class; None where the model draws no pictures."""
    model, classes = trainer.model, run.spec.num_classes
    if not isinstance(model, Generates):
        return None
    columns = classes if 2 <= classes <= 12 else 8
    count = SAMPLES // columns * columns
    batch = Batch(noise(range(count), model), sample_condition(run.spec, count))
    placed = trainer.engine.put(batch)
    with trainer.engine.arithmetic():
        images = model.generate(placed.images, placed.condition)
    return encode_png(grid(to_uint8(images), columns), {"run_step": trainer.step, "seeds": f"0..{count - 1}"})
