"""Find the sampling settings that a trained run draws best with, and make them its default.

Sampler, schedule, guidance and steps are changed one after the other, and the length of the weights' average where the
run kept some (--train.ema-snapshots); pictures of the same seeds are scored against held-out ones. --milliseconds asks
for the best within a time for one picture.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.cli._place import make_way
from figment.core import plugins
from figment.core.config import check_range, to_json
from figment.core.errors import CapabilityError, ConfigError

if TYPE_CHECKING:
    import numpy as np

    from figment.core.checkpoint import LoadedModel
    from figment.evaluate.choosing import DrawnScorer
    from figment.evaluate.tuning import Trial

WIDTHS = (0.03, 0.05, 0.075, 0.10, 0.15, 0.20)  # of averages to try, relative to the length of the training


@dataclass(frozen=True)
class Tune:
    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    data: Path | None = None
    """Dataset whose held-out 'val' pictures to score by; the one it was trained on otherwise."""
    by: str = "fd"
    """Metric to choose by: figment list metrics."""
    num: int = 500
    """Pictures to draw for a score."""
    milliseconds: float = 0.0
    """Most time for drawing one picture, on this machine; 0 sets no limit."""
    dry_run: bool = False
    """Say what would be chosen and change nothing."""
    out: Path | None = None
    """Also write an HTML page with the curves of score against steps and against guidance."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Tune, argv, verb="tune", about=__doc__ or "")
    check_range("num", args.num, 2)
    check_range("milliseconds", args.milliseconds, 0)
    make_way(args.out)
    from figment.cli.eval import judge_for
    from figment.core.checkpoint import load_model, shippable, write_sampling
    from figment.data.store import Store
    from figment.evaluate.choosing import require_of_drawn, scorer_of
    from figment.evaluate.runs import doubts_about, require_fit
    from figment.evaluate.tuning import chosen
    from figment.train import posthoc

    require_of_drawn([args.by])
    loaded = load_model(args.run)
    if shippable(args.run) == args.run:
        raise ConfigError(f"{args.run}: give the run folder, not its model/ folder")
    start, choices = _choices(loaded)
    store = Store(args.data or loaded.facts["data"]["path"])
    require_fit(loaded, args.run, store)
    for doubt in doubts_about(loaded, store):
        console.warn(f"{args.run}: {doubt}")
    scorer = scorer_of(store, judge_for(store, None, console), [args.by], args.num)
    bench = _Bench(args, loaded, scorer)
    trials = _tried(bench, start, choices, console)
    best = chosen(trials, args.milliseconds / 1e3 or float("inf"))
    width = _average(bench, best, console) if (args.run / posthoc.FOLDER).is_dir() else None
    if not args.dry_run:
        write_sampling(args.run, best.settings)
        if width:
            _write_average(args.run, loaded, width)
    if args.out:
        _write_page(args.out, bench, trials, best, shlex.join(["figment", "tune", *argv]))
        console.say(f"page: {args.out}")
    return _answer(bench, trials, best, width, console)


def _choices(loaded: LoadedModel) -> tuple[Any, Mapping[str, Sequence[Any]]]:
    """The settings to begin with, and what may be changed."""
    kind: Any = loaded.sampling_type
    choices = dict(getattr(kind, "CHOICES", {}))
    if not choices:
        raise CapabilityError(f"a '{loaded.family}' draws in one way only: there is nothing to tune")
    if not (loaded.spec.classes or loaded.spec.attributes or loaded.spec.caption_bytes):
        choices.pop("guidance", None)
    return loaded.sampling or kind(), choices


class _Bench:
    """A run's model with what measures it."""

    def __init__(self, args: Tune, loaded: LoadedModel, scorer: DrawnScorer):
        from figment.core.engine import Engine
        from figment.train.run import read_run

        self.args, self.scorer = args, scorer
        self.engine = read_run(args.run).engine or Engine()
        self.model: Any = self.engine.place(loaded.model)
        self.sign = -1 if plugins.constant("metrics", args.by, "HIGHER_IS_BETTER") else 1

    def draw(self, settings: Any) -> np.ndarray:
        """The pictures that these settings draw, uint8 (N, H, W, C)."""
        return self.scorer.draw(self.model, self.engine, settings)

    def badness(self, pixels: np.ndarray) -> float:
        """Their score, turned so that lower is better."""
        return self.sign * next(iter(self.scorer.score(pixels).values()))

    def told(self, badness: float) -> str:
        return f"{self.args.by} {self.sign * badness:.4g}"


