"""One run folder from its config to its shippable model: the body of the trainer's `for` loop.

    config.json   checkpoints/   log.jsonl   samples/   model/

Giving the same command again resumes. A run that was killed at any moment ends with the same weights as one that was
not, to the last bit.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from figment.core import plugins, ranks
from figment.core.checkpoint import (
    NEW_WEIGHTS,
    Checkpoint,
    load_model,
    newest_checkpoint,
    prune,
    verify,
    write_checkpoint,
    write_model,
)
from figment.core.engine import Engine, default_device, seeded
from figment.core.errors import CheckpointError, ConfigError, DataError, FigmentError
from figment.core.objective import Objective
from figment.core.types import Batch
from figment.data.batches import Batches
from figment.data.store import Store
from figment.train import posthoc
from figment.train.accountant import spent_epsilon
from figment.train.autotune import choose_engine
from figment.train.compiled import refuse_uncompiled
from figment.train.course import Course
from figment.train.gradients import Whole
from figment.train.pace import STEPS, Pace, seconds_a_step, seconds_of
from figment.train.private import PoissonBatches, Private, keep_secret, secret_of, with_noise
from figment.train.room import fitted, in_more_slices
from figment.train.run import RunConfig, refuse_idle_settings, remove_run, shipped_facts, write_run
from figment.train.runlog import RunLog
from figment.train.shard import kept_state, refuse_phases
from figment.train.slices import slices_for
from figment.train.trainer import Report, Trainer
from figment.train.watch import held_out_batches, held_out_loss, sample_grid

KEEP = 2


class Scorer(Protocol):
    """Scores of what a model draws, by the settings of its family; the first one is what a choice is made by."""

    def __call__(self, model: nn.Module, engine: Engine, settings: Any = None) -> Mapping[str, float]: ...


def build_objective(run: RunConfig) -> Objective:
    """The run's objective with its initial weights, which depend on the seed alone.

    Raises DataError where the family cannot take what the dataset holds.
    """
    _refuse_strangers(run)
    with seeded(run.seed):
        return run.module.build(run.settings, run.spec)


def begun_objective(run: RunConfig) -> Objective:
    """The run's objective as its training begins: with the weights that it takes over from other runs."""
    objective = build_objective(run)
    objective.begin()
    return objective


def fit(
    folder: Path,
    run: RunConfig,
    store: Store,
    *,
    warn: Callable[[str], None],
    stopping: Callable[[], bool],
    scorer: Scorer | None = None,
    fresh: bool = False,
) -> Iterator[Report]:
    """Train the run in `folder` to its end, yielding the trainer's reports; `open_run` has made it or found it.

    Of several ranks all call this; the first one writes, and all must be able to read what it has written.

    warn: told of damaged checkpoints and of overfitting. stopping: asked after every step; once true, everything is
    saved and KeyboardInterrupt raised, on all ranks. scorer: needed where `train.score_every` is above 0. fresh: delete
    the run that is there, and start over.
    """
    fitting = _Fitting(folder, run, store, warn, scorer, fresh)
    with contextlib.closing(fitting), fitting.trainer.engine.threading():
        for report in () if fitting.done else fitting.steps():
            fitting.after_step(report)
            yield report
            if fitting.done:
                break
            if ranks.is_any(stopping()):
                fitting.save()
                raise KeyboardInterrupt("everything is saved")
        fitting.finish()


