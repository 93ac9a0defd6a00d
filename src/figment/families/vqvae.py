"""VQ-VAE: pictures as a few whole numbers, each the nearest entry of a codebook that is learnt along.

    z = E(x),   e = the nearest of the codebook to z,   x' = D(e)
    loss = |x' - x|^2 + 0.25 |z - sg(e)|^2               (van den Oord et al. 2017, equation 3; sg: no gradient)
    N_i = g N_i + (1 - g) n_i,   m_i = g m_i + (1 - g) sum_j z_ij,   e_i = m_i / N_i   (appendix A, equations 6 to 8)

The codebook follows the mean of what it stands for, without gradients. With `fsq` there is none to learn: every channel
is rounded to a few levels (Mentzer et al. 2023). `token_prior` learns which codes follow each other, and draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, ImageSpec, Loss
from figment.losses.quantize import (
    bounded,
    code_sums,
    drawn,
    grid_codes,
    grid_points,
    kmeans,
    nearest,
    perplexity,
    straight_through,
)
from figment.nets.codec import Decoder, Encoder

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99, ema_half_life=10_000)

COMMITMENT = 0.25
DECAY = 0.99
CODE_CHANNELS = 8
START = 20  # batches that are not quantised; then their codes are clustered
DEAD = 0.05  # of the mean share: a code used less begins again at a code of the batch

# Levels a channel for about so many codes: Mentzer et al. 2023, table 1, and smaller ones in its spirit.
LEVELS = {
    16: (5, 3),
    64: (8, 8),
    128: (5, 5, 5),
    256: (8, 6, 5),
    512: (8, 8, 8),
    1024: (8, 5, 5, 5),
    4096: (7, 5, 5, 5, 5),
    16384: (8, 8, 8, 6, 5),
}


@dataclass(frozen=True)
class Config:
    """Size of the codebook and of the network."""

    width: int = 32
    """Channels at the picture's own size; lower levels have up to four times as many."""
    depth: int = 1
    """Residual blocks on each level."""
    downscale: int = 0
    """Pixels a side that become one code, a power of 2; 0: 2 up to 20 pixels, 4 up to 128, 8 above."""
    codes: int = 128
    """Entries of the codebook; for fsq 16, 64, 128, 256, 512, 1024, 4096 or 16384, about."""
    code_channels: int | None = None
    """Numbers in an entry of the codebook; 8 where it is not given. fsq has its own."""
    quantizer: Literal["euclidean", "cosine", "fsq"] = "euclidean"
    """Nearest entry of a codebook by distance or by angle, or finite scalar quantisation: rounding, no codebook."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 1024)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.downscale", self.downscale, 0, 64)
        check_range("family.codes", self.codes, 2, 65536)
        check_range("family.code_channels", CODE_CHANNELS if self.code_channels is None else self.code_channels, 1, 512)
        if self.downscale & (self.downscale - 1):
            raise ConfigError(f"--family.downscale {self.downscale}: give a power of 2, such as 4")
        if self.quantizer == "fsq" and self.codes not in LEVELS:
            sizes = ", ".join(map(str, LEVELS))
            raise ConfigError(f"--family.codes {self.codes}: for --family.quantizer fsq give one of {sizes}")
        if self.quantizer == "fsq" and self.code_channels is not None:
            raise ConfigError(f"--family.code-channels {self.code_channels}: has no effect with fsq; leave it out")

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, codes=64), "small": cls(), "base": cls(width=96, depth=2, codes=1024)}[scale]


class Codebook(nn.Module):
    """The nearest of some vectors that follow, as running means, what they stand for.

    counts, sums: N_i and m_i of the equations above. batches: how many it has seen. On the sphere of root mean square 1
    where angles count (Yu et al. 2022, section 3.2).
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    batches: Tensor

    def __init__(self, codes: int, channels: int, *, on_sphere: bool):
        super().__init__()
        self.vocabulary, self.channels, self.on_sphere = codes, channels, on_sphere
        self.register_buffer("vectors", self.limited(torch.randn(codes, channels)))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def ready(self) -> bool:
        return int(self.batches) >= START

    def limited(self, rows: Tensor) -> Tensor:
        """(N, D) -> (N, D), on the sphere where that is wanted."""
        return rows * torch.rsqrt(rows.square().mean(1, keepdim=True) + 1e-8) if self.on_sphere else rows

    def codes_of(self, rows: Tensor) -> Tensor:
        """(N, D) -> (N,)"""
        return nearest(rows, self.vectors)

    def vectors_of(self, codes: Tensor) -> Tensor:
        """(N,) -> (N, D)"""
        return self.vectors[codes]

    @torch.no_grad()
    def observe(self, rows: Tensor) -> None:
        """Learn from the codes of a batch, (N, D) of `limited`: k-means once, then running means."""
        self.batches += 1
        if int(self.batches) == START:
            self.vectors.copy_(self.limited(kmeans(rows, self.vocabulary)))
            self.counts.fill_(1.0)
            self.sums.copy_(self.vectors)
        if int(self.batches) <= START:
            return
        counts, sums = code_sums(rows, self.codes_of(rows), self.vocabulary)
        self.counts.lerp_(counts * (self.vocabulary / counts.sum()), 1 - DECAY)
        self.sums.lerp_(sums * (self.vocabulary / counts.sum()), 1 - DECAY)
        dead = (self.counts < DEAD)[:, None]
        fresh = drawn(rows, self.vocabulary)
        self.sums.copy_(torch.where(dead, fresh, self.sums))
        self.counts.copy_(torch.where(dead[:, 0], 1.0, self.counts))
        self.vectors.copy_(self.limited(self.sums / self.counts[:, None]))


