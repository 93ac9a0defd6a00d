"""pix2pix: from pairs of pictures learn to draw the second from the first: a photo from a sketch, colour from grey.

    critic       min  -log D(x, y) - log(1 - D(x, G(x)))
    translator   min  -log D(x, G(x)) + lambda |y - G(x)|              (Isola et al. 2017, equations 1, 3 and 4)

x is given, y is to be drawn. The L1 term gets what is large right and leaves it blurred; the critic sees patches beside
what they were drawn from, and asks for sharp ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import DataError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import non_saturating_critic, non_saturating_generator
from figment.nets.translator import PatchCritic, SkipTranslator, levels_of

TRAIN = TrainConfig(batch_size=16, optimizer="adam", lr=4e-4, beta1=0.5, beta2=0.999, schedule="constant")
TAKES = ("pairs",)


@dataclass(frozen=True)
class Config:
    """Size of the two players, and what counts."""

    width: int = 32
    """Channels at the picture's own size; they double with every halving, up to eight times as many."""
    closeness: float = 100.0
    """Weight of the L1 distance to the true picture beside the game's; 0 leaves all to the critic."""
    dropout: float = 0.5
    """Share of the lowest features that are left out while training."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 512)
        check_range("family.closeness", self.closeness, 0, 10_000)
        check_range("family.dropout", self.dropout, 0, 0.9)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=64)}[scale]


class Pix2pixModel(nn.Module):
    """The face Translates."""

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        levels = levels_of(spec.height, spec.width)
        self.net = SkipTranslator((spec.channels, spec.channels), config.width, levels, config.dropout)

    def translate(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        return self.net(images).clamp(-1, 1)


class Pix2pixObjective(Objective[Pix2pixModel]):
    def __init__(self, model: Pix2pixModel, critic: PatchCritic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("translator", updates=("model",), loss=self.translator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        x, y = _halves(batch)
        real_logits = self.critic(torch.cat([x, y], 1))
        fake_logits = self.critic(torch.cat([x, self.model.translate(x).detach()], 1))
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss({"adversarial": non_saturating_critic(real_logits, fake_logits)}, stats)

    def translator_loss(self, batch: Batch) -> Loss:
        x, y = _halves(batch)
        drawn = self.model.translate(x)
        distance = (y - drawn).abs().mean()
        adversarial = non_saturating_generator(self.critic(torch.cat([x, drawn], 1)))
        return Loss({"adversarial": adversarial, "closeness": self.config.closeness * distance}, {"l1": distance})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A translator and its critic for pairs of this spec.

    Raises DataError where the pictures are no pairs.
    """
    if not spec.paired:
        raise DataError("'pix2pix' learns from pairs, this dataset has none; build one with the source pairs:FOLDER")
    halvings = max(1, levels_of(spec.height, spec.width, most=3))
    critic = PatchCritic(2 * spec.channels, config.width, halvings)
    return Pix2pixObjective(Pix2pixModel(config, spec), critic, config)


def _halves(batch: Batch) -> tuple[Tensor, Tensor]:
    """(what is given, what is to be drawn)"""
    assert batch.condition.image is not None
    return batch.condition.image, batch.images
