"""`figment data propose`: labels for pictures that have none, and which of them a person should label first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core.config import check_range

if TYPE_CHECKING:
    from figment.evaluate.proposing import Proposals

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)  # of confidence, to choose --accept by


@dataclass(frozen=True)
class Propose:
    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset in which some pictures have labels and others have none."""
    accept: float | None = None
    """Write proposals of at least this confidence, 0 to 1, into the dataset, marked as proposed."""
    num: int = 20
    """Pictures to name that a person should label first."""


def propose(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Train a judge on the labelled pictures, and propose labels for the others."""
    args = parse(Propose, argv, verb="data propose", about=propose.__doc__ or "")
    check_range("num", args.num, 0)
    if args.accept is not None:
        check_range("accept", args.accept, 0, 1)
    from figment.data.store import Store
    from figment.evaluate import proposing

    store = Store(args.dataset)
    with console.progress("judge") as advance, console.graceful_stop() as stopping:
        made = proposing.propose(
            store, progress=lambda done, total: advance(done, total, ""), warn=console.warn, stopping=stopping
        )
    store.note_margins(dict(zip(made.keys, made.margin.tolist(), strict=True)))
    answer = _told(made, store.spec.classes, args, console)
    if args.accept is None:
        return {**answer, "accepted": 0}
    number = proposing.accept(store, made, args.accept)
    console.say(f"{args.dataset}: {number} labels written; each is marked in its picture's origin as proposed")
    from figment.cli.data import leave_page

    leave_page(store, console, anew=True)
    return {**answer, "accepted": number}


def _told(made: Proposals, classes: Sequence[str], args: Propose, console: Console) -> dict[str, Any]:
    """Say what was found; its JSON."""
    from figment.evaluate.proposing import LEAST_CHECKED, label_first

    if made.checked < LEAST_CHECKED:
        console.warn(
            f"only {made.checked} held-out pictures have labels: confidence is the judge's own word; "
            f"label {LEAST_CHECKED} or more of them"
        )
    right = "" if made.accuracy is None else f"; right on {made.accuracy:.1%} of {made.checked} held-out pictures"
    console.say(f"{args.dataset}: {len(made.keys)} training pictures without a label{right}")
    shares = {f"{level:g}": int((made.confidence >= level).sum()) for level in LEVELS}
    console.say("  confidence at least " + ", ".join(f"{level}: {number}" for level, number in shares.items()))
    first = [
        {
            "key": made.keys[row],
            "label": classes[int(made.labels[row])],
            "second": classes[int(made.second[row])],
            "confidence": round(float(made.confidence[row]), 4),
        }
        for row in (label_first(made, args.num).tolist() if args.num else [])
    ]
    for one in first:
        console.say(f"  label first: {one['key']} ({one['label']} or {one['second']}?)")
    return {
        "dataset": str(args.dataset),
        "unlabelled": len(made.keys),
        "held_out": {"num": made.checked, "accuracy": made.accuracy},
        "confident": shares,
        "label_first": first,
    }