class Grid(nn.Module):
    """Finite scalar quantisation: every channel rounded to one of its levels, all in [-1, 1]."""

    levels: Tensor
    ready = True

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.vocabulary, self.channels = math.prod(levels), len(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)

    def limited(self, rows: Tensor) -> Tensor:
        return bounded(rows, self.levels) / (self.levels // 2)

    def codes_of(self, rows: Tensor) -> Tensor:
        return grid_codes((rows * (self.levels // 2)).round(), self.levels)

    def vectors_of(self, codes: Tensor) -> Tensor:
        return grid_points(codes, self.levels) / (self.levels // 2)

    def observe(self, rows: Tensor) -> None:
        """There is nothing to learn."""


class VqvaeModel(nn.Module):
    """Encoder, quantiser and decoder with the faces Encodes and Tokenizes.

    Latents are the codes before they become discrete, which is part of decoding (Rombach et al. 2022, section 3.1).
    """

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        levels = round(math.log2(config.downscale or _downscale(min(spec.height, spec.width))))
        sizes = {"width": config.width, "levels": levels, "depth": config.depth}
        self.grid = (-(-spec.height // 2**levels), -(-spec.width // 2**levels))
        self.quantizer = _quantizer(config)
        self.vocabulary, channels = self.quantizer.vocabulary, self.quantizer.channels
        self.encoder = Encoder(spec.channels, channels, **sizes)
        self.decoder = Decoder(channels, spec.channels, (spec.height, spec.width), **sizes)

    def rows(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> the vectors of all places, in the order of tokens: (B * h * w, D), float32"""
        return self.quantizer.limited(self.encoder(images).float().permute(0, 2, 3, 1).flatten(0, 2))

    def pictures(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`, not clamped."""
        return self.decoder(rows.view(-1, *self.grid, rows.shape[1]).permute(0, 3, 1, 2)).float()

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, h, w)"""
        return self.rows(images).view(len(images), *self.grid, -1).permute(0, 3, 1, 2).contiguous()

    def decode(self, latents: Tensor) -> Tensor:
        codes = self.quantizer.codes_of(latents.permute(0, 2, 3, 1).flatten(0, 2))
        return self.detokenize(codes.view(len(latents), -1))

    def tokenize(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, h * w) int64, row by row"""
        return self.quantizer.codes_of(self.rows(images)).view(len(images), -1)

    def detokenize(self, tokens: Tensor) -> Tensor:
        return self.pictures(self.quantizer.vectors_of(tokens.flatten())).clamp(-1, 1)


class VqvaeObjective(Objective[VqvaeModel]):
    def loss(self, batch: Batch) -> Loss:
        model, quantizer = self.model, self.model.quantizer
        z = model.rows(batch.images)
        if self.training:
            quantizer.observe(z.detach())
        codes = quantizer.codes_of(z)
        e = quantizer.vectors_of(codes)
        learning_first = self.training and not quantizer.ready
        squared = (model.pictures(z if learning_first else straight_through(z, e)) - batch.images).square().mean()
        terms = {"error": squared}
        if isinstance(quantizer, Codebook):
            terms["commitment"] = COMMITMENT * (z - e.detach()).square().mean() * (not learning_first)
        psnr = 10 * torch.log10(4 / squared.detach().clamp_min(1e-10))  # the range of [-1, 1] is 2
        return Loss(terms, {"psnr": psnr, "perplexity": perplexity(codes, model.vocabulary)})


def build(config: Config, spec: ImageSpec) -> Objective:
    """Encoder, codes and decoder for pictures of this spec; labels are left to `token_prior`."""
    return VqvaeObjective(VqvaeModel(config, spec))


def _quantizer(config: Config) -> Codebook | Grid:
    if config.quantizer == "fsq":
        return Grid(LEVELS[config.codes])
    return Codebook(config.codes, config.code_channels or CODE_CHANNELS, on_sphere=config.quantizer == "cosine")


def _downscale(side: int) -> int:
    return 2 if side <= 20 else 4 if side <= 128 else 8
