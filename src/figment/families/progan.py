"""Progressive GAN: both players begin with pictures of a few pixels, and are given larger ones as they learn.

    critic      min  E D(G(z)) - E D(x) + 10 E (|grad D(x')| - 1)^2 + 0.001 E D(x)^2
    generator   min  -E D(G(z))                 (Gulrajani et al. 2017, equation 3; Karras et al. 2018, appendix A.1)

What a picture shows as a whole is learnt first, where it is cheap, and its detail later. Each level is faded in, then
trained as it is. Equalised learning rate, pixelwise normalised features, and a channel of the critic that says how much
pictures differ (Karras et al. 2018, sections 3 and 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.engine import whole_batch
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import gradient_penalty, linear_generator, wasserstein_critic
from figment.nets.adversarial import PlayersConfig, drawn
from figment.nets.progressive import GrowingCritic, GrowingGenerator, enlarged, level_of, reduced

TRAIN = TrainConfig(batch_size=32, optimizer="adam", lr=1e-3, beta1=0.0, beta2=0.99, schedule="constant")

PENALTY = 10.0
DRIFT = 0.001


@dataclass(frozen=True)
class Config(PlayersConfig):
    """Size of the two players, and how fast they grow."""

    stage_images: int = 5_000
    """Pictures over which a level is faded in, and then as many that it is trained on before the next."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.stage_images", self.stage_images, 1, 10**9)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        tiny, base = cls(width=8, latents=32, stage_images=8000), cls(width=64, latents=512, stage_images=400_000)
        return {"tiny": tiny, "small": cls(width=16), "base": base}[scale]


class Generator(GrowingGenerator):
    """The face Generates. What decides how far it has grown, the pictures seen, travels with its weights."""

    seen: Tensor

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__(spec, config.latents, config.width)
        self.latents, self.stage_images = config.latents, config.stage_images
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))  # a whole number, which averaging copies

    @property
    def growth(self) -> float:
        """From 0 to levels - 1: a stage of rest at level 0, then one in which the next is faded in, one of rest, ..."""
        level, within = divmod(max(int(self.seen) / self.stage_images - 1, 0.0), 2)
        return min(level + min(within, 1.0), len(self.sizes) - 1)

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        return self(noise, condition, self.growth).clamp(-1, 1)


class ProganObjective(Objective[Generator]):
    def __init__(self, model: Generator, critic: GrowingCritic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("generator", updates=("model",), loss=self.generator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        real, fake = self.config.shown(self.faded(batch.images)), self.config.shown(fake.detach())
        critic = partial(self.critic, condition=condition, growth=self.model.growth)
        real_logits, fake_logits = critic(real), critic(fake)
        terms = {
            "adversarial": wasserstein_critic(real_logits, fake_logits),
            "penalty": PENALTY * gradient_penalty(critic, real, fake),
            "drift": DRIFT * real_logits.square().mean(),
        }
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        stats["growth"] = real_logits.new_tensor(self.model.growth)
        self.model.seen += whole_batch(len(batch))  # here and nowhere else: all slices of a phase see the same
        return Loss(terms, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        fake, condition = drawn(self.model, batch, self.config.condition_dropout)
        logits = self.critic(self.config.shown(fake), condition, self.model.growth)
        return Loss({"adversarial": linear_generator(logits)})

    def stages(self) -> tuple[int, ...]:
        return (0, *((2 * level - 1) * self.model.stage_images + 1 for level in range(1, len(self.model.sizes))))

    def skip_to(self, images: int) -> None:
        self.model.seen.fill_(images)

    def faded(self, images: Tensor) -> Tensor:
        """Real pictures with as much detail as the generator's have: (B, C, H, W) -> the same."""
        level, share = level_of(self.model.growth)
        sizes = self.model.sizes
        now = enlarged(reduced(images, sizes[level]), sizes[-1])
        return enlarged(reduced(images, sizes[level - 1]), sizes[-1]).lerp(now, share) if share < 1 else now


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec, both at the smallest level."""
    return ProganObjective(Generator(spec, config), GrowingCritic(spec, config.width), config)
