"""R3GAN: real and generated pictures are judged in pairs, and the slopes of the critic are kept small at both.

    critic      min  E f(D(G(z)) - D(x)) + gamma/2 E|grad D(x)|^2 + gamma/2 E|grad D(G(z))|^2     f(t) = log(1 + e^t)
    generator   min  E f(D(x) - D(G(z)))                              (Huang et al. 2024, section 2)

The game has no basin in which modes are forgotten, and the two penalties (R1 and R2) make it converge. So a plain
residual network is enough for both players: no normalisation, no momentum, no minibatch statistics. Such networks begin
as nearly linear maps and take their time; a training of minutes has the convolutional players of DCGAN instead, with a
critic that has no norms. One pass draws a picture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.config import Scale, TrainConfig, check_range, refuse_changed
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase
from figment.losses.pairing import pairing_critic, pairing_generator
from figment.losses.penalties import squared_slope
from figment.nets.adversarial import ConvCritic, ConvGenerator, PlayersConfig
from figment.nets.blocks import zero_init
from figment.nets.embeddings import ConditionEmbedding, drop_condition, quiet
from figment.nets.pyramid import Size, level_widths, pyramid, resize

Net = Literal["conv", "residual"]

TRAIN = TrainConfig(batch_size=128, optimizer="adam", lr=1e-3, beta1=0.0, beta2=0.99)


@dataclass(frozen=True)
class Config(PlayersConfig):
    """Size of the two players, and how steep the critic may be."""

    net: Net = "conv"
    """The players: residual as in the paper, for long trainings; conv are those of dcgan, for short ones."""
    blocks: int = 2
    """Residual blocks at each size."""
    expansion: float = 2.0
    """How much wider than its ends the middle of a residual block is."""
    group_width: int = 16
    """Channels that a residual block's 3x3 convolution mixes; 0: all of them, which is faster on processors."""
    gamma: float = 1.0
    """Weight of the two penalties: higher is safer, lower is sharper."""
    penalty_every: int = 4
    """Steps between penalties, each then weighs as much more; the paper's 1 takes more than twice as long."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.blocks", self.blocks, 1, 16)
        check_range("family.expansion", self.expansion, 0.25, 8)
        check_range("family.group_width", self.group_width, 0, 2048)
        check_range("family.gamma", self.gamma, 0, 1000)
        check_range("family.penalty_every", self.penalty_every, 1, 64)

    def check_new(self) -> None:
        super().check_new()
        if self.net == "conv":
            why = "with --family.net conv; leave it out, or give --family.net residual"
            refuse_changed("family", self, type(self), ("blocks", "expansion", "group_width"), why)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        base = cls(net="residual", width=64, gamma=0.1, penalty_every=1)
        return {"tiny": cls(width=16, latents=32), "small": cls(), "base": base}[scale]

    def plan(self, spec: ImageSpec) -> tuple[list[Size], list[int]]:
        """Size and channels of each level of the residual players, smallest size first."""
        sizes = pyramid((spec.height, spec.width))
        return sizes, level_widths(len(sizes), self.width, 8 * self.width)


class Block(nn.Module):
    """x + W3 a(W2 a(W1 x)): 1x1, 3x3 and 1x1, leaky ReLU between them, no normalisation. Section 3, figure 3.

    Fix-up initialisation: the branch begins as nothing, and its first weights are smaller the more blocks there are
    (Zhang et al. 2019).
    """

    def __init__(self, width: int, config: Config, total: int):
        super().__init__()
        middle = max(1, round(width * config.expansion))
        groups = max(1, middle // config.group_width) if config.group_width else 1
        middle -= middle % groups
        self.narrow = scaled(nn.Conv2d(width, middle, 1), total**-0.25)
        self.mix = scaled(nn.Conv2d(middle, middle, 3, padding=1, groups=groups), total**-0.25)
        self.widen = zero_init(nn.Conv2d(middle, width, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.mix(F.leaky_relu(self.narrow(images), 0.2)), 0.2)
        return images + self.widen(hidden)


class Level(nn.Module):
    """Bring pictures to a size and a width, then the blocks: (B, before, h, w) -> (B, after, *size)."""

    def __init__(self, before: int, after: int, size: Size, config: Config, total: int):
        super().__init__()
        self.size = size
        self.change = scaled(nn.Conv2d(before, after, 1, bias=False), 1) if before != after else nn.Identity()
        self.blocks = nn.Sequential(*(Block(after, config, total) for _ in range(config.blocks)))

    def forward(self, images: Tensor) -> Tensor:
        grows = self.size[1] > images.shape[3]  # the 1x1 convolution is cheaper at the smaller size
        images = resize(self.change(images), self.size) if grows else self.change(resize(images, self.size))
        return self.blocks(images)


def levels(sizes: list[Size], widths: list[int], config: Config) -> nn.Sequential:
    befores, total = [widths[0], *widths[:-1]], len(sizes) * config.blocks
    steps = zip(befores, widths, sizes, strict=True)
    return nn.Sequential(*(Level(before, after, size, config, total) for before, after, size in steps))


def scaled(layer: nn.Conv2d, gain: float) -> nn.Conv2d:
    """The layer with weights that keep the variance of a leaky ReLU's answer, times gain squared; biases 0."""
    nn.init.kaiming_normal_(layer.weight, a=0.2)
    with torch.no_grad():
        layer.weight.mul_(gain)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


