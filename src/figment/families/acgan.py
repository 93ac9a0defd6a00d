"""GAN with an auxiliary classifier: the critic is not shown the label, it has to name it.

    critic      min  -L_S - L_C      L_S = log D(x) + log(1 - D(G(c, z)))           (Odena et al. 2017, equation 2)
    generator   min  -L_S' - L_C     L_C = log P(c | x) + log P(c | G(c, z))        (equation 3)

Both players want the class to be seen, so the generator draws what any classifier would know. L_S' is log D(G(c, z)),
the non-saturating form. Attributes and captions, where there are any, are shown to both players instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import DataError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import non_saturating_critic, non_saturating_generator
from figment.nets.adversarial import ConvGenerator, PlayersConfig, Trunk, Verdict, drawn

TRAIN = TrainConfig(batch_size=128, optimizer="adam", lr=4e-4, beta1=0.5, beta2=0.999, schedule="constant")


@dataclass(frozen=True)
class Config(PlayersConfig):
    """Size of the two players, and how much the class counts."""

    class_weight: float = 1.0
    """Weight of the class against real or generated: higher gives clearer classes and less variety within them."""
    dropout: float = 0.5
    """Share of the critic's channels that are hidden at random in training."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.class_weight", self.class_weight, 0, 100)
        check_range("family.dropout", self.dropout, 0, 0.95)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, latents=32), "small": cls(), "base": cls(width=64, latents=128)}[scale]


class Critic(nn.Module):
    """Pictures to two answers: real or generated, and of which class."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.trunk = Trunk(spec.shape, config.width, "batch", config.dropout)
        self.verdict = Verdict(replace(spec, classes=()), self.trunk.features)
        self.classes = nn.Linear(self.trunk.features, spec.num_classes)

    def forward(self, images: Tensor, condition: Condition) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) -> logits (B, 1), high for real, and logits of the classes (B, K)"""
        features = self.trunk(images)
        return self.verdict(features, condition), self.classes(features).float()


class AcganObjective(Objective[ConvGenerator]):
    def __init__(self, model: ConvGenerator, critic: Critic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("generator", updates=("model",), loss=self.generator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        real_logits, real_classes = self.critic(self.config.shown(batch.images), condition)
        fake_logits, fake_classes = self.critic(self.config.shown(fake.detach()), condition)
        real_entropy, accuracy = naming(real_classes, batch.condition.labels)
        fake_entropy, _ = naming(fake_classes, condition.labels)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean(), "accuracy": accuracy}
        terms = {
            "adversarial": non_saturating_critic(real_logits, fake_logits),
            "class": self.config.class_weight * labelled(batch) * (real_entropy + fake_entropy),
        }
        return Loss(terms, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        logits, classes = self.critic(self.config.shown(fake), condition)
        entropy, accuracy = naming(classes, condition.labels)
        named = self.config.class_weight * labelled(batch) * entropy
        return Loss({"adversarial": non_saturating_generator(logits), "class": named}, {"accuracy": accuracy})


def labelled(batch: Batch) -> Tensor:
    """Share of the pictures that have a label: what their mean counts, so that it matters little how a batch is cut."""
    assert batch.condition.labels is not None, "build() has refused datasets without classes"
    return (batch.condition.labels >= 0).float().mean()


def naming(logits: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Cross-entropy and accuracy over the rows with a label, both 0 where none has one: (B, K), (B,) -> two scalars."""
    assert labels is not None, "build() has refused datasets without classes"
    known = labels >= 0
    count = known.sum().clamp_min(1)
    entropy = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / count
    return entropy, ((logits.argmax(1) == labels) & known).float().sum() / count


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for the classes of this spec.

    Raises DataError where there are fewer than two, and for pictures that are too small to be halved.
    """
    if spec.num_classes < 2:
        raise DataError(
            f"an acgan needs two classes or more, this dataset has {spec.num_classes}; "
            "put each class into a folder of its own, or train 'dcgan'"
        )
    return AcganObjective(ConvGenerator(spec, config), Critic(spec, config), config)
