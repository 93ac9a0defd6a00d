"""Return a run to its best checkpoint; what came after it is set aside, not deleted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from figment.core.checkpoint import Checkpoint, load_model, newest_checkpoint, verify, write_model
from figment.core.errors import CheckpointError
from figment.train.run import RunConfig, shipped_facts

ASIDE = ".aside"


def best_checkpoint(folder: Path, warn: Callable[[str], None]) -> Checkpoint:
    """The checkpoint with the best score, or held-out loss where the run was not scored.

    Raises CheckpointError where the run has measured neither, or that checkpoint is not there.
    """
    newest = newest_checkpoint(folder / "checkpoints", warn)
    course = newest.facts["course"] if newest else {}
    step = next((course[one]["step"] for one in ("score", "loss") if course.get(one, {}).get("step")), 0)
    if not newest or not step:
        raise CheckpointError(f"{folder}: nothing says which checkpoint is best; train with --train.score-every 500")
    if step == newest.step:
        return newest
    try:
        return verify(folder / "checkpoints" / f"{step:08d}")
    except CheckpointError:
        raise CheckpointError(
            f"{folder}: was best at step {step}, whose checkpoint was not kept; train with --train.score-every 500"
        ) from None


def roll_back(folder: Path, run: RunConfig, warn: Callable[[str], None]) -> int:
    """Make the best checkpoint the newest one, and its weights the model that is shipped; returns its step.

    Raises CheckpointError where none is known to be best, or where a private run has not finished.
    """
    best = best_checkpoint(folder, warn)
    part = "average" if run.train.ema_half_life else "objective"
    tensors = best.read(part)
    if part == "objective":
        tensors = {name.removeprefix("model."): one for name, one in tensors.items() if name.startswith("model.")}
    facts = shipped_facts(run, best.step, best.facts["seen_images"])
    if run.noise:
        facts["privacy"] = _given_away(folder)
    for later in sorted((folder / "checkpoints").glob("[0-9]" * 8)):
        if int(later.name) > best.step:
            later.rename(_aside(later))
    write_model(folder / "model", tensors, run.family, run.settings, run.spec, facts)
    return best.step


def _given_away(folder: Path) -> dict[str, Any]:
    """What a private run has given away: in all of its steps, also where the weights of an earlier one are shipped."""
    try:
        return load_model(folder).facts["privacy"]
    except (CheckpointError, KeyError):
        raise CheckpointError(
            f"{folder}: what a private run has given away is known once it has finished; "
            "give its 'figment train' command again to go on"
        ) from None


def _aside(checkpoint: Path) -> Path:
    """A name to set a checkpoint aside under; what an earlier return has set aside keeps its own."""
    names = (checkpoint.with_name(f"{checkpoint.name}{ASIDE}{number or ''}") for number in count())
    return next(path for path in names if not path.exists())
