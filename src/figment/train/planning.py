"""What a training will take, foretold from a few of its steps; and which family to begin with."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from figment.core import plugins
from figment.core.errors import ConfigError
from figment.core.types import Generates, ImageSpec
from figment.data.batches import Batches
from figment.data.store import Store
from figment.train.fit import build_objective, engine_for, measured_pace
from figment.train.pace import Pace
from figment.train.room import fitted
from figment.train.run import RunConfig
from figment.train.watch import SAMPLES, held_out_batches

SCORED = 2000  # pictures that `figment eval` draws
ENOUGH = 75_000  # images after which a flow of MNIST was good: docs/results.md


@dataclass(frozen=True)
class Rule:
    """A family, for which pictures, and why. when: of the spec and the number of training pictures."""

    family: str
    when: Callable[[ImageSpec, int], bool]
    reason: str


# The first that holds is taken.
RULES = (
    Rule("frame_rnn", lambda spec, count: spec.frames > 1, "the dataset holds clips; it continues them"),
    Rule("pix2pix", lambda spec, count: spec.paired, "the dataset holds pairs; it makes one half from the other"),
    Rule(
        "autoencoder",
        lambda spec, count: min(spec.height, spec.width) > 64,
        "pictures above 64 pixels are learnt at a fraction of the cost as codes: this first, then "
        "'figment train latent --family.autoencoder RUN'",
    ),
    Rule(
        "stylegan2",
        lambda spec, count: count < 5_000 and min(spec.height, spec.width) > 16,
        "fewer than 5,000 pictures are soon known by heart; it changes them before its critic, as strongly as needed",
    ),
    Rule("flow", lambda spec, count: True, "learns steadily, takes every condition, and is scored at any moment"),
)


def recommended(spec: ImageSpec, count: int) -> Rule:
    """The family to begin with, for so many training pictures.

    Raises ConfigError where none of those installed will do.
    """
    rule = next(rule for rule in RULES if rule.when(spec, count))
    if rule.family not in plugins.names("families"):
        raise ConfigError(f"no family is known for {spec}; name one: figment list families")
    return rule


@dataclass(frozen=True)
class Forecast:
    """What a run will take on this machine. run: with the engine, slices and steps that it would choose itself.

    memory: the most bytes that it holds at once. epochs: how often each picture is seen. picture: seconds to draw one;
    None where the family draws none.
    """

    run: RunConfig
    pace: Pace
    memory: int
    images: int
    epochs: float
    picture: float | None

    @property
    def seconds(self) -> float:
        """Of a step, with its share of the work around it."""
        return self.pace.per_step(self.run.train, self.run.score_every)

    @property
    def enough(self) -> float:
        """Minutes until so many images are seen that a first look is worth while."""
        return ENOUGH / self.run.train.batch_size * self.seconds / 60

    @property
    def evaluation(self) -> float | None:
        """Seconds to draw what `figment eval` scores."""
        return None if self.picture is None else SCORED * self.picture


def forecast(run: RunConfig, store: Store) -> Forecast:
    """Measured on the run's own steps, of which nothing is kept. run: completed, with its minutes or its steps."""
    train = run.train
    batches = Batches(store, "train", train.batch_size, seed=run.seed, augment=train.augment)
    run = replace(run, engine=engine_for(run, batches), slices=train.slices)
    validation = held_out_batches(store, train)
    run, pace = fitted(run, lambda run: measured_pace(run, batches, validation))
    run = pace.fixed(run, 0.0)
    images = run.steps * train.batch_size
    draws = train.sample_every and isinstance(build_objective(run).model, Generates)
    return Forecast(
        run=run,
        pace=pace,
        memory=_most_memory(),
        images=images,
        epochs=images / len(batches),
        picture=pace.samples / SAMPLES if draws else None,
    )


def _most_memory() -> int:
    """The most bytes that this process has held, on the accelerator where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # which counts in bytes there, in KiB elsewhere
