"""Rank runs of any family against each other: ties where intervals overlap, no order across different passports.

Takes runs, folders of pictures, and the answers of 'figment eval --json'. Runs that differ in the seed alone become
one entry, with mean and spread.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._measure import Measure, measured, parse_measure, yardstick_of
from figment.cli._place import make_way
from figment.core.config import read_json, to_json
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.evaluate.ranking import Column, Entry


@dataclass(frozen=True)
class Compare(Measure):
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders, folders of pictures, or .json files that 'figment eval --json' wrote."""
    out: Path | None = None
    """Also write the comparison as one HTML page."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args, features = parse_measure(Compare, argv, verb="compare", about=__doc__ or "")
    if not args.runs:
        raise ConfigError("name the runs to compare: figment compare RUN RUN --data DATASET")
    make_way(args.out)
    yardstick, store = yardstick_of(args, features, console)
    results = _gathered(args.runs, yardstick, store, console)
    answers = [result["answer"] for result in results]
    if without := next((answer for answer in answers if not answer["scores"]), None):
        raise ConfigError(f"{without['run']}: has no scores to rank; give runs that draw pictures")
    from figment.evaluate.ranking import entries_of, ranked

    order, columns = ranked(entries_of(answers, groups_of(answers)))
    _tell(order, columns, console)
    if args.out:
        from figment.cli._board import write_board

        fakes = {result["answer"]["run"]: result["fake"] for result in results}
        write_board(args.out, order, columns, fakes, yardstick, shlex.join(["figment", "compare", *argv]))
        console.say(f"page: {args.out}")
    return {
        "runs": answers,
        "leaderboard": {column.metric: _rows(order, column) for column in columns if not column.refusal},
        "refused": {column.metric: column.refusal for column in columns if column.refusal},
    }


def _gathered(paths: Sequence[Path], yardstick: Any, store: Any, console: Console) -> list[dict[str, Any]]:
    """The results of all paths, each run's once, however often it was given."""
    found: dict[Path, dict[str, Any]] = {}
    for path in paths:
        for result in [] if path.resolve() in found else _results(path, yardstick, store, console):
            run = result["answer"]["run"]
            if Path(run).resolve() in found:
                console.warn(f"{run}: was given before, its scores in {path} are passed over; leave one of them out")
            found.setdefault(Path(run).resolve(), result)
    return list(found.values())


def _results(path: Path, yardstick: Any, store: Any, console: Console) -> list[dict[str, Any]]:
    """What `figment eval` said or says of a path."""
    if path.suffix != ".json":
        result = measured(path, yardstick, store, console)
        for warning in result["warnings"]:
            console.warn(f"{path}: {warning}")
        return [result]
    answer = read_json(path)
    runs = answer.get("runs") if isinstance(answer, dict) else None
    if not isinstance(runs, list) or not all(isinstance(run, dict) and {"run", "scores"} <= run.keys() for run in runs):
        raise ConfigError(
            f"{path}: is no answer of 'figment eval --json'; write one with: figment eval RUN --json > FILE"
        )
    return [{"answer": run, "fake": None} for run in runs]


def groups_of(answers: Sequence[Mapping[str, Any]]) -> list[str]:
    """What runs of different seeds have in common, for each answer; a second one of the same seed stands alone."""
    groups: list[str] = []
    known: set[tuple[str, int]] = set()
    for answer in answers:
        group, seed = _identity(answer)
        groups.append(f"{group} {answer['run']}" if (group, seed) in known else group)
        known.add((group, seed))
    return groups


def _identity(answer: Mapping[str, Any]) -> tuple[str, int]:
    """A run's config without its seed, with what tuning chose; and its seed. Anything else is itself alone."""
    from figment.core.errors import FigmentError
    from figment.train.run import read_run

    try:
        run = read_run(Path(answer["run"]))
    except (FigmentError, OSError):
        return str(answer["run"]), 0
    same = replace(run, seed=0, engine=None, figment="", data=replace(run.data, path=""))
    tuned = [answer.get("sampling"), answer.get("sigma_rel")]
    return json.dumps([to_json(same), tuned], sort_keys=True), run.seed


def _tell(order: Sequence[Entry], columns: Sequence[Column], console: Console) -> None:
    for column in columns:
        if column.refusal:
            console.warn(f"not ranked: {column.refusal}")
            continue
        console.say(f"{column.metric} ({'higher' if column.higher_is_better else 'lower'} is better)")
        for row in _rows(order, column):
            spread = f"   {row['seeds']} seeds, spread {row['spread']:.3g}" if row["spread"] is not None else ""
            line = f"  {row['rank']:>2}  {row['name']:<28}{row['value']:<10.4g}{row['low']:.4g} to {row['high']:.4g}"
            console.say(line + spread)


def _rows(order: Sequence[Entry], column: Column) -> list[dict[str, Any]]:
    """The entries that have this score, best rank first."""
    having = sorted((entry for entry in order if entry.name in column.ranks), key=lambda one: column.ranks[one.name])
    return [
        {
            "rank": column.ranks[entry.name],
            "name": entry.name,
            "runs": [answer["run"] for answer in entry.answers],
            "seeds": len(entry.answers),
            **{key: value for key, value in asdict(entry.scores[column.metric]).items() if key != "passport"},
        }
        for entry in having
    ]
