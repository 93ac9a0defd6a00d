"""CycleGAN: turn pictures of one class into pictures of another and back, learnt without a single pair.

    critics       min  1/2 (D_B(b) - 1)^2 + 1/2 D_B(G(a))^2, and likewise of A          (Zhu et al. 2017, section 4)
    translators   min  1/2 (D_B(G(a)) - 1)^2 + lambda |F(G(a)) - a| + mu |G(b) - b|, and likewise of F: B to A

What came back unchanged after going there and back must have kept what the picture shows (equation 2). The last term
keeps colours where nothing asks for others (section 5.2). The halves are those of Mao et al. 2017: the paper has none
for the translators, so lambda and mu weigh here what twice as much weighs there.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError, DataError, did_you_mean
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import least_squares_critic, least_squares_generator
from figment.nets.translator import PatchCritic, ResidualTranslator, levels_of

TRAIN = TrainConfig(batch_size=16, optimizer="adam", lr=4e-4, beta1=0.5, beta2=0.999, schedule="constant")


@dataclass(frozen=True)
class Config:
    """Which two classes, the size of the players, and what counts."""

    first: str = ""
    """A class; the dataset's first where none is named."""
    second: str = ""
    """The other class; the dataset's second where none is named."""
    width: int = 16
    """Channels at the picture's own size; a quarter of those of the residual blocks."""
    depth: int = 4
    """Residual blocks of a translator."""
    cycle: float = 10.0
    """Weight of coming back unchanged."""
    identity: float = 5.0
    """Weight of leaving alone what is of the wanted class already."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 512)
        check_range("family.depth", self.depth, 1, 32)
        check_range("family.cycle", self.cycle, 0, 10_000)
        check_range("family.identity", self.identity, 0, 10_000)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=8, depth=2), "small": cls(), "base": cls(width=64, depth=9)}[scale]


class CycleganModel(nn.Module):
    """Both translators, with the face Translates; `labels` are the two classes' places."""

    def __init__(self, config: Config, spec: ImageSpec, labels: tuple[int, int]):
        super().__init__()
        self.labels = labels
        self.to_second = ResidualTranslator(spec.channels, config.width, config.depth)
        self.to_first = ResidualTranslator(spec.channels, config.width, config.depth)

    def translate(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """To the class that the labels ask for; to the second one where they say nothing."""
        wanted = None if condition is None else condition.labels
        if wanted is None:
            return self.to_second(images).clamp(-1, 1)
        back = (wanted == self.labels[0])[:, None, None, None]
        return torch.where(back, self.to_first(images), self.to_second(images)).clamp(-1, 1)


class CycleganObjective(Objective[CycleganModel]):
    def __init__(self, model: CycleganModel, critics: tuple[PatchCritic, PatchCritic], config: Config):
        super().__init__(model)
        self.critics, self.config = nn.ModuleList(critics), config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critics",), loss=self.critic_loss),
            Phase("translator", updates=("model",), loss=self.translator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        (a, share_a), (b, share_b) = (self.of_class(batch, label) for label in self.model.labels)
        with torch.no_grad():
            fake_a, fake_b = self.model.to_first(b), self.model.to_second(a)
        both = min(share_a, share_b, 1.0)  # a game needs pictures of both classes
        terms, stats = {}, {}
        for name, critic, real, fake in zip(("first", "second"), self.critics, (a, b), (fake_a, fake_b), strict=True):
            real_logits, fake_logits = critic(real), critic(fake)
            terms[name] = both * least_squares_critic(real_logits, fake_logits)
            stats |= {f"real_logit_{name}": real_logits.mean(), f"fake_logit_{name}": fake_logits.mean()}
        return Loss(terms, stats)

    def translator_loss(self, batch: Batch) -> Loss:
        (a, share_a), (b, share_b) = (self.of_class(batch, label) for label in self.model.labels)
        to_first, to_second = self.model.to_first, self.model.to_second
        fake_a, fake_b = to_first(b), to_second(a)
        games = share_b * least_squares_generator(self.critics[0](fake_a))
        games = games + share_a * least_squares_generator(self.critics[1](fake_b))
        cycle = share_a * (to_first(fake_b) - a).abs().mean() + share_b * (to_second(fake_a) - b).abs().mean()
        same = share_a * (to_first(a) - a).abs().mean() + share_b * (to_second(b) - b).abs().mean()
        weighted = {"cycle": self.config.cycle * cycle, "identity": self.config.identity * same}
        return Loss({"adversarial": games, **weighted})

    def of_class(self, batch: Batch, label: int) -> tuple[Tensor, float]:
        """The pictures of a class, and 1; where the batch has none, one of another class, which counts for 0."""
        assert batch.condition.labels is not None
        chosen = batch.images[batch.condition.labels == label]
        return (chosen, 1.0) if len(chosen) else (batch.images[:1], 0.0)


def build(config: Config, spec: ImageSpec) -> Objective:
    """Two translators and two critics for pictures of this spec.

    Raises DataError where there are no two classes, ConfigError where one that was named is not there.
    """
    if spec.num_classes < 2:
        raise DataError(f"'cyclegan' turns one class into another, this dataset has {spec}; build one with two classes")
    labels = tuple(
        _place(flag, name, default, spec)
        for flag, name, default in (("first", config.first, 0), ("second", config.second, 1))
    )
    if labels[0] == labels[1]:
        raise ConfigError(f"--family.first and --family.second: both are '{spec.classes[labels[0]]}'; name two classes")
    halvings = levels_of(spec.height, spec.width, most=3)
    critics = tuple(PatchCritic(spec.channels, config.width, halvings) for _ in labels)
    return CycleganObjective(CycleganModel(config, spec, labels), critics, config)  # type: ignore[arg-type]


def _place(flag: str, name: str, default: int, spec: ImageSpec) -> int:
    if name and name not in spec.classes:
        raise ConfigError(f"--family.{flag} {name}: no such class{did_you_mean(name, spec.classes)}")
    return spec.classes.index(name) if name else default
