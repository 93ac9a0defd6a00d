"""Return a run to its best checkpoint; what came after it is set aside, not deleted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from figment.core.checkpoint import Checkpoint, newest_checkpoint, verify, write_model
from figment.core.config import to_json
from figment.core.errors import CheckpointError
from figment.train.run import RunConfig

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
    """Make the best checkpoint the newest one, and its weights the model that is shipped; returns its step."""
    best = best_checkpoint(folder, warn)
    part = "average" if run.train.ema_half_life else "objective"
    tensors = best.read(part)
    if part == "objective":
        tensors = {name.removeprefix("model."): one for name, one in tensors.items() if name.startswith("model.")}
    facts = {"step": best.step, "seen_images": best.facts["seen_images"], "data": to_json(run.data)}
    for later in sorted((folder / "checkpoints").glob("[0-9]" * 8)):
        if int(later.name) > best.step:
            later.rename(later.with_name(later.name + ASIDE))
    write_model(folder / "model", tensors, run.family, run.settings, run.spec, facts)
    return best.step