class _Fitting:
    """A run under way: the trainer, and what happens around its steps."""

    def __init__(
        self,
        folder: Path,
        run: RunConfig,
        store: Store,
        warn: Callable[[str], None],
        scorer: Scorer | None,
        fresh: bool,
    ):
        self.folder, self.checkpoints, self.run, self.warn = folder, folder / "checkpoints", run, warn
        assert scorer or not run.train.score_every
        self.scorer = scorer
        refuse_idle_settings(run, lambda: build_objective(run).has_validation)
        if run.train.shard:
            refuse_phases(run.family, build_objective(run))
        if run.train.compile:
            refuse_uncompiled(run.family, build_objective(run))
        self.batches = ranks.after_first(
            lambda: Batches(store, "train", run.train.batch_size, seed=run.seed, augment=run.train.augment)
        )
        self.validation = held_out_batches(store, run.train)
        self.run = run = self._complete(run)
        self.secret = secret = secret_of(folder, fresh=fresh) if run.noise else b""
        self.batch_at = PoissonBatches(self.batches, secret).at if secret else self.batches.at
        self.trainer = _trainer(run, run.steps, secret)
        self.course = Course("score" if run.train.score_every else "loss")
        if fresh or not self._resume():
            self._start()
        # Only now, when nothing of what was asked for can turn out to be impossible.
        self.log: RunLog | None = None
        if ranks.is_first():
            if fresh:
                remove_run(folder)
            if secret:
                keep_secret(folder, secret)
            write_run(folder, run)
            self.log = RunLog(folder, self.trainer.step, tensorboard=run.train.tensorboard)

    def steps(self) -> Iterator[Report]:
        """The trainer's steps; where memory is too short for the first one, it is begun again in more slices."""
        while True:
            try:
                yield from self.trainer.run(self.batch_at)
                return
            except Exception as error:
                if self.trainer.step:  # the number of slices belongs to the run, whose results depend on it
                    raise
                self.run = run = in_more_slices(self.run, error)
            self.warn(
                f"memory is too short for a step at once: it is computed in {run.slices} slices, now and for good, "
                f"as with --train.slices {run.slices}"
            )
            del self.trainer  # before another one takes its place in memory
            self.trainer = _trainer(run, run.steps, self.secret)
            self._start()
            write_run(self.folder, run)

    def close(self) -> None:
        if self.log:
            self.log.close()

    @property
    def done(self) -> bool:
        """Whether patience has run out."""
        return 0 < self.run.train.patience <= self.course.stalled

    def _complete(self, run: RunConfig) -> RunConfig:
        """The run with its slices counted, its engine measured, its steps and the distance of its scores fixed."""
        started = time.perf_counter()
        run = replace(run, slices=slices_for(run.train, run.slices))
        if run.train.privacy.epsilon and not run.noise:
            run = with_noise(run, begun_objective(run), self.batches)
        if run.engine and run.engine.device not in ("cpu", default_device()):
            raise ConfigError(
                f"{self.folder}: is computed on a GPU ({run.engine.device}), and there is none here; go on where there "
                f"is one, or with its weights in another run: figment train {run.family} --from {self.folder} --out NEW"
            )
        if run.engine is None:
            run = replace(run, engine=ranks.decided(lambda: engine_for(run, self.batches)))
        if run.steps and (run.score_every or not run.train.score_every):
            return run
        score = self._score if run.train.score_every else None
        run, pace = fitted(run, lambda run: measured_pace(run, self.batches, self.validation, score))
        return ranks.decided(lambda: pace.fixed(run, time.perf_counter() - started))

    def _resume(self) -> bool:
        """Go on from the newest whole checkpoint, if there is one."""
        checkpoint = ranks.decided(lambda: newest_checkpoint(self.checkpoints, self.warn))
        if checkpoint is None:
            if any(self.checkpoints.glob("[0-9]" * 8)):
                self.warn(f"{self.checkpoints}: no whole checkpoint is left: training begins again")
            return False
        parts = {part: checkpoint.read(part) for part in self.trainer.state()[0]}
        self.trainer.load_state(checkpoint.step, parts, checkpoint.facts)
        self.course.state = checkpoint.facts["course"]
        return True

    def _start(self) -> None:
        _begin(self.trainer)
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
            self.course.trained(loss)
        if step % train.log_every == 0 or last:
            values = dict(report.values) | {"lr": report.lr, "seconds": report.seconds}
            self._note("train", step, seen_images=report.seen_images, **values)
        if train.validate_every and (step % train.validate_every == 0 or last):
            with self.trainer.whole():
                loss = held_out_loss(self.trainer, self.validation)
            self._observe(loss, report)
        if train.score_every and (step % self.run.score_every == 0 or last):
            with self.trainer.whole():
                scores = self._score(self.trainer)
            self._note("score", step, seen_images=report.seen_images, **scores)
            decisive = next(iter(scores.values()))
            higher_is_better = plugins.constant("metrics", train.score_by[0], "HIGHER_IS_BETTER")
            self.course.scored(step, -decisive if higher_is_better else decisive)
        if train.sample_every and (step % train.sample_every == 0 or last):
            with self.trainer.whole():
                picture = sample_grid(self.trainer, self.run.spec, self.validation)
            if picture and ranks.is_first():
                path = self.folder / "samples" / f"{step:08d}.png"
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(picture)
        if train.ema_snapshots and (step % -(-self.run.steps // train.ema_snapshots) == 0 or last):
            self._save_in(self.folder / posthoc.FOLDER, self.trainer.averages(), {})
        is_best = self._ships_best and self.course.best_step == step
        if step % train.save_every == 0 or last or is_best or self.done:
            self.save()

    def save(self) -> None:
        """Write a checkpoint of this moment, and drop the ones no longer needed."""
        parts, facts = self.trainer.state()
        self._save_in(self.checkpoints, parts, facts | {"course": self.course.state})
        ranks.decided(self._prune)

    def _save_in(self, folder: Path, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
        ranks.decided(lambda: write_checkpoint(folder, self.trainer.step, parts, facts))

    def _note(self, kind: str, step: int, **values: Any) -> None:
        if self.log:
            self.log.write(kind, step, **values)

    def _prune(self) -> None:
        prune(self.checkpoints, KEEP, self.course.best_step, self.trainer.step)

    @property
    def _ships_best(self) -> bool:
        """Whether the best checkpoint is shipped in place of the last."""
        return bool(self.run.train.patience or self.run.train.score_every)

    def _score(self, trainer: Trainer) -> Mapping[str, float]:
        assert self.scorer
        return self.scorer(trainer.model, trainer.engine)

    def _observe(self, loss: float | None, report: Report) -> None:
        """Take note of a validation: log, best so far, plateau, and overfitting when it starts."""
        if loss is None:
            return
        self._note("validation", report.step, seen_images=report.seen_images, loss=loss)
        self.trainer.plateau.patience = 4 if self.run.train.schedule == "plateau" else 2**31
        self.trainer.plateau.observe(loss)
        if worse := self.course.validated(report.step, loss):
            self._note("overfitting", report.step, **asdict(worse))
            self.warn(
                f"overfitting since step {worse.since}: held-out loss {worse.best:.4g} -> {worse.loss:.4g} while "
                "training loss falls; more pictures, --train.augment.* or --train.patience 3 help"
            )

    def finish(self) -> None:
        """Write the shippable model: the averaged weights of the last step, or of the best where that was asked for."""
        tensors = kept_state(self.trainer.model)
        ranks.decided(lambda: self._ship(tensors))

    def _ship(self, tensors: Mapping[str, Tensor]) -> None:
        self._prune()  # a kill may have come between the last checkpoint and this
        facts = shipped_facts(self.run, self.trainer.step, self.trainer.seen_images)
        best = self._best()
        if best:
            part = "average" if self.run.train.ema_half_life else "objective"
            found = {name.removeprefix("model."): tensor for name, tensor in best.read(part).items()}
            tensors = {name: found[name] for name in tensors}
            facts = shipped_facts(self.run, best.step, best.facts["seen_images"])
        if self._is_written(facts):
            return  # and maybe tuned since
        if self.run.noise:
            facts["privacy"] = self._privacy()
        write_model(self.folder / "model", tensors, self.run.family, self.run.settings, self.run.spec, facts)

    def _privacy(self) -> dict[str, Any]:
        """What the run has given away: of all steps taken, whichever of them is shipped."""
        privacy, rate = self.run.train.privacy, self.run.train.batch_size / len(self.batches)
        epsilon = spent_epsilon(self.run.noise, privacy.delta, rate, self.trainer.step)
        told = {"epsilon": epsilon, "delta": privacy.delta, "clip": privacy.clip, "noise": self.run.noise}
        return told | {"sampling_rate": rate, "steps": self.trainer.step, "accountant": "PRV, Opacus"}

    def _is_written(self, facts: Mapping[str, Any]) -> bool:
        """Whether the model in the folder is the one with these facts, and whole."""
        try:
            is_named = not (self.folder / "model" / NEW_WEIGHTS).exists()  # a kill may have come before that
            return is_named and facts.items() <= load_model(self.folder).facts.items()
        except FigmentError:
            return False

    def _best(self) -> Checkpoint | None:
        """The checkpoint to ship in place of the last step, where that was asked for and it is whole."""
        step = self.course.best_step
        if not self._ships_best or not 0 < step < self.trainer.step:
            return None
        try:
            return verify(self.checkpoints / f"{step:08d}")
        except CheckpointError as error:
            self.warn(f"{error}; it was the best one, the last step is shipped instead")
            return None


def engine_for(run: RunConfig, batches: Batches) -> Engine:
    """What this machine computes the run with, measured now if it was not before."""
    identity = [run.family, str(run.settings), str(run.spec)]
    return choose_engine(lambda: begun_objective(run), run.train, batches.batch_at(0), identity)


def measured_pace(
    run: RunConfig, batches: Batches, validation: list[Batch], score: Callable[[Trainer], object] | None = None
) -> Pace:
    """How long a step of each stage takes, and the work around it: timed on trainers that are thrown away."""
    train, trial, seconds = run.train, _trainer(run, STEPS), []
    began = trial.objective.stages()
    for images in began:
        if images:  # not the first stage: that has moved on
            trial = _trainer(run, STEPS)
        _begin(trial)
        trial.objective.skip_to(images)
        with trial.engine.threading():
            seconds.append(seconds_a_step(trial, batches))
    with trial.engine.threading(), trial.whole():
        return Pace(
            seconds[-1],
            validation=seconds_of(lambda: held_out_loss(trial, validation)) if train.validate_every else 0.0,
            samples=seconds_of(lambda: sample_grid(trial, run.spec, validation)) if train.sample_every else 0.0,
            score=seconds_of(lambda: score(trial)) if score else 0.0,
            earlier=tuple(zip(began[1:], seconds[:-1], strict=True)),
        )


def _trainer(run: RunConfig, steps: int, secret: bytes = b"") -> Trainer:
    train, objective = replace(run.train, slices=run.slices), build_objective(run)
    gradients = Private(objective, train, run.noise, secret) if train.privacy.epsilon else Whole()
    return Trainer(objective, train, steps=steps, seed=run.seed, engine=run.engine or Engine(), gradients=gradients)


def _begin(trainer: Trainer) -> None:
    """Give a trainer's objective, and its average, the weights that are taken over from elsewhere."""
    trainer.objective.begin()
    trainer.ema.model.load_state_dict(trainer.objective.model.state_dict())


def _refuse_strangers(run: RunConfig) -> None:
    """Raise DataError for clips and pairs, unless the family says in `TAKES` that it can do something with them."""
    takes, spec = getattr(run.module, "TAKES", ()), run.spec
    if spec.frames > 1 and "frames" not in takes:
        raise DataError(
            f"a '{run.family}' knows single pictures, this dataset holds clips of {spec.frames} frames; "
            "build one of single pictures"
        )
    if spec.paired and "pairs" not in takes:
        raise DataError(f"a '{run.family}' knows single pictures, this dataset holds pairs; build one from one folder")
