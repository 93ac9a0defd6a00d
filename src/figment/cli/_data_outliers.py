"""`figment data outliers`: pictures that are unlike all others in the eyes of the judge, named or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core import plugins
from figment.core.config import check_range
from figment.core.errors import DataError

if TYPE_CHECKING:
    from figment.data.store import Store
    from figment.features.judge import Judge

LEVELS = (1.5, 2.0, 3.0, 5.0)  # of distance, to choose --distance by
AT_ONCE = 1024  # pictures held at once


@dataclass(frozen=True)
class Outliers:
    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset to look through."""
    distance: float | None = None
    """Refuse where the neighbours are at least this many times as far away as usual; without it, nothing is changed."""
    judge: Path | None = None
    """Run that judges: a classifier or contrastive one; the dataset's own otherwise, trained now if it is not there."""
    num: int = 20
    """Pictures to name, the strangest first."""


def outliers(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Find pictures that are unlike all others in the eyes of the judge; refuse them where a limit is given."""
    args = parse(Outliers, argv, verb="data outliers", about=outliers.__doc__ or "")
    check_range("num", args.num, 0)
    if args.distance is not None:
        check_range("distance", args.distance, 1, 1000)
    from figment.core.types import Rejected
    from figment.data.store import Store

    store, step = Store(args.dataset), plugins.load("steps", "outliers")
    keys = [key for split in store.counts for key in store.keys(split)]
    if len(keys) < step.FEWEST:
        raise DataError(f"{store.path}: {len(keys)} pictures are too few to say which are strange; add more")
    away = step.distances(_features(store, _judge(store, args.judge, console), console))
    order = away.argsort()[::-1].tolist()
    counts = {f"{level:g}": int((away >= level).sum()) for level in LEVELS}
    console.say(f"{store.path}: at least so far away, in terms of the usual distance to a neighbour:")
    console.say("  " + ", ".join(f"{level}: {number}" for level, number in counts.items()))
    strangest = [{"key": keys[row], "distance": round(float(away[row]), 2)} for row in order[: args.num]]
    for one in strangest:
        console.say(f"  {one['distance']:.2f}: {one['key']}")
    answer = {"dataset": str(args.dataset), "distances": counts, "strangest": strangest, "refused": 0}
    if args.distance is None:
        return answer
    refused = [Rejected(keys[row], "outliers", step.reason(away[row])) for row in order if away[row] >= args.distance]
    store.refuse(refused)
    console.say(f"{args.dataset}: {len(refused)} refused; 'figment data restore' takes one in again")
    from figment.cli.data import leave_page

    leave_page(store, console, anew=True)
    return {**answer, "refused": len(refused)}


def _judge(store: Store, run: Path | None, console: Console) -> Judge:
    from figment.core.checkpoint import load_model
    from figment.evaluate.judge import judge_of
    from figment.features.judge import as_judge

    if run is not None:
        return as_judge(load_model(run), run, store)
    with console.progress("judge") as advance, console.graceful_stop() as stopping:
        return judge_of(
            store, progress=lambda done, total: advance(done, total, ""), warn=console.warn, stopping=stopping
        )


def _features(store: Store, judge: Judge, console: Console) -> Any:
    """float32 (N, D), split by split."""
    import numpy as np

    from figment.evaluate.extract import sample_of

    parts, done, total = [], 0, sum(store.counts.values())
    with console.progress("look") as advance:
        for images in map(store.images, store.counts):
            for low in range(0, len(images), AT_ONCE):
                pixels = images[low : low + AT_ONCE].copy()  # torch takes no memory that must not be written
                parts.append(sample_of(pixels, None, judge).features.astype(np.float32))
                advance(done := done + len(pixels), total, "")
    return np.concatenate(parts)
