"""VQ-VAE: pictures as a few whole numbers, each the nearest entry of a codebook that is learnt along.

    z = E(x),   e = the nearest of the codebook to z,   x' = D(e)
    loss = |x' - x|^2 + 0.25 |z - sg(e)|^2               (van den Oord et al. 2017, equation 3; sg: no gradient)

The codebook follows the mean of what it stands for, without gradients. With `fsq` there is none to learn: every channel
is rounded to a few levels (Mentzer et al. 2023). `token_prior` learns which codes follow each other, and draws.

A VQGAN adds how a judge sees both pictures, and a critic of patches (Esser et al. 2021, equations 4 to 7):

    + a |f(x') - f(x)|^2 - b w D(x'),   w = |grad_L loss| / (|grad_L D(x')| + 1e-6)         L: the decoder's last layer
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro
from torch import Tensor, nn

from figment.core.checkpoint import Inner, load_model
from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.objective import Objective
from figment.core.types import Batch, Embeds, ImageSpec, Loss, Phase
from figment.families._codebook import Codebook, Grid
from figment.losses.adversarial import hinge_critic, linear_generator
from figment.losses.perceptual import feature_distance
from figment.losses.quantize import perplexity, straight_through
from figment.nets.codec import Decoder, Encoder
from figment.nets.patch_critic import PatchCritic

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99, ema_half_life=10_000)

COMMITMENT = 0.25
CODE_CHANNELS = 8

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
    perceptual: float = 0.0
    """Weight of how far apart a judge sees both pictures, 0.5 for instance; 0 leaves it out."""
    judge: str = ""
    """Run of a family that embeds, such as classifier, whose features are compared."""
    adversarial: float = 0.0
    """Weight of a critic of patches, as strong at 1 as all the rest; 0 leaves it out."""
    inner: Annotated[Inner | None, tyro.conf.Suppress] = field(default=None, metadata={"recorded": True})
    """How the judge is built; recorded when training starts."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 1024)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.downscale", self.downscale, 0, 64)
        check_range("family.codes", self.codes, 2, 65536)
        check_range("family.code_channels", CODE_CHANNELS if self.code_channels is None else self.code_channels, 1, 512)
        check_range("family.perceptual", self.perceptual, 0, 1000)
        check_range("family.adversarial", self.adversarial, 0, 1000)
        if self.judge and not self.perceptual:
            raise ConfigError(f"--family.judge {self.judge}: has no effect without --family.perceptual; give both")
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


def complete(config: Config, spec: ImageSpec) -> Config:
    """The config with the judge's own, where there is one.

    Raises ConfigError, CapabilityError or DataError for a run that is none or does not fit.
    """
    if not config.perceptual:
        return config
    if not config.judge:
        raise ConfigError("--family.perceptual: give --family.judge RUN; train one with 'figment train classifier'")
    loaded = load_model(Path(config.judge))
    if not isinstance(loaded.model, Embeds):
        raise CapabilityError(
            f"--family.judge {config.judge}: a '{loaded.family}' has no features; give a classifier's run"
        )
    if loaded.spec.shape != spec.shape:
        raise DataError(f"--family.judge {config.judge}: made for {loaded.spec}, the dataset has {spec}")
    return replace(config, inner=Inner.of(loaded))


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
    """Judge and critic, where they are asked for, are part of the objective: the shipped model has neither."""

    def __init__(self, model: VqvaeModel, config: Config, channels: int):
        super().__init__(model)
        self.config = config
        self.judge: Any = config.inner.build() if config.inner else None
        self.critic = PatchCritic(channels, 2 * config.width) if config.adversarial else None

    @property
    def has_validation(self) -> bool:
        return self.critic is None

    def begin(self) -> None:
        if self.config.inner:
            self.judge.load_state_dict(self.config.inner.weights(Path(self.config.judge)))

    def train(self, mode: bool = True) -> VqvaeObjective:
        super().train(mode)
        if self.judge:
            self.judge.eval()
        return self

    def phases(self) -> tuple[Phase, ...]:
        critic = (Phase("critic", updates=("critic",), loss=self.critic_loss),) if self.critic else ()
        return (*super().phases(), *critic)

    def loss(self, batch: Batch) -> Loss:
        model, quantizer, x = self.model, self.model.quantizer, batch.images
        z = model.rows(x)
        if self.training:
            quantizer.observe(z.detach())
        codes = quantizer.codes_of(z)
        e = quantizer.vectors_of(codes)
        learning_first = self.training and not quantizer.ready
        rebuilt = model.pictures(z if learning_first else straight_through(z, e))
        squared = (rebuilt - x).square().mean()
        terms = {"error": squared}
        if self.judge:
            terms["perceptual"] = self.config.perceptual * feature_distance(self.judge.features, rebuilt, x)
        if self.critic:
            terms["adversarial"] = self._fooling(rebuilt, sum(terms.values()))
        if isinstance(quantizer, Codebook):
            terms["commitment"] = COMMITMENT * (z - e.detach()).square().mean() * (not learning_first)
        psnr = 10 * torch.log10(4 / squared.detach().clamp_min(1e-10))  # the range of [-1, 1] is 2
        return Loss(terms, {"psnr": psnr, "perplexity": perplexity(codes, model.vocabulary)})

    def _fooling(self, rebuilt: Tensor, rest: Any) -> Tensor:
        """What the critic adds, as strong in the decoder's last layer as the rest of the loss."""
        assert self.critic
        fooling, last = linear_generator(self.critic(rebuilt)), self.model.decoder.layers[-1].get_parameter("weight")
        slopes = (torch.autograd.grad(term, last, retain_graph=True)[0].norm() for term in (rest, fooling))
        w = next(slopes) / (next(slopes) + 1e-6)
        return self.config.adversarial * w.detach().clamp_max(1e4) * fooling

    def critic_loss(self, batch: Batch) -> Loss:
        assert self.critic
        with torch.no_grad():
            rebuilt = self.model.detokenize(self.model.tokenize(batch.images))
        real_logits, fake_logits = self.critic(batch.images), self.critic(rebuilt)
        stats = {"real_logit": real_logits.mean(), "fake_logit": fake_logits.mean()}
        return Loss({"adversarial": hinge_critic(real_logits, fake_logits)}, stats)


def build(config: Config, spec: ImageSpec) -> Objective:
    """Encoder, codes and decoder for pictures of this spec; labels are left to `token_prior`.

    Raises ConfigError where a perceptual term is asked for without a judge.
    """
    if config.perceptual and config.inner is None:
        config = complete(config, spec)
    return VqvaeObjective(VqvaeModel(config, spec), config, spec.channels)


def _quantizer(config: Config) -> Codebook | Grid:
    if config.quantizer == "fsq":
        return Grid(LEVELS[config.codes])
    return Codebook(config.codes, config.code_channels or CODE_CHANNELS, on_sphere=config.quantizer == "cosine")


def _downscale(side: int) -> int:
    return 2 if side <= 20 else 4 if side <= 128 else 8
