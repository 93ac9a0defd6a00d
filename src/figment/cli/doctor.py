"""Say what ails a training: collapse, a critic that has won, dead layers, copies of training pictures, and more.

It reads the run's log, its newest checkpoint and some of its pictures, finished or not, and names for each sickness
the figure and the setting to change. 'figment list diagnoses' says what it knows, --rollback returns to
the best checkpoint.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core.config import check_range


@dataclass(frozen=True)
class Doctor:
    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    data: Path | None = None
    """Dataset to compare with; the one that the run was trained on otherwise."""
    num: int = 500
    """Pictures to draw and compare; 0 leaves pictures out."""
    rollback: bool = False
    """Return to the best checkpoint by score; later ones are set aside, not deleted."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Doctor, argv, verb="doctor", about=__doc__ or "")
    check_range("num", args.num, 0)
    from figment.data.store import Store
    from figment.diagnoses import findings
    from figment.evaluate.evidence import examined
    from figment.train.run import read_run

    run = read_run(args.run)
    store = Store(args.data or run.data.path)
    judge = _judge(store, args.num, console)
    evidence, parts = examined(args.run, run, store, judge, args.num, console.warn)
    found = list(findings(evidence, parts))
    for finding in found:
        console.say(f"{finding}")
    if not found:
        console.say(f"{args.run}: nothing found; looked at {', '.join(parts)}")
    answer: dict[str, Any] = {"run": str(args.run), "examined": list(parts)}
    answer["findings"] = [asdict(finding) for finding in found]
    return answer | (_rolled_back(args.run, run, console) if args.rollback else {})


def _judge(store: Any, num: int, console: Console) -> Any:
    """The eyes to look at pictures through; None where there is nothing held out to compare them with."""
    if not num or not store.counts.get(store.held_out) or store.spec.frames > 1:
        return None
    from figment.cli._measure import judge_for

    return judge_for(store, None, console)


def _rolled_back(folder: Path, run: Any, console: Console) -> dict[str, int]:
    from figment.train.rollback import roll_back

    step = roll_back(folder, run, console.warn)
    console.say(
        f"{folder}: is at step {step} again, and ships it; go on with other settings by: "
        f"figment train {run.family} --from {folder} --out NEW ..."
    )
    return {"step": step}
