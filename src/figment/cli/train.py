"""Train a model family on a dataset, into a run folder; the same command again resumes.

figment train FAMILY --data DATASET --out RUN [--scale tiny|small|base] [--steps N | --minutes M]
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import REPORT, Console
from figment.cli._parse import parse, peek, split_first, wants_help
from figment.core import plugins
from figment.core.config import Scale, check_range
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.train.run import RunConfig

SCALES = ("tiny", "small", "base")
DEFAULT_MINUTES = 10.0
MOST_MINUTES = 525_600  # a year


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    family, rest = split_first(argv)
    if family is None:
        if argv and not wants_help(argv):
            raise ConfigError("name a family first: figment train FAMILY --data DATASET --out RUN")
        print(_families())
        return None
    plugins.require("families", family)
    module = plugins.load("families", family)
    scale = peek(rest, "--scale", "small", SCALES)
    args: Any = parse(
        _args(module, module.Config.preset(scale)),
        rest,
        verb=f"train {family}",
        about=plugins.summary("families", family),
    )
    check_range("steps", args.steps, 0)
    check_range("minutes", args.minutes, 0, MOST_MINUTES)
    if args.steps and args.minutes:
        raise ConfigError("--steps and --minutes: give one of them, not both")
    from figment.data.store import Store
    from figment.train.run import DataPin, RunConfig

    store = Store(args.data)
    asked = RunConfig(
        family=family,
        settings=args.family,
        spec=store.spec,
        data=DataPin(str(args.data), store.pixel_digest, store.label_digest),
        train=args.train,
        seed=args.seed,
        steps=args.steps,
        minutes=0.0 if args.steps else (args.minutes or DEFAULT_MINUTES),
        start=str(args.from_ or ""),
    )
    command = shlex.join(["figment", "train", *argv])
    return train(args.out, asked, store, console, fresh=args.fresh, command=command)


def train(
    folder: Path, asked: RunConfig, store: Any, console: Console, *, fresh: bool = False, command: str = ""
) -> dict[str, Any]:
    """Train (or go on training) the run in `folder`; returns the verb's JSON answer.

    command: as it was typed, for the run's report.
    """
    from figment.train.fit import fit
    from figment.train.run import open_run, read_run

    run = open_run(folder, asked, fresh=fresh)
    scorer = _scorer(asked, store, console) if run.train.score_every else None
    report, steps = None, run.steps
    kept = console.keeping("what was saved before is kept")
    with kept, console.progress(f"train {run.family}") as advance, console.graceful_stop() as stopping:
        for report in fit(folder, run, store, warn=console.warn, stopping=stopping, scorer=scorer, fresh=fresh):
            steps = steps or read_run(folder).steps
            losses = ", ".join(f"{name} {value:.4g}" for name, value in report.values.items() if name.endswith("/loss"))
            advance(report.step, steps, f"{losses}, {asked.train.batch_size / report.seconds:.0f} images/s")
    if report is None:
        console.say(f"{folder}: already trained, {read_run(folder).steps} steps; more with a larger --steps")
    else:
        console.say(f"{folder}: trained {report.step} steps, {report.seen_images} images seen")
    page = folder / REPORT
    if report is not None or not page.exists():
        with console.not_vital(page):
            from figment.cli._report import write_run_report

            write_run_report(page, folder, command)
    return {"run": str(folder), "family": run.family, "steps": steps or read_run(folder).steps}


def _scorer(asked: RunConfig, store: Any, console: Console) -> Any:
    """What scores a run while it trains, by the dataset's judge."""
    from figment.cli.eval import judge_for
    from figment.core.types import Generates
    from figment.evaluate.choosing import scorer_of
    from figment.train.fit import build_objective

    for metric in asked.train.score_by:
        plugins.require("metrics", metric)
    if not isinstance(build_objective(asked).model, Generates):
        raise ConfigError(f"--train.score-every: a '{asked.family}' draws no pictures to score; leave it out")
    return scorer_of(store, judge_for(store, None, console), asked.train.score_by, asked.train.score_num)


def _args(module: Any, preset: Any) -> type:
    """The verb's flags with a family's own: --family.x and --train.x with that family's defaults."""
    named_from = Annotated[Path | None, tyro.conf.arg(name="from", help="Run whose weights to start from.")]

    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Train",
        [
            ("data", Annotated[Path, tyro.conf.arg(help="Dataset, as 'figment data build' made it.")]),
            ("out", Annotated[Path, tyro.conf.arg(help="Run folder to make, or to go on with.")]),
            (
                "scale",
                *option(Scale, "small", "One dial for the size of the model; --family.x then changes one setting."),
            ),
            ("steps", *option(int, 0, "Steps to train; more than before goes on from the end.")),
            ("minutes", *option(float, 0.0, f"Time to train; {DEFAULT_MINUTES:g} where neither is given.")),
            ("seed", *option(int, 0, "Initial weights, order of pictures and noise follow from it.")),
            ("from_", named_from, field(default=None)),
            ("fresh", *option(bool, False, "Delete what the run folder holds and start over.")),
            ("family", module.Config, field(default=preset)),
            ("train", type(module.TRAIN), field(default=module.TRAIN)),
        ],
        frozen=True,
    )


def _families() -> str:
    lines = [__doc__ or "", "families:"]
    lines += [f"  {name:<14}{plugins.summary('families', name)}" for name in plugins.names("families")]
    lines += ["", "figment train FAMILY --help lists the family's own settings."]
    return "\n".join(lines)
