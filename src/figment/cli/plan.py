"""Foretell what a training will take on this machine: time a step, memory, pictures seen, cost of a score.

Measured on a few steps, of which nothing is kept. Without a family it recommends one for the dataset.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figment.cli._console import Console
from figment.cli._parse import parse, peek, split_first
from figment.cli.train import MOST_MINUTES, SCALES
from figment.core import plugins
from figment.core.config import Scale, check_range

if TYPE_CHECKING:
    from figment.train.planning import Forecast


@dataclass(frozen=True)
class Plan:
    data: Path
    """Dataset, as 'figment data build' made it."""
    minutes: float = 10.0
    """Time to train."""
    scale: Scale = "small"
    """One dial for the size of the model, as in 'figment train'."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    family, rest = split_first(argv)
    kind = _args(plugins.require("families", family), rest) if family else Plan
    args: Any = parse(kind, rest, verb=f"plan {family or '[FAMILY]'}", about=__doc__ or "")
    check_range("minutes", args.minutes, 0.01, MOST_MINUTES)
    from figment.data.store import Store
    from figment.train.planning import forecast, recommended
    from figment.train.run import DataPin, RunConfig, completed

    store, reason = Store(args.data), ""
    if family is None:
        rule = recommended(store.spec, store.counts.get("train", 0))
        family, reason = rule.family, rule.reason
        console.say(f"{family}: {reason}")
    module = plugins.load("families", family)
    asked = RunConfig(
        family=family,
        settings=getattr(args, "family", None) or module.Config.preset(args.scale),
        spec=store.spec,
        data=DataPin(str(args.data), store.pixel_digest, store.label_digest),
        train=getattr(args, "train", module.TRAIN),
        minutes=args.minutes,
    )
    found = forecast(completed(asked), store)
    command = _command(found, args, rest)
    for name, value in _rows(found):
        console.say(f"  {name:<22}{value}")
    console.say(command)
    return _answer(found, reason, command)


def _rows(found: Forecast) -> list[tuple[str, str]]:
    """What a person reads."""
    run, engine = found.run, found.run.engine
    assert engine
    threads, cut = engine.threads or "all", f" in {run.slices} slices" if run.slices > 1 else ""
    rows = [
        ("batch", f"{run.train.batch_size} pictures{cut}"),
        ("computed in", f"{engine.precision}, {engine.layout}, {threads} threads, on {engine.device}"),
        ("a step", f"{found.pace.step:.3g} s, {run.train.batch_size / found.pace.step:.0f} images/s"),
        ("with all around it", f"{found.seconds:.3g} s"),
        (f"in {run.minutes:g} minutes", f"{run.steps} steps, {found.images} images, each {found.epochs:.3g} times"),
        ("a first look", f"after {found.enough:.2g} minutes"),
        ("memory", f"{found.memory / 1e9:.2f} GB"),
    ]
    if found.picture is not None:
        drawing = f"{1000 * found.picture:.3g} ms; {found.evaluation:.0f} s for the pictures of a score"
        rows.append(("a picture to draw", drawing))
    return rows


def _answer(found: Forecast, reason: str, command: str) -> dict[str, Any]:
    """What a program reads; seconds and bytes."""
    run = found.run
    assert run.engine
    return {
        "family": run.family,
        "reason": reason,
        "command": command,
        "batch_size": run.train.batch_size,
        "slices": run.slices,
        "engine": asdict(run.engine),
        "step_seconds": found.pace.step,
        "seconds": found.seconds,
        "steps": run.steps,
        "images": found.images,
        "epochs": found.epochs,
        "enough_minutes": found.enough,
        "memory": found.memory,
        "picture_seconds": found.picture,
        "evaluation_seconds": found.evaluation,
    }


def _command(found: Forecast, args: Plan, rest: Sequence[str]) -> str:
    """The training that was planned, as it is typed."""
    run, words = found.run, list(rest)
    if "--minutes" not in " ".join(words):
        words += ["--minutes", f"{args.minutes:g}"]
    if run.slices != run.train.slices:
        words += ["--train.slices", str(run.slices)]
    return shlex.join(["figment", "train", run.family, *words, "--out", f"runs/{run.family}"])


def _args(family: str, rest: Sequence[str]) -> type:
    """The verb's flags with a family's own, as `train` has them."""
    module = plugins.load("families", family)
    preset = module.Config.preset(peek(rest, "--scale", "small", SCALES))
    own = [("family", module.Config, field(default=preset)), ("train", type(module.TRAIN), field(default=module.TRAIN))]
    return make_dataclass("Plan", own, bases=(Plan,), frozen=True)
