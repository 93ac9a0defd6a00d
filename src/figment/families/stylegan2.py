"""StyleGAN2: noise becomes a style, and the style sets how loud every channel of every layer is.

    critic      min  E f(-D(x)) + E f(D(G(z)))  +  gamma/2 E|grad D(x)|^2 every 16 steps            f(t) = log(1 + e^t)
    generator   min  E f(-D(G(z)))  +  lambda E(|J_w^T y| - a)^2 every 8 steps     (Karras et al. 2020, equation 4)

The space of styles w is smooth: it is where pictures are mixed, edited and drawn nearer to the average one. The critic
is shown changed pictures where it would learn them by heart (adaptive augmentation, Karras et al. 2020b).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range, refuse_changed
from figment.core.diff_augment import AdaptiveStrength, Change, disturb
from figment.core.noise import following
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.adversarial import non_saturating_critic, non_saturating_generator
from figment.losses.penalties import path_lengths, squared_slope
from figment.nets.embeddings import drop_condition
from figment.nets.style import Mapping, StyleCritic, Synthesis

TRAIN = TrainConfig(batch_size=64, optimizer="adam", lr=2e-3, beta1=0.0, beta2=0.99, schedule="constant")
PENALTY_EVERY, PATH_EVERY = 16, 8  # Karras et al. 2020, section 3.1


@dataclass(frozen=True)
class Config:
    """Size of the players, and what keeps them smooth."""

    width: int = 16
    """Channels at full size; they double with every halving, up to eight times as many."""
    latents: int = 64
    """Length of the noise vector."""
    style_width: int = 128
    """Length of a style w."""
    mapping_depth: int = 2
    """Layers that turn noise into a style."""
    mixing: float = 0.0
    """Share of training pictures drawn from two styles, which change over at a random layer."""
    gamma: float = 1.0
    """Weight of the penalty on the critic's slope at real pictures."""
    path_weight: float = 0.0
    """Weight of the penalty on uneven changes of pictures with w; 0 leaves it out, which is quicker."""
    augment_target: float = 0.6
    """Pictures are changed more while the critic is surer of real ones than this, from 0 to 1; 1: never changed."""
    changes: tuple[Change, ...] = ("translate", "cutout", "color")
    """What they are changed by."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 1024)
        check_range("family.latents", self.latents, 1, 4096)
        check_range("family.style_width", self.style_width, 1, 4096)
        check_range("family.mapping_depth", self.mapping_depth, 1, 16)
        check_range("family.mixing", self.mixing, 0, 1)
        check_range("family.gamma", self.gamma, 0, 1000)
        check_range("family.path_weight", self.path_weight, 0, 1000)
        check_range("family.augment_target", self.augment_target, 0, 1)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    def check_new(self) -> None:
        if self.augment_target == 1:
            refuse_changed("family", self, type(self), ("changes",), "with --family.augment-target 1; leave one out")

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        # small: without what Karras et al. 2020b do without on CIFAR-10. The others are whole.
        whole = cls(mixing=0.9, gamma=0.1, path_weight=2.0)
        tiny = replace(whole, width=8, latents=16, style_width=32)
        base = replace(whole, width=64, latents=512, style_width=512, mapping_depth=8)
        return {"tiny": tiny, "small": cls(), "base": base}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    truncation: float = 1.0
    """How far from the average style: 0.5 for typical, clean pictures, 1 for all that was learnt."""

    def __post_init__(self):
        check_range("sampling.truncation", self.truncation, 0, 2)


class Generator(nn.Module):
    """Mapping and synthesis, with the faces Generates and Maps. A style is (B, styles, D): W+, one row a layer."""

    average: Tensor

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        self.latents = config.latents
        self.mapping = Mapping(spec, config.latents, config.style_width, config.mapping_depth)
        self.synthesis = Synthesis(spec, width=config.width, most=8 * config.width, style_width=config.style_width)
        self.register_buffer("average", torch.zeros(config.style_width))

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        w = self.average.lerp(self.map(noise, condition), (settings or Sampling()).truncation)
        return self.synthesis(w, self._grain(noise)).clamp(-1, 1)

    def map(self, noise: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, latents) -> w (B, styles, D), the same in every row of a picture."""
        return self.mapping(noise, condition)[:, None].repeat(1, self.synthesis.styles, 1)

    def synthesize(self, w: Tensor) -> Tensor:
        """w (B, styles, D) -> pictures; every w has the same grain, so that an edit of w leaves it alone."""
        return self.synthesis(w, self._grain(w.new_zeros(1, 1))).clamp(-1, 1)

    def _grain(self, noise: Tensor) -> list[Tensor]:
        """Noise for every layer, derived from each row's own: (B, latents) -> (B, 1, h, w) each."""
        grains = []
        for number, (height, width) in enumerate(self.synthesis.noise_sizes):
            times = -(-height * width // noise.shape[1])
            like = noise.repeat(1, times)[:, : height * width]
            grains.append(following(like)(number).view(-1, 1, height, width))
        return grains


class Stylegan2Objective(Objective[Generator]):
    average_path: Tensor

    def __init__(self, model: Generator, critic: StyleCritic, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config
        self.strength = AdaptiveStrength(config.augment_target)
        self.register_buffer("average_path", torch.zeros(()))

    def phases(self) -> tuple[Phase, ...]:
        critic, model, path = ("critic",), ("model",), self.path_loss
        phases = [
            Phase("critic", updates=critic, loss=self.critic_loss),
            Phase("penalty", updates=critic, loss=self.penalty_loss, every=PENALTY_EVERY, gain=PENALTY_EVERY),
            Phase("generator", updates=model, loss=self.generator_loss),
        ]
        if self.config.path_weight:
            phases.append(Phase("path", updates=model, loss=path, every=PATH_EVERY, gain=PATH_EVERY))
        return tuple(phases)

    def critic_loss(self, batch: Batch) -> Loss:
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        with torch.no_grad():
            fake = self._draw(len(batch), condition)
        real_logits, fake_logits = self._judge(batch.images, condition), self._judge(fake, condition)
        self.strength.note(real_logits)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean(), "augment": self.strength.value}
        return Loss({"adversarial": non_saturating_critic(real_logits, fake_logits)}, stats)

    def penalty_loss(self, batch: Batch) -> Loss:
        # Here and nowhere else the strength moves: all slices of the steps in between have seen the same.
        self.strength.adjust()
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        slope = squared_slope(partial(self.critic, condition=condition), self._changed(batch.images))
        return Loss({"r1": self.config.gamma / 2 * slope.mean()})

    def generator_loss(self, batch: Batch) -> Loss:
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        logits = self._judge(self._draw(len(batch), condition), condition)
        return Loss({"adversarial": non_saturating_generator(logits)})

    def path_loss(self, batch: Batch) -> Loss:
        half = batch[: -(-len(batch) // 2)]  # which is enough (Karras et al. 2020, appendix B)
        condition = drop_condition(half.condition, self.config.condition_dropout)
        w = self._styles(len(half), condition)
        lengths = path_lengths(partial(self.model.synthesis, noises=self._noises(len(half))), w)
        average = self.average_path.lerp(lengths.detach().mean(), 0.01)
        self.average_path.copy_(average)
        penalty = self.config.path_weight * (lengths - average).square().mean()
        return Loss({"path": penalty}, {"path_length": lengths.mean()})

    def _draw(self, count: int, condition: Condition) -> Tensor:
        return self.model.synthesis(self._styles(count, condition), self._noises(count))

    def _styles(self, count: int, condition: Condition) -> Tensor:
        """Styles of fresh noise, some of them changing over to another's at a random layer; the average follows."""
        device, styles = self.model.average.device, self.model.synthesis.styles
        first, second = (self.model.map(torch.randn(count, self.model.latents).to(device), condition) for _ in "ab")
        self.model.average.lerp_(first.detach()[:, 0].mean(0), 0.005)
        # No layer beyond the last one is of the second style where nothing is mixed.
        place = torch.where(torch.rand(count) < self.config.mixing, torch.randint(1, styles, (count,)), styles)
        return torch.where((torch.arange(styles) < place[:, None])[:, :, None].to(device), first, second)

    def _noises(self, count: int) -> list[Tensor]:
        sizes, device = self.model.synthesis.noise_sizes, self.model.average.device
        return [torch.randn(count, 1, *size).to(device) for size in sizes]

    def _judge(self, images: Tensor, condition: Condition) -> Tensor:
        return self.critic(self._changed(images), condition)

    def _changed(self, images: Tensor) -> Tensor:
        """What the critic is shown."""
        changes = self.config.changes if self.config.augment_target < 1 else ()
        return disturb(images, self.strength.value, changes)


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec."""
    critic = StyleCritic(spec, width=config.width, most=8 * config.width)
    return Stylegan2Objective(Generator(spec, config), critic, config)
