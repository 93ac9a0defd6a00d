"""How a training goes: its best moment so far, how long without a better one, whether it learns by heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Measure = Literal["loss", "score"]

# Observations without a better one, and how much worse the loss must be, before a run is called overfitted.
OVERFIT_STALLED, OVERFIT_RISE = 3, 1.02
SMOOTHING = 0.02  # weight of the newest step in the running mean of the training loss


@dataclass(frozen=True)
class Overfitting:
    """Held-out loss rises from `best`, at step `since`, to `loss`, while the training loss falls."""

    since: int
    best: float
    loss: float


class Course:
    """Best value and stall of each measure, on held-out pictures; all of it in `state`, which outlives a kill.

    decides: the measure that chooses the best checkpoint and that patience waits for: the held-out "loss", or the
    "score" of generated pictures. Both are better when lower.
    """

    def __init__(self, decides: Measure):
        self.decides: Measure = decides
        self.state: dict[str, Any] = {"train_loss": None}
        self.state |= {name: {"best": None, "step": 0, "stalled": 0} for name in ("loss", "score")}

    @property
    def best_step(self) -> int:
        """Step of the best value of the measure that decides; 0 before the first."""
        return int(self.state[self.decides]["step"])

    @property
    def stalled(self) -> int:
        """How many times in a row that measure has not become better."""
        return int(self.state[self.decides]["stalled"])

    def trained(self, loss: float) -> None:
        """Take note of one step's training loss."""
        before = self.state["train_loss"]
        self.state["train_loss"] = loss if before is None else before + SMOOTHING * (loss - before)

    def scored(self, step: int, value: float) -> None:
        """Take note of a score, turned so that lower is better."""
        self._observe("score", step, value)

    def validated(self, step: int, loss: float) -> Overfitting | None:
        """Take note of a held-out loss; tells when overfitting shows for the first time since the best one."""
        if self._observe("loss", step, loss):
            self.state["loss"]["train_loss"] = self.state["train_loss"]
            return None
        course = self.state["loss"]
        rises = loss > OVERFIT_RISE * course["best"] and self.state["train_loss"] < course["train_loss"]
        if course["stalled"] == OVERFIT_STALLED and rises:
            return Overfitting(since=course["step"], best=course["best"], loss=loss)
        return None

    def _observe(self, measure: Measure, step: int, value: float) -> bool:
        course = self.state[measure]
        if course["best"] is None or value < course["best"]:
            course |= {"best": value, "step": step, "stalled": 0}
            return True
        course["stalled"] += 1
        return False
