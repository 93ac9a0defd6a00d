"""Plant canaries among the training pictures of a private run, and guess from the trained weights which were there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import beta
from torch import Tensor, nn

from figment.core.config import Privacy, TrainConfig
from figment.core.objective import Objective
from figment.core.types import Batch, Loss
from figment.train.accountant import noise_multiplier
from figment.train.private import Private, chosen
from figment.train.trainer import Trainer
from trust._tally import Tally

PROMISE = "A private run gives away less of a picture than its epsilon says."
METHOD = (
    "Canaries with gradients of their own, the worst case, are trained on or not by the toss of a coin; the eighth "
    "that shows most clearly in the weights is guessed, and bounds epsilon from below with 95% certainty "
    "(Steinke et al. 2023)."
)
SHORT, LONG = 2000, 40_000

EPSILONS, DELTA, STEPS, RATE, CANARIES = (1.0, 4.0), 1e-7, 30, 0.25, 500
LEVEL = 0.05  # chance of a bound that is too high, of all guesses of one epsilon


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    """trials: canaries in all, in equal parts for every epsilon; a run without noise must be seen through."""
    runs = max(1, trials // (CANARIES * len(EPSILONS)))
    failures, bounds = [], []
    for index, epsilon in enumerate(EPSILONS):
        noise = noise_multiplier(epsilon, DELTA, RATE, STEPS)
        bounds.append(_bound([_guesses(noise, mixed) for mixed in _seeds(seed, index, runs)]))
        if bounds[-1] > epsilon:
            failures.append(f"epsilon {epsilon:g} is stated, and {bounds[-1]:.2f} at least is given away")
    open_bound = _bound([_guesses(0.0, mixed) for mixed in _seeds(seed, len(EPSILONS), runs)])
    if open_bound < 2:
        failures.append(f"the attack is blind: without noise it finds {open_bound:.2f} only")
    told = ", ".join(f"{bound:.2f} of {epsilon:g}" for bound, epsilon in zip(bounds, EPSILONS, strict=True))
    note = f"it finds epsilon {told}; without noise {open_bound:.2f}"
    return Tally(runs * CANARIES * len(EPSILONS), tuple(failures), note)


def _seeds(seed: int, index: int, runs: int) -> list[list[int]]:
    return [[seed, index, run] for run in range(runs)]


@dataclass(frozen=True)
class Guesses:
    right: int
    count: int


def _guesses(noise: float, seed: list[int]) -> Guesses:
    """One run with CANARIES of them, half of which are trained on; the clearest are guessed, as many in as out."""
    chance = np.random.default_rng(seed)
    is_in = chance.random(CANARIES) < 0.5
    shown = _trained(noise, is_in, chance.bytes(32))
    order, each = np.argsort(shown), CANARIES // 16
    return Guesses(int(is_in[order[-each:]].sum() + (~is_in[order[:each]]).sum()), 2 * each)


def _bound(runs: list[Guesses]) -> float:
    """The epsilon below which guesses would not be right as often: (2023, theorem 5.2), for all runs together.

    The chance that delta adds, at most 2 delta for every canary, is taken off the level.
    """
    right, count = sum(run.right for run in runs), sum(run.count for run in runs)
    level = LEVEL - 2 * DELTA * CANARIES * len(runs)
    low = float(beta.ppf(level, right, count - right + 1)) if right else 0.0  # Clopper and Pearson 1934
    return max(0.0, math.log(low / (1 - low))) if low else 0.0


def _trained(noise: float, is_in: np.ndarray, secret: bytes) -> np.ndarray:
    """How far each canary's own weight has moved in a run that was shown those with is_in, (CANARIES,)."""
    privacy = Privacy(epsilon=1.0, delta=DELTA)  # whose noise is given beside it
    train = TrainConfig(
        batch_size=int(RATE * CANARIES), optimizer="sgd", beta1=0.0, lr=1.0, ema_half_life=0, schedule="constant",
        warmup=0.0, privacy=privacy,
    )  # fmt: skip
    objective = _Shelf()
    trainer = Trainer(objective, train, steps=STEPS, gradients=Private(objective, train, noise, secret))
    canaries = 4 * torch.eye(CANARIES)[:, None, None]  # four times what clipping leaves

    def batch_at(step: int) -> Batch:
        rows = chosen(secret, step, CANARIES, RATE)
        return Batch(canaries[torch.from_numpy(rows[is_in[rows]])])

    for _ in trainer.run(batch_at):
        pass
    return objective.model.weight.detach().numpy()


class _Weights(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(CANARIES))


class _Shelf(Objective[_Weights]):
    """A weight for every pixel, pulled up by the pictures in which it is lit."""

    def __init__(self):
        super().__init__(_Weights())

    def loss(self, batch: Batch) -> Loss:
        pull: Tensor = (batch.images.flatten(1) * self.model.weight).sum(1)
        return Loss({"pull": -pull.mean()})
