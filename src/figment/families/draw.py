"""DRAW: a recurrent variational autoencoder that paints a picture in several strokes, looking at it before each.

    h_enc = LSTM(h_enc, read(x, x - s(c), h_dec), h_dec),   z_t from q(z_t|h_enc)      (Gregor et al. 2015, equations
    h_dec = LSTM(h_dec, z_t),   c = c + write(h_dec)                                   3 to 8)
    -ELBO = -log p(x|c_T) + sum_t KL(q(z_t|h_enc) || N(0, I))     in nats an image     (equations 9 to 12)

Reading and writing goes through a small grid of Gaussian filters that the network moves and zooms, or sees all of the
picture at once. Without the encoder, the same strokes from noise draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.distributions import bernoulli_nats, logistic_nats, on_grid, refuse_grey
from figment.losses.kl import latent_kl_nats
from figment.losses.likelihood import importance_bits_per_dim
from figment.nets.embeddings import KINDS, ConditionEmbedding, Kind, drop_condition, told_spec
from figment.nets.read_write import Reader, Writer

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99, clip_norm=5.0)


@dataclass(frozen=True)
class Config:
    """How many strokes, how they see, and the size of the network."""

    strokes: int = 16
    """How often it looks and paints."""
    width: int = 256
    """Units of the encoder's state, and of the decoder's."""
    latents: int = 16
    """Numbers that each stroke is drawn from."""
    read: int = 12
    """Filters a side of what a look takes in; 0: the whole picture, at least 2 otherwise."""
    write: int = 12
    """Filters a side of what a stroke paints; 0: the whole picture, at least 2 otherwise."""
    likelihood: Literal["logistic", "bernoulli"] = "logistic"
    """What a painted picture says of each value: logistic for 8 bits, bernoulli for black and white."""
    importance_samples: int = 10
    """Draws from q(z|x) for the bound on the likelihood of a picture; 1 is the plain ELBO."""
    told: tuple[Kind, ...] = KINDS
    """What both networks are told of a picture, if the dataset has it; nothing for the plain likelihood."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their condition, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.strokes", self.strokes, 1, 256)
        check_range("family.width", self.width, 4, 8192)
        check_range("family.latents", self.latents, 1, 1024)
        check_range("family.importance_samples", self.importance_samples, 1, 100_000)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)
        for name, count in (("read", self.read), ("write", self.write)):
            check_range(f"family.{name}", count, 0, 128)
            if count == 1:
                raise ConfigError(f"--family.{name} 1: one filter has no stride; give 0, or 2 and more")

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        tiny, base = cls(strokes=4, width=64, latents=8, read=5, write=5), cls(strokes=32, width=512, latents=32)
        return {"tiny": tiny, "small": cls(), "base": base}[scale]


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    temperature: float = 1.0
    """Standard deviation of what strokes are drawn from; below 1 pictures are safer and more alike."""

    CHOICES: ClassVar[Mapping[str, tuple[float, ...]]] = {"temperature": (0.6, 0.7, 0.8, 0.9, 1.0, 1.1)}

    def __post_init__(self):
        check_range("sampling.temperature", self.temperature, 0, 10)


class Lstm(nn.Module):
    """One step of the plain cell (Graves 2013, equations 7 to 11, without peepholes); its state is h and c, float32."""

    def __init__(self, size: int, width: int):
        super().__init__()
        self.width = width
        self.gates = nn.Linear(size + width, 4 * width)

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, new, o = self.gates(torch.cat([inputs, h], 1)).float().chunk(4, 1)
        c = (f + 1).sigmoid() * c + i.sigmoid() * new.tanh()  # + 1: it begins by remembering
        return o.sigmoid() * c.tanh(), c

    def empty(self, rows: int) -> tuple[Tensor, Tensor]:
        blank = self.gates.weight.new_zeros(rows, self.width)
        return blank, blank


@dataclass(frozen=True)
class Look:
    """What came of painting a picture that was there: canvas (B, C, H, W), the rest (B, strokes, latents)."""

    canvas: Tensor
    latents: Tensor
    mean: Tensor
    log_variance: Tensor


