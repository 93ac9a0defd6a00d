"""Score runs, or folders of pictures, against a dataset or a folder: every number with its interval, floor and counts.

A classifier run is measured by accuracy, F1, confusion and calibration instead.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._measure import Measure, judge_for, measured, parse_measure, yardstick_for, yardstick_of
from figment.cli._place import make_way
from figment.core import ranks
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.evaluate.runs import Yardstick

__all__ = ["evaluate", "judge_for", "main", "yardstick_for"]


@dataclass(frozen=True)
class Eval(Measure):
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, or folders of pictures."""
    reference: Path | None = None
    """Statistics of pytorch-fid or ADM (.npz) in place of the real pictures: for fd alone."""
    statistics: Path | None = None
    """Also write the real pictures' statistics, an .npz that pytorch-fid, ADM and --reference read."""
    out: Path | None = None
    """Also write an HTML report."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    args, features = parse_measure(Eval, argv, verb="eval", about=__doc__ or "")
    if not args.runs and not args.statistics:
        raise ConfigError("name a run or a folder of pictures: figment eval RUN --data DATASET")
    if args.reference and args.metrics:
        raise ConfigError("--reference and --metrics: statistics allow fd alone; leave --metrics out")
    make_way(args.out, args.statistics)
    with ranks.joined(), console.one_voice():
        answer = _eval(args, features, console, shlex.join(["figment", "eval", *argv]))
        return answer if ranks.is_first() else None


def _eval(args: Any, features: Any, console: Console, command: str) -> dict[str, Any]:
    """All ranks draw; the first one writes and speaks."""
    yardstick, store = ranks.after_first(lambda: yardstick_of(args, features, console))
    if args.statistics and ranks.is_first():
        from figment.evaluate.published import publish

        publish(args.statistics, yardstick.reference.real)
        console.say(f"statistics of {len(yardstick.reference.real)} real pictures: {args.statistics}")
    if args.reference:
        yardstick = replace(yardstick, statistics=args.reference)
    results = [evaluate(path, yardstick, console, store) for path in args.runs]
    if args.out and ranks.is_first():
        from figment.cli._report import write_eval_report

        write_eval_report(args.out, results, f"{args.data}: {yardstick.spec}", command)
        console.say(f"report: {args.out}")
    return {"runs": [result["answer"] for result in results]}


def evaluate(path: Path, yardstick: Yardstick, console: Console, store: Any) -> dict[str, Any]:
    """Score one run or folder, tell of it, and leave a run's scores in its folder: what `measured` gives."""
    result = measured(path, yardstick, store, console)
    answer, fake = result["answer"], result["fake"]
    for warning in result["warnings"]:
        console.warn(warning)
    if report := answer.get("classification"):
        console.say(
            f"{path}: accuracy {report['accuracy']:.4f}, macro F1 {report['macro_f1']:.4f}, "
            f"calibration error {report['calibration_error']:.4f}"
        )
        return result
    real = yardstick.statistics or f"{len(yardstick.reference.real)} real pictures"
    counts = f"{len(fake)} against {real}" if len(fake) else f"on {real}"
    console.say(f"{path} ({answer['family']}), {counts}, {yardstick.eyes.extractor.name}:")
    for name, one in answer["scores"].items():
        console.say(_line(name, one))
    if result["weights"] and path.is_dir() and ranks.is_first():
        _keep(path, result["weights"], answer, console)
    return result


def _keep(run: Path, weights: str, answer: Mapping[str, Any], console: Console) -> None:
    from figment.evaluate.scored import keep_scores

    try:
        keep_scores(run, weights, answer["sampling"], answer["scores"])
    except OSError as error:
        console.warn(f"{run}: its scores could not be kept there ({error.strerror})")


def _line(name: str, score: Mapping[str, Any]) -> str:
    anchors = {"floor": score["floor"], "noise": score["ceiling"]}
    told = "".join(f"   {what} {value:.4g}" for what, value in anchors.items() if value is not None)
    return f"  {name:<18}{score['value']:<10.4g}{score['low']:.4g} to {score['high']:.4g}{told}"
