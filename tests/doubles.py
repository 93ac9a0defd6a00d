"""Small stand-ins with known answers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from figment.core.objective import Objective
from figment.core.types import Batch, Loss, Phase


class Mean(nn.Module):
    """One number, which should become the mean of all pixels."""

    def __init__(self):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1, 1))


class MeanObjective(Objective[Mean]):
    """Squared distance to the pixels, plus noise that the trainer's seeding must make repeatable."""

    def __init__(self, noise: float = 0.0):
        super().__init__(Mean())
        self.noise = noise

    def loss(self, batch: Batch) -> Loss:
        shake = self.noise * torch.randn(())
        return Loss({"square": (batch.images - self.model.value + shake).square().mean()})


class TwoPlayers(Objective[Mean]):
    """Two phases on two parts; the second is taken every third step. Counts what it is asked."""

    def __init__(self):
        super().__init__(Mean())
        self.critic = Mean()
        self.taken: list[str] = []

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", ("critic",), self.of("critic", lambda: self.critic.value)),
            Phase("lazy", ("critic",), self.of("lazy", lambda: self.critic.value), every=3, gain=3.0),
            Phase("model", ("model",), self.of("model", lambda: self.model.value + 0 * self.critic.value)),
        )

    def of(self, name, value):
        def loss(batch: Batch) -> Loss:
            self.taken.append(name)
            return Loss({"square": (value() - 1).square().sum()}, {"value": value().sum()})

        return loss


class Broken(MeanObjective):
    """Its loss becomes NaN at the third call."""

    calls = 0

    def loss(self, batch: Batch) -> Loss:
        self.calls += 1
        return Loss(
            {"fine": batch.images.mean() * 0, "sick": self.model.value.sum() * (float("nan") if self.calls > 2 else 1)}
        )


def constant_batches(value: float = 0.5, size: int = 8):
    """batch_at that always gives the same grey pictures."""
    return lambda step: Batch(torch.full((size, 1, 4, 4), value))


def varied_batches(size: int = 8):
    """batch_at whose pictures depend on the step."""

    def batch_at(step: int) -> Batch:
        draw: Tensor = torch.randn(size, 1, 4, 4, generator=torch.Generator().manual_seed(step))
        return Batch(draw)

    return batch_at
