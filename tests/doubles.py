"""Small stand-ins with known answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.perceptual import BACKBONE, HEADS
from figment.samplers import Sampling, draw


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


def random_lpips(folder: Path) -> dict[str, str]:
    """Files as LPIPS needs them, with the keys of the published ones and weights by chance; their SHA-256 by name."""
    chance = torch.Generator().manual_seed(0)
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    backbone = {"classifier.6.bias": torch.zeros(10)}
    for place, shape in shapes.items():
        backbone[f"features.{place}.weight"] = torch.randn(shape, generator=chance) / shape[1] ** 0.5 / shape[2]
        backbone[f"features.{place}.bias"] = 0.1 * torch.randn(shape[0], generator=chance)
    widths = [shape[0] for shape in shapes.values()]
    heads = {f"lin{i}.model.1.weight": torch.rand(1, width, 1, 1, generator=chance) for i, width in enumerate(widths)}
    for name, weights in ((BACKBONE, backbone), (HEADS, heads)):
        torch.save(weights, folder / name)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in (BACKBONE, HEADS)}


class Patterns:
    """Pictures that are a mean, its own for each class, plus smooth patterns, each as loud as normal noise says.

    The best denoiser is linear and exact, so this is a perfectly trained model with the faces Denoises and Generates.
    """

    sigma_min, sigma_max = 0.01, 50.0
    spec = ImageSpec(3, 8, 8, classes=("dark", "red"))

    def __init__(self):
        across = torch.linspace(0, torch.pi, 8)
        waves = [torch.cos(a * across)[:, None] * torch.cos(b * across) for a in range(2) for b in range(2)]
        chance = torch.Generator().manual_seed(0)
        hues = torch.randn(4, 3, generator=chance)
        rows = torch.stack([(hue[:, None, None] * wave).flatten() for hue, wave in zip(hues, waves, strict=True)])
        self.axes = torch.linalg.qr(rows.T).Q.T  # (4, 192), of unit length
        self.variances = torch.tensor([4.0, 2.0, 1.0, 0.5])
        means = torch.tensor([[-0.5, -0.5, -0.5], [0.4, -0.3, -0.3], [0.0, 0.0, 0.0]])  # the last one: no class
        self.means = means[:, :, None, None].expand(3, 3, 8, 8)

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        open_rows = torch.full((len(noisy),), -1)
        labels = open_rows if condition is None or condition.labels is None else condition.labels
        mean = self.means[labels]
        share = self.variances / (self.variances + sigma[:, None] ** 2)
        along = (noisy - mean).flatten(1) @ self.axes.T
        return mean + ((share * along) @ self.axes).view_as(mean)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings=None) -> Tensor:
        return draw(self, noise, condition, settings or Sampling()).clamp(-1, 1)
