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
from figment.cli._visits import Visits
from figment.core import plugins, ranks
from figment.core.config import Scale, check_range, read_json
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.train.run import RunConfig

SCALES = ("tiny", "small", "base")
DEFAULT_MINUTES = 10.0
MOST_MINUTES = 525_600  # a year


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    family, rest = split_first(argv)
    if family is None:
        if (argv or console.as_json) and not wants_help(argv):
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
    with ranks.joined(), console.one_voice():
        answer = _train(family, args, console, shlex.join(["figment", "train", *argv]))
        return answer if ranks.is_first() else None


def _train(family: str, args: Any, console: Console, command: str) -> dict[str, Any]:
    from figment.cli._data_keep import store_at
    from figment.train.run import DataPin, RunConfig

    store = store_at(args.data, args.key)
    if args.train.score_every and store.path.is_file():
        raise ConfigError("--train.score-every: keeps a judge beside the dataset, which is sealed; leave it out")
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
    return train(args.out, asked, store, console, fresh=args.fresh and not ranks.is_restart(), command=command)


def train(
    folder: Path, asked: RunConfig, store: Any, console: Console, *, fresh: bool = False, command: str = ""
) -> dict[str, Any]:
    """Train (or go on training) the run in `folder`; returns the verb's JSON answer.

    command: as it was typed, for the run's report.
    """
    from figment.data.captions import told_side
    from figment.train.fit import fit
    from figment.train.run import open_run, read_run

    run = ranks.decided(lambda: open_run(folder, asked, fresh=fresh))
    if run.train.augment.flip and (told := told_side(store.captions("train"))):
        console.warn(f"--train.augment.flip: mirrors pictures and not what is said of them, such as '{told}'")
    scorer = _scorer(asked, store, console) if run.train.score_every else None
    report, steps, visits = None, run.steps, Visits(folder, console)
    kept = console.keeping("what was saved before is kept")
    with kept, console.progress(f"train {run.family}") as advance, console.graceful_stop() as stopping:
        for report in fit(folder, run, store, warn=console.warn, stopping=stopping, scorer=scorer, fresh=fresh):
            steps = steps or read_run(folder).steps
            losses = ", ".join(f"{name} {value:.4g}" for name, value in report.values.items() if name.endswith("/loss"))
            advance(report.step, steps, f"{losses}, {asked.train.batch_size / report.seconds:.0f} images/s")
            visits.after(report.step, steps)
    if report is None:
        console.say(f"{folder}: already trained, {read_run(folder).steps} steps; more with a larger --steps")
    else:
        console.say(f"{folder}: trained {report.step} steps, {report.seen_images} images seen")
    answer = {"run": str(folder), "family": run.family, "steps": steps or read_run(folder).steps}
    if run.train.privacy.epsilon:
        answer["privacy"] = read_json(folder / "model" / "config.json")["facts"]["privacy"]
        told = "  private: epsilon {epsilon:.3g} at delta {delta:g}, after {steps} steps"
        console.say(told.format(**answer["privacy"]))
    page = folder / REPORT
    if ranks.is_first() and (report is not None or not page.exists()):
        with console.not_vital(page):
            from figment.cli._report import write_run_report

            write_run_report(page, folder, command)
    return answer


def _scorer(asked: RunConfig, store: Any, console: Console) -> Any:
    """What scores a run while it trains, by the dataset's judge."""
    from figment.cli.eval import judge_for
    from figment.core.types import Generates
    from figment.evaluate.choosing import require_of_drawn, scorer_of
    from figment.train.fit import build_objective

    require_of_drawn(asked.train.score_by)
    if not isinstance(build_objective(asked).model, Generates):
        raise ConfigError(f"--train.score-every: a '{asked.family}' draws no pictures to score; leave it out")
    judge = ranks.after_first(lambda: judge_for(store, None, console))
    return scorer_of(store, judge, asked.train.score_by, asked.train.score_num)


def _args(module: Any, preset: Any) -> type:
    """The verb's flags with a family's own: --family.x and --train.x with that family's defaults."""
    named_from = Annotated[Path | None, tyro.conf.arg(name="from", help="Run whose weights to start from.")]

    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Train",
        [
            ("data", Annotated[Path, tyro.conf.arg(help="Dataset that 'figment data build' made, sealed or not.")]),
            ("out", Annotated[Path, tyro.conf.arg(help="Run folder to make, or to go on with.")]),
            ("key", *option(Path | None, None, "Key file, or private RSA key, of a dataset that is sealed.")),
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
