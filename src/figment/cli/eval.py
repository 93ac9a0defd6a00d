"""Score runs, or folders of pictures, against a dataset: every number with its interval, floor and counts.

A classifier run is measured by accuracy, F1, confusion and calibration instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core import plugins
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.evaluate.judge import Judge
    from figment.evaluate.runs import Reference


@dataclass(frozen=True)
class Eval:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Run folders, or folders of pictures."""
    data: Path
    """Dataset whose held-out pictures are the reference."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute: figment list metrics. All that fit where none is named."""
    num: int = 2000
    """Pictures to generate; no more than there are training pictures."""
    judge: Path | None = None
    """Run whose features to use; the dataset's own judge otherwise."""
    seed: int = 0
    """Seed of the generated pictures."""
    out: Path | None = None
    """Also write an HTML report."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Eval, argv, verb="eval", about=__doc__ or "")
    for metric in args.metrics:
        plugins.require("metrics", metric)
    if not args.runs:
        raise ConfigError("name a run or a folder of pictures: figment eval RUN --data DATASET")
    if args.num < 2:
        raise ConfigError(f"--num {args.num}: give a number of at least 2")
    from figment.data.store import Store
    from figment.evaluate.runs import reference_of

    store = Store(args.data)
    if args.out:  # now, when no time has been spent yet
        args.out.parent.mkdir(parents=True, exist_ok=True)
    judge = judge_for(store, args.judge, console)
    reference = reference_of(store, judge, args.num)
    results = [
        evaluate(path, store, reference, judge, args.metrics, args.num, args.seed, console) for path in args.runs
    ]
    if args.out:
        from figment.cli._report import write_eval_report

        command = " ".join(["figment", "eval", *argv])
        write_eval_report(args.out, results, store, command)
        console.say(f"report: {args.out}")
    return {"runs": [result["answer"] for result in results]}


def judge_for(store: Any, path: Path | None, console: Console) -> Judge:
    """The judge that was named, or the dataset's own, trained now if need be."""
    from figment.core.checkpoint import load_model
    from figment.evaluate.judge import as_judge, judge_of

    if path:
        return as_judge(load_model(path), path, store)
    with console.progress("judge") as advance, console.graceful_stop() as stopping:
        return judge_of(
            store, progress=lambda done, total: advance(done, total, ""), warn=console.warn, stopping=stopping
        )


def evaluate(
    path: Path,
    store: Any,
    reference: Reference,
    judge: Judge,
    metrics: Sequence[str],
    num: int,
    seed: int,
    console: Console,
) -> dict[str, Any]:
    """Score one run or folder: {"answer": the JSON of it, "fake": its sample or None}."""
    from figment.core.checkpoint import load_model
    from figment.core.types import Generates
    from figment.evaluate.extract import sample_of
    from figment.evaluate.runs import classify_held_out, default_metrics, fakes_of, pictures_of, require_fit, score

    is_run = (path / "config.json").exists() or not path.is_dir()
    loaded = load_model(path) if is_run else None
    if loaded:
        require_fit(loaded, path, store)
    if loaded and not isinstance(loaded.model, Generates):
        report = classify_held_out(loaded, store)
        console.say(
            f"{path}: accuracy {report['accuracy']:.4f}, macro F1 {report['macro_f1']:.4f}, "
            f"calibration error {report['calibration_error']:.4f}"
        )
        return {
            "answer": {"run": str(path), "family": loaded.family, "classification": report, "scores": {}},
            "fake": None,
        }
    if loaded:
        with console.progress("sample") as advance:
            fake = fakes_of(loaded, reference, judge, num, seed, lambda done, total: advance(done, total, ""))
    else:
        fake = sample_of(*pictures_of(path, store), judge.model)
    names = list(metrics) or default_metrics(reference)
    scores, warnings = score(fake, reference, judge, names, seed)
    for warning in warnings:
        console.warn(warning)
    family = loaded.family if loaded else "pictures"
    console.say(f"{path} ({family}), {len(fake)} against {len(reference.real)} real pictures:")
    for name, one in scores.items():
        floor = "" if one["floor"] is None else f"   floor {one['floor']:.4g}"
        console.say(f"  {name:<18}{one['value']:<10.4g}{one['low']:.4g} to {one['high']:.4g}{floor}")
    return {"answer": {"run": str(path), "family": family, "scores": scores}, "fake": fake}
