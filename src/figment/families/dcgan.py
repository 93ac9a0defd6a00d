"""Deep convolutional GAN: the game of the textbook between two convolutional networks that batch norm keeps in step.

    critic      min  -log D(x) - log(1 - D(G(z)))         (Goodfellow et al. 2014, equation 1)
    generator   min  -log D(G(z))                         (section 3)

Strided convolutions instead of pooling, batch norm in both players, ReLU and leaky ReLU, small first weights (Radford
et al. 2016, section 3). The generator is told the label beside the noise, the critic compares it with what it sees.
"""

from __future__ import annotations

from dataclasses import dataclass

from figment.core.config import Scale, TrainConfig
from figment.core.objective import Objective
from figment.core.types import Batch, ImageSpec, Loss, Phase
from figment.losses.adversarial import non_saturating_critic, non_saturating_generator
from figment.nets.adversarial import ConvCritic, ConvGenerator, PlayersConfig, drawn

TRAIN = TrainConfig(batch_size=128, optimizer="adam", lr=4e-4, beta1=0.5, beta2=0.999, schedule="constant")


@dataclass(frozen=True)
class Config(PlayersConfig):
    """Size of the two players."""

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, latents=32), "small": cls(), "base": cls(width=64, latents=128)}[scale]


class DcganObjective(Objective[ConvGenerator]):
    def __init__(self, model: ConvGenerator, critic: ConvCritic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("generator", updates=("model",), loss=self.generator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        real, fake = self.config.shown(batch.images), self.config.shown(fake.detach())
        # Each kind in a batch of its own, as the generator will be judged: mixed, the norms would be others then.
        real_logits, fake_logits = self.critic(real, condition), self.critic(fake, condition)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss({"adversarial": non_saturating_critic(real_logits, fake_logits)}, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        return Loss({"adversarial": non_saturating_generator(self.critic(self.config.shown(fake), condition))})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec.

    Raises DataError for pictures that are too small to be halved.
    """
    return DcganObjective(ConvGenerator(spec, config), ConvCritic(spec, config.width, "batch"), config)