class ResidualGenerator(nn.Module):
    """Noise and condition to pictures, with the face Generates."""

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        sizes, widths = config.plan(spec)
        self.latents = config.latents
        self.condition = quiet(ConditionEmbedding(spec, config.latents))
        self.pattern = nn.Parameter(torch.randn(1, widths[0], *sizes[0]))
        self.loudness = nn.Linear(2 * config.latents, widths[0], bias=False)
        self.levels = levels(sizes, widths, config)
        self.leave = nn.Conv2d(widths[-1], spec.channels, 1)

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        return self.draw(noise, condition).clamp(-1, 1)

    def draw(self, noise: Tensor, condition: Condition | None) -> Tensor:
        """Pictures that may leave [-1, 1]: what the critic is shown, so that it says when they do."""
        vector = torch.cat([noise, self.condition(condition, noise.shape[0])], 1)
        return self.leave(self.levels(self.pattern * self.loudness(vector)[:, :, None, None])).float()


class ResidualCritic(nn.Module):
    """Pictures and condition to logits, high for real: the generator backwards.

    The last features are compared with a vector of what was asked for (Miyato and Koyama 2018, equation 3).
    """

    def __init__(self, spec: ImageSpec, config: Config):
        super().__init__()
        sizes, widths = config.plan(spec)
        sizes, widths = sizes[::-1], widths[::-1]
        self.enter = nn.Conv2d(spec.channels, widths[0], 1)
        self.levels = levels(sizes, widths, config)
        self.pool = nn.Conv2d(widths[-1], widths[-1], sizes[-1], groups=widths[-1], bias=False)
        self.features = nn.Linear(widths[-1], config.latents, bias=False)
        self.condition = ConditionEmbedding(spec, config.latents)
        self.wanted = nn.Parameter(torch.randn(config.latents))

    def forward(self, images: Tensor, condition: Condition) -> Tensor:
        """(B, C, H, W) -> (B, 1)"""
        features = self.features(self.pool(self.levels(self.enter(images))).flatten(1)).float()
        wanted = self.wanted + self.condition(condition, images.shape[0]).float()
        return (features * wanted).sum(1, keepdim=True) / math.sqrt(len(self.wanted))


class R3ganObjective(Objective[ResidualGenerator | ConvGenerator]):
    def __init__(self, model: ResidualGenerator | ConvGenerator, critic: nn.Module, config: Config):
        super().__init__(model)
        self.critic, self.config = critic, config

    def phases(self) -> tuple[Phase, ...]:
        every = self.config.penalty_every
        return (
            Phase("critic", updates=("critic",), loss=self.critic_loss),
            Phase("penalty", updates=("critic",), loss=self.penalty_loss, every=every, gain=every),
            Phase("generator", updates=("model",), loss=self.generator_loss),
        )

    def critic_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            real, fake, condition = self._shown(batch)
        real_logits, fake_logits = self.critic(real, condition), self.critic(fake, condition)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss({"adversarial": pairing_critic(real_logits, fake_logits)}, stats)

    def penalty_loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            real, fake, condition = self._shown(batch)
        critic = partial(self.critic, condition=condition)
        r1, r2 = squared_slope(critic, real).mean(), squared_slope(critic, fake).mean()
        return Loss({"r1": self.config.gamma / 2 * r1, "r2": self.config.gamma / 2 * r2})

    def generator_loss(self, batch: Batch) -> Loss:
        real, fake, condition = self._shown(batch)
        with torch.no_grad():
            real_logits = self.critic(real, condition)
        return Loss({"adversarial": pairing_generator(real_logits, self.critic(fake, condition))})

    def _shown(self, batch: Batch) -> tuple[Tensor, Tensor, Condition]:
        """Real and generated pictures, changed where they are to be, and what both of them show."""
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        noise = torch.randn(len(batch), self.model.latents).to(batch.images.device)
        fake = self.model.draw(noise, condition)
        return self.config.shown(batch.images), self.config.shown(fake), condition


def build(config: Config, spec: ImageSpec) -> Objective:
    """A generator and its critic for pictures of this spec.

    Raises DataError for pictures that are too small to be halved, of convolutional players.
    """
    if config.net == "conv":
        return R3ganObjective(ConvGenerator(spec, config), ConvCritic(spec, config.width, "none"), config)
    return R3ganObjective(ResidualGenerator(spec, config), ResidualCritic(spec, config), config)
