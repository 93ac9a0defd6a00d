"""Learning rate as a function of progress."""

from __future__ import annotations

import math

from figment.core.config import TrainConfig


def lr_factor(config: TrainConfig, step: int, steps: int) -> float:
    """What the learning rate is multiplied by at `step` of `steps`; warm-up included, plateau back-off not."""
    progress = min(1.0, (step + 0.5) / steps)
    rise = min(1.0, progress / config.warmup) if config.warmup else 1.0
    if config.schedule == "cosine":
        after = max(0.0, progress - config.warmup) / max(1e-9, 1 - config.warmup)
        return rise * 0.5 * (1 + math.cos(math.pi * after))
    if config.schedule == "step":
        return rise * (0.1 if progress > 0.6 else 1.0) * (0.1 if progress > 0.85 else 1.0)
    return rise


class Plateau:
    """Halves the learning rate after `patience` validations without a better loss; `state` goes in the manifest."""

    def __init__(self, patience: int = 4):
        self.patience = patience
        self.state: dict[str, float] = {"factor": 1.0, "best": math.inf, "stalled": 0}

    def observe(self, loss: float) -> None:
        if loss < self.state["best"]:
            self.state |= {"best": loss, "stalled": 0}
            return
        self.state["stalled"] += 1
        if self.state["stalled"] >= self.patience:
            self.state |= {"factor": self.state["factor"] / 2, "stalled": 0}