def _tried(bench: _Bench, start: Any, choices: Mapping[str, Sequence[Any]], console: Console) -> list[Trial]:
    """Every trial, told as it ends."""
    from figment.evaluate.tuning import search

    trials: list[Trial] = []
    total = 1 + sum(len(values) for values in choices.values())
    with console.progress("tune") as advance:
        for trial in search(start, choices, bench.draw, bench.badness, bench.args.num):
            trials.append(trial)
            what = f"{trial.changed} {getattr(trial.settings, trial.changed)}" if trial.changed else "as it is"
            advance(len(trials), total, what)
            console.say(f"  {what}: {bench.told(trial.badness)}, {1e3 * trial.seconds:.1f} ms")
    return trials


def _average(bench: _Bench, best: Trial, console: Console) -> float | None:
    """The relative width of the average that draws better than the one that was shipped, if any does."""
    from figment.train.posthoc import rebuild

    found = {}
    for width in WIDTHS:
        bench.model.load_state_dict(rebuild(bench.args.run, width))
        found[width] = bench.badness(bench.draw(best.settings))
        console.say(f"  average over {width:.0%} of the training: {bench.told(found[width])}")
    width = min(found, key=found.__getitem__)
    return width if found[width] < best.badness else None


def _write_average(run: Path, loaded: LoadedModel, width: float) -> None:
    """Ship the weights averaged over this width."""
    from figment.core.checkpoint import write_model
    from figment.train.posthoc import rebuild

    facts = loaded.facts | {"sigma_rel": width}
    write_model(run / "model", rebuild(run, width), loaded.family, loaded.settings, loaded.spec, facts)


def _write_page(out: Path, bench: _Bench, trials: Sequence[Trial], best: Trial, command: str) -> None:
    """Curves of the score over each setting that is a number, the others as they were when it was tried."""
    from figment.evaluate.tuning import chosen
    from figment.pages.run_report import Curve, write

    by, curves = bench.args.by, []
    for name in dict.fromkeys(trial.changed for trial in trials if trial.changed):
        tried = [trial for trial in trials if trial.changed == name]
        origin = chosen(trials[: trials.index(tried[0])])  # which these were changed from
        points = [(getattr(trial.settings, name), bench.sign * trial.badness) for trial in [origin, *tried]]
        if all(isinstance(value, int | float) for value, _ in points):
            curves.append(Curve(f"{by}: {name}", "", {by: sorted(points)}, over=name))
    times = sorted((1e3 * trial.seconds, bench.sign * trial.badness) for trial in trials if trial.changed == "steps")
    curves += [Curve(f"{by}: time for a picture", "", {by: times}, over="milliseconds")] if times else []
    facts = {name: f"{value}" for name, value in to_json(best.settings).items() if value not in (None, "")}
    write(out, title=f"Tuning {bench.args.run.name}", facts=facts, curves=curves, commands=[command])


def _answer(
    bench: _Bench, trials: Sequence[Trial], best: Trial, width: float | None, console: Console
) -> dict[str, Any]:
    first, run = trials[0], bench.args.run
    before, settings = to_json(first.settings), to_json(best.settings)
    changes = {name: value for name, value in settings.items() if before[name] != value}
    told = [f"{name} {before[name]} -> {value}" for name, value in changes.items()]
    told += [f"weights averaged over {width:.0%} of the training"] if width else []
    console.say(
        f"{run}: {', '.join(told) or 'nothing to change'}; {bench.told(first.badness)} -> {bench.told(best.badness)}, "
        f"{1e3 * first.seconds:.1f} -> {1e3 * best.seconds:.1f} ms a picture"
    )
    rows = [
        {
            "settings": to_json(trial.settings),
            "changed": trial.changed,
            bench.args.by: bench.sign * trial.badness,
            "milliseconds": 1e3 * trial.seconds,
        }
        for trial in trials
    ]
    return {"run": str(run), "sampling": settings, "changed": changes, "sigma_rel": width, "trials": rows}
