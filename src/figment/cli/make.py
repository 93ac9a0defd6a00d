"""The whole way in one command: dataset, judge, training, samples, scores and a report, from a folder of pictures.

SOURCE is a folder, an archive (.zip, .tar, .tar.gz, .tar.xz), or name:argument such as digits: for the built-in data.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from figment.cli._console import REPORT, Console
from figment.cli._parse import parse
from figment.cli.train import MOST_MINUTES
from figment.core import plugins
from figment.core.config import check_range

SCORED = 2000  # pictures generated for the scores, as in `figment eval`


@dataclass(frozen=True)
class Plan:
    """What `make` does; `demo` is one of these."""

    source: str
    out: Path
    family: str = "flow"
    minutes: float = 10.0
    size: str = ""
    seed: int = 0

    def __post_init__(self):
        check_range("minutes", self.minutes, 0, MOST_MINUTES)

    @property
    def seeding(self) -> dict[str, int]:
        """The flag that the single commands need, where it is not their default."""
        return {"seed": self.seed} if self.seed else {}


@dataclass(frozen=True)
class Make:
    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Folder, archive or name:argument."""
    out: Path
    """Folder for all that is made: dataset/, run/, samples.png, report.html."""
    family: str = "flow"
    """Model family: figment list families."""
    minutes: float = 10.0
    """Time to train the model; the judge comes on top."""
    size: str = ""
    """Picture size, 32 or 48x64 (height x width)."""
    seed: int = 0
    """Everything random follows from it."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Make, argv, verb="make SOURCE", about=__doc__ or "")
    return make(Plan(**vars(args)), console)


def make(plan: Plan, console: Console) -> dict[str, Any]:
    """Carry out the plan; whatever of it is already done is not done again. Returns the verb's JSON answer."""
    with console.keeping("what is done is kept"):
        return _make(plan, console)


def _make(plan: Plan, console: Console) -> dict[str, Any]:
    started = time.monotonic()
    plugins.load("families", plan.family)  # now, when no time has been spent yet
    store, built = _dataset(plan, console)
    from figment.cli import eval as eval_verb
    from figment.cli._report import write_make_report

    judge = eval_verb.judge_for(store, None, console)
    run, grid, report = plan.out / "run", plan.out / "samples.png", plan.out / REPORT
    commands = [built, _train(plan, run, store, console), *_sample(plan, run, grid, console)]
    yardstick = eval_verb.yardstick_for(store, judge, SCORED, plan.seed, console)
    result = eval_verb.evaluate(run, yardstick, console, store)
    commands.append(_command("eval", run, data=store.path, **plan.seeding))
    seconds = time.monotonic() - started
    write_make_report(report, run, grid, result, store, yardstick.reference, commands, seconds)
    console.say(f"done in {seconds:.0f} s; open {report}")
    return {"seconds": seconds, "report": str(report), "runs": [result["answer"]]}


def _dataset(plan: Plan, console: Console) -> tuple[Any, str]:
    """The dataset, and the command that makes it."""
    from figment.cli.data import leave_page
    from figment.data.build import BuildConfig, build

    out = plan.out / "dataset"
    with console.progress("dataset") as advance:
        store = build(
            [plan.source], out, BuildConfig(size=plan.size), progress=lambda done, total: advance(done, total, "")
        )
    leave_page(store, console)
    kept = ", ".join(f"{count} {split}" for split, count in store.counts.items())
    console.say(f"{out}: {kept}; {store.spec}")
    return store, _command("data build", plan.source, out=out, **({"size": plan.size} if plan.size else {}))


def _train(plan: Plan, run: Path, store: Any, console: Console) -> str:
    """Train the run; the command that does."""
    from figment.cli.train import train
    from figment.train.run import DataPin, RunConfig

    family = plugins.load("families", plan.family)
    asked = RunConfig(
        family=plan.family,
        settings=family.Config.preset("small"),
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=replace(family.TRAIN),
        seed=plan.seed,
        minutes=plan.minutes,
    )
    minutes = f"{plan.minutes:g}"
    command = _command("train", plan.family, data=store.path, out=run, minutes=minutes, **plan.seeding)
    train(run, asked, store, console, command=command)
    return command


def _sample(plan: Plan, run: Path, grid: Path, console: Console) -> list[str]:
    """Draw a grid of the run; the command that does, where its family draws pictures."""
    from figment.cli.sample import sample
    from figment.core.checkpoint import load_model
    from figment.core.types import Generates
    from figment.evaluate.order import Order

    loaded = load_model(run)
    if not isinstance(loaded.model, Generates):
        return []
    classes = len(loaded.spec.classes)
    num = 8 * (classes if 2 <= classes <= 16 else 8)
    sampling = loaded.sampling_type
    settings = loaded.sampling or (sampling() if sampling else None)
    sample(loaded, grid, Order(num, "all", plan.seed), settings, console)
    return [_command("sample", run, num=num, out=grid, **plan.seeding)]


def _command(verb: str, *words: Any, **flags: Any) -> str:
    """A command line that a reader can copy."""
    parts = ["figment", *verb.split(), *(shlex.quote(str(word)) for word in words)]
    parts += [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in flags.items()]
    return " ".join(parts)