class DrawModel(nn.Module):
    """Encoder and decoder with the faces Generates, Encodes (the latents of all strokes) and Scores."""

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        self.config = config
        width, shape = config.width, spec.shape
        self.condition = ConditionEmbedding(told_spec(spec, config.told), max(1, width // 8))
        self.read, self.write = Reader(shape, width, config.read), Writer(shape, width, config.write)
        self.encoder = Lstm(self.read.size + width + self.condition.width, width)
        self.decoder = Lstm(config.latents + self.condition.width, width)
        self.posterior = nn.Linear(width, 2 * config.latents)
        self.blank = nn.Parameter(torch.zeros(shape))  # c_0
        is_logistic = config.likelihood == "logistic"
        self.log_scale = nn.Parameter(torch.full((spec.channels, 1, 1), -2.0)) if is_logistic else None

    def painted(self, vector: Tensor, latent_at: Callable[[int, Tensor, Tensor], Tensor]) -> Tensor:
        """The canvas c_T, (B, C, H, W): logits of white.

        vector (B, condition_width). latent_at(stroke, canvas, h_dec) -> (B, latents).
        """
        canvas, state = self.blank.expand(len(vector), *self.blank.shape), self.decoder.empty(len(vector))
        for stroke in range(self.config.strokes):
            z = latent_at(stroke, canvas, state[0])
            state = self.decoder(torch.cat([z, vector], 1), state)
            canvas = canvas + self.write(state[0])
        return canvas

    def looked(self, images: Tensor, condition: Condition | None, noise: Tensor) -> Look:
        """Paint pictures (B, C, H, W) that are seen; noise: (B, strokes, latents), 0 for the means."""
        vector, state = self.condition(condition, len(images)), self.encoder.empty(len(images))
        found: list[tuple[Tensor, Tensor, Tensor]] = []

        def latent_at(stroke: int, canvas: Tensor, hidden: Tensor) -> Tensor:
            nonlocal state
            read = self.read(images, images - shown(canvas), hidden)
            state = self.encoder(torch.cat([read, hidden, vector], 1), state)
            mean, log_variance = self.posterior(state[0]).float().chunk(2, 1)
            log_variance = log_variance.clamp(-20, 10)
            z = mean + (log_variance / 2).exp() * noise[:, stroke]
            found.append((z, mean, log_variance))
            return z

        canvas = self.painted(vector, latent_at)
        return Look(canvas, *(torch.stack(parts, 1) for parts in zip(*found, strict=True)))

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, strokes, latents), the means, each stroke having seen those before"""
        return self.looked(images, None, images.new_zeros(len(images), *self.noise_shape())).latents

    def decode(self, latents: Tensor, condition: Condition | None = None) -> Tensor:
        vector = self.condition(condition, len(latents))
        return shown(self.painted(vector, lambda stroke, canvas, hidden: latents[:, stroke]))

    def noise_shape(self) -> tuple[int, int]:
        return self.config.strokes, self.config.latents

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        return self.decode(noise * (settings or Sampling()).temperature, condition)

    def picture_nats(self, images: Tensor, canvas: Tensor) -> Tensor:
        """-log p(x|c_T), in nats a picture: (B,). images: of grey levels, or black and white for bernoulli."""
        if self.log_scale is None:
            return bernoulli_nats(images, canvas).flatten(1).sum(1)
        return logistic_nats(images, shown(canvas), self.log_scale.clamp(-7, 3)).flatten(1).sum(1)

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """A bound from above by `importance_samples` draws, which are derived from each picture."""
        if self.log_scale is None:
            refuse_grey(images)
        images = on_grid("categorical", images)

        def log_weight(noise: Tensor) -> Tensor:
            e = noise.view(-1, *self.noise_shape())
            look = self.looked(images, condition, e)
            log_prior_ratio = 0.5 * (e.square() + look.log_variance - look.latents.square())  # log p(z) / q(z|x)
            return log_prior_ratio.flatten(1).sum(1) - self.picture_nats(images, look.canvas)

        numbers = math.prod(self.noise_shape())
        return importance_bits_per_dim(images, log_weight, numbers, count=self.config.importance_samples)


def shown(canvas: Tensor) -> Tensor:
    """A canvas as a picture in [-1, 1]: 2 s(c) - 1"""
    return (canvas / 2).tanh()


class DrawObjective(Objective[DrawModel]):
    def __init__(self, model: DrawModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        is_binary = self.config.likelihood == "bernoulli"
        x = batch.images.clamp(-1, 1) if is_binary else on_grid("categorical", batch.images)
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        look = self.model.looked(x, condition, torch.randn(len(x), *self.model.noise_shape()).to(x))
        nats = self.model.picture_nats(x, look.canvas).mean()
        kl = latent_kl_nats(look.mean, look.log_variance).sum((1, 2)).mean()
        pixel_error = (shown(look.canvas) - x).square().mean().sqrt()
        stats = {"kl_nats": kl, "nats": nats + kl, "pixel_error": pixel_error}
        # Divided by the number of pixels so that one learning rate serves all sizes.
        return Loss({"reconstruction": nats / x[0].numel(), "kl": kl / x[0].numel()}, stats)


def build(config: Config, spec: ImageSpec) -> Objective:
    """Encoder and decoder for pictures of this spec."""
    return DrawObjective(DrawModel(config, spec), config)
