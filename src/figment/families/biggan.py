"""BigGAN: a class-conditional residual generator against a spectrally normalised critic with a hinge.

    critic      min  E max(0, 1 - D(x, y)) + E max(0, 1 + D(G(z, y), y))             (Miyato et al. 2018, equation 16)
    generator   min  -E D(G(z, y), y) + beta |W W^T * (1 - I)|^2 of every weight    (Brock et al. 2019, equation 3)

Every level of the generator is told of the class and of its own part of the noise. Noise that is drawn from a truncated
normal gives fewer kinds of pictures, each of them better: quality and variety are traded after training.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.diff_augment import DiffAugment
from figment.core.noise import mix
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase, PhaseOptimizer
from figment.losses.adversarial import hinge_critic, linear_generator
from figment.losses.penalties import overlap
from figment.nets.biggan import BigGenerator, ConditionNorm, ProjectionCritic
from figment.nets.embeddings import drop_condition
from figment.nets.spectral import raw_weights

TRAIN = TrainConfig(batch_size=64, optimizer="adam", lr=2e-4, beta1=0.0, beta2=0.999, schedule="constant")


@dataclass(frozen=True)
class Config(DiffAugment):
    """Size of the two players, and the rules of their game."""

    width: int = 16
    """Channels at full size; they double with every halving, up to sixteen times as many."""
    chunk: int = 20
    """Length of each level's part of the noise."""
    embedding: int = 64
    """Length of the vector that classes and attributes become for the generator."""
    attention_below: int = 8
    """The players attend among pixels at the largest size with a side of at most this; 0: nowhere."""
    critic_lr: float = 4e-4
    """Learning rate of the critic: the two time scales of Heusel et al. 2017. The generator's is --train.lr."""
    critic_steps: int = 1
    """Steps of the critic for each of the generator; the paper takes 2, of 2048 pictures."""
    orthogonality: float = 1e-4
    """Weight of the penalty on overlapping rows of the generator's weights, which makes truncation work."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.width", self.width, 4, 1024)
        check_range("family.chunk", self.chunk, 1, 1024)
        check_range("family.embedding", self.embedding, 1, 4096)
        check_range("family.attention_below", self.attention_below, 0, 128)
        check_range("family.critic_lr", self.critic_lr, 1e-8, 10)
        check_range("family.critic_steps", self.critic_steps, 1, 16)
        check_range("family.orthogonality", self.orthogonality, 0, 10)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        base = cls(width=64, embedding=128, attention_below=32, critic_steps=2)
        return {"tiny": cls(width=8, chunk=8, embedding=16), "small": cls(), "base": base}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    truncation: float = 0.0
    """Noise beyond this many deviations is not drawn: 0.5 for few kinds of good pictures; 0: all noise is."""
    standing: int = 0
    """Batches of 64 from which the norms' statistics are gathered anew; 0: those of the training."""

    def __post_init__(self):
        check_range("sampling.truncation", self.truncation, 0, 10)
        check_range("sampling.standing", self.standing, 0, 1000)


class Generator(nn.Module):
    """BigGAN's generator with the face Generates."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.num_classes = spec.num_classes
        self.net = BigGenerator(
            spec,
            width=config.width,
            chunk=config.chunk,
            embedding=config.embedding,
            attention_below=config.attention_below,
        )

    def noise_shape(self) -> tuple[int]:
        return (self.net.chunk * self.net.parts,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        settings = settings or Sampling()
        if not settings.standing:
            return self.net(truncated(noise, settings.truncation), condition)
        before = {name: buffer.clone() for name, buffer in self.net.named_buffers()}
        try:
            self._gather(settings)
            return self.net(truncated(noise, settings.truncation), condition)
        finally:
            for name, buffer in self.net.named_buffers():
                buffer.copy_(before[name])

    @torch.no_grad()
    def _gather(self, settings: Sampling) -> None:
        """Standing statistics: the mean of many batches', with the noise that is drawn from. Brock et al., section 3.

        They depend on the settings alone, so a picture stays a function of its own noise.
        """
        norms = [norm for norm in self.net.modules() if isinstance(norm, ConditionNorm | nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        device = self.net.norm.weight.device
        source = torch.Generator().manual_seed(mix(settings.standing))
        try:
            for batch in range(settings.standing):
                noise = torch.randn(64, *self.noise_shape(), generator=source).to(device)
                labels = torch.randint(self.num_classes, (64,), generator=source) if self.num_classes else None
                condition = Condition(labels=None if labels is None else labels.to(device))
                for norm in norms:
                    norm.momentum = 1 / (1 + batch)
                    norm.train()
                self.net(truncated(noise, settings.truncation), condition)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
                norm.eval()


def truncated(noise: Tensor, most: float) -> Tensor:
    """Standard normal noise as normal noise truncated to [-most, most], each number by itself; 0 leaves it alone.

    By quantiles in place of the paper's redrawing (Brock et al. 2019, section 3.1): the distribution is the same, and
    nothing but the number itself decides.
    """
    if not most:
        return noise
    normal = torch.distributions.Normal(0.0, 1.0)
    tail = float(normal.cdf(torch.tensor(-most, dtype=torch.float64)))
    share = tail + (1 - 2 * tail) * normal.cdf(noise.double())
    return normal.icdf(share).clamp(-most, most).to(noise)


class BigganObjective(Objective[Generator]):
    def __init__(self, model: Generator, critic: ProjectionCritic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        optimizer, every = PhaseOptimizer(lr=self.config.critic_lr), self.config.critic_steps
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss, optimizer=optimizer),
            Phase("generator", updates=("model",), loss=self.generator_loss, every=every),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        with torch.no_grad():
            fake = self._draw(batch.images, condition)
        real_logits, fake_logits = self._judge(batch.images, condition), self._judge(fake, condition)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss({"adversarial": hinge_critic(real_logits, fake_logits)}, stats)

    def generator_loss(self, batch: Batch) -> Loss:
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        logits = self._judge(self._draw(batch.images, condition), condition)
        rows = self.config.orthogonality * overlap(raw_weights(self.model))
        return Loss({"adversarial": linear_generator(logits), "orthogonality": rows})

    def _draw(self, like: Tensor, condition: Condition) -> Tensor:
        return self.model.net(torch.randn(len(like), *self.model.noise_shape()).to(like.device), condition)

    def _judge(self, images: Tensor, condition: Condition) -> Tensor:
        return cast(Tensor, self.critic(self.config.shown(images), condition))


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec."""
    critic = ProjectionCritic(spec, width=config.width, attention_below=config.attention_below)
    return BigganObjective(Generator(spec, config), critic, config)
