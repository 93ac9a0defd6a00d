"""Say what a run gives away of its training pictures: could one tell from it which pictures those were?

Training pictures are set against unseen ones by how well the model knows them. It prints how many of the former an
attacker would find while accusing 0.1% and 1% of the latter, which pictures are known best, and what of that chance
explains.
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
from figment.core.errors import ConfigError, DataError


@dataclass(frozen=True)
class Audit:
    run: Annotated[Path, tyro.conf.Positional]
    """Run folder."""
    data: Path | None = None
    """Dataset that the run was trained on, and whose held-out pictures it has not seen; the run's own otherwise."""
    num: int = 1000
    """Training pictures to attack with, and as many unseen ones."""
    seed: int = 0
    """Seed of the noise that all pictures share."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Audit, argv, verb="audit", about=__doc__ or "")
    check_range("num", args.num, 2)
    from figment.core.checkpoint import load_model
    from figment.data.store import Store
    from figment.evaluate.membership import audit
    from figment.evaluate.runs import is_of_others, require_fit

    loaded = load_model(args.run)
    if not args.data and "data" not in loaded.facts:
        raise ConfigError(f"{args.run}: does not know what it was trained on; give --data DATASET")
    store = Store(args.data or loaded.facts["data"]["path"])
    require_fit(loaded, args.run, store)
    if is_of_others(loaded, store):
        raise DataError(
            f"{args.run}: was trained on other pictures than {store.path} has now, so which of them it has seen is not "
            "known; give --data the dataset as it was, or train anew"
        )
    with console.progress("audit") as advance:
        result = audit(loaded, store, args.num, args.seed, lambda done, total: advance(done, total, ""))
    console.say(
        f"{args.run} ({loaded.family}), {result.num_train} training pictures against {result.num_unseen} unseen ones, "
        f"by {result.signal}:"
    )
    console.say(
        f"  better known than an unseen one: {result.auc:.3f} [{result.auc_low:.3f}, {result.auc_high:.3f}] "
        f"(by chance: p = {result.auc_p:.2g})"
    )
    for one in result.caught:
        found = f"{one.value:.2%} [{one.low:.2%}, {one.high:.2%}]"
        console.say(f"  found with {one.false_positives:.1%} false accusations: {found} (by chance: p = {one.p:.2g})")
    keys = store.keys("train")
    exposed = [keys[row] for row in result.most_exposed]
    if result.leaks:
        console.say("  more than chance explains; best known: " + ", ".join(exposed[:8]))
        console.say("  fewer steps, more pictures or --train.augment.* make it less")
    else:
        console.say("  no more than chance explains")
    return {"run": str(args.run), **asdict(result), "leaks": result.leaks, "most_exposed": exposed}
