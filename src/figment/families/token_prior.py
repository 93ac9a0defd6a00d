"""Token prior: a transformer that tells a picture code by code, in the codes of a trained tokenizer.

    p(s | y) = prod_i p(s_i | s_1 ... s_{i-1}, y),   loss = -log p(s | y) / codes

(van den Oord et al. 2017, section 3.3; with captions: Ramesh et al. 2021, section 2.) y: class, attributes or caption.
The tokenizer (any run of a family that tokenizes, such as vqvae) is read once, when training starts, and travels inside
this run from then on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.checkpoint import Inner, load_model
from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss, Phase, Tokenizes
from figment.nets.embeddings import KINDS, Kind, drop_condition, told_spec
from figment.nets.transformer import CodeTransformer

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99, clip_norm=1.0)

RUNS = {"tokenizer": "vqvae"}  # settings that name a run, each with a family that will do


@dataclass(frozen=True)
class Config:
    """Which codes, and the network that learns them."""

    tokenizer: str = ""
    """Run of a family that tokenizes, such as vqvae, trained on pictures of the same size."""
    width: int = 192
    """Channels of the transformer."""
    depth: int = 4
    """Its blocks."""
    dropout: float = 0.1
    """Share of every block's answer that is left out in training, against learning by heart."""
    told: tuple[Kind, ...] = KINDS
    """What the network is told of a picture, if the dataset has it: captions alone are learnt faster than all."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their condition, so that both ways are learnt."""
    inner: Annotated[Inner | None, tyro.conf.Suppress] = field(default=None, metadata={"recorded": True})
    """How the tokenizer is built; recorded when training starts."""

    def __post_init__(self):
        check_range("family.width", self.width, 16, 4096)
        check_range("family.depth", self.depth, 1, 48)
        check_range("family.dropout", self.dropout, 0, 0.9)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=64, depth=2), "small": cls(), "base": cls(width=512, depth=8)}[scale]


@dataclass(frozen=True)
class Sampling:
    """How codes are chosen."""

    temperature: float = 1.0
    """Below 1 likely codes become likelier: safer pictures, more alike."""
    top_k: int = 0
    """Choose among this many likeliest codes; 0: among all."""
    top_p: float = 1.0
    """Choose among the fewest likeliest codes that have this probability together; 1: among all."""
    guidance: float = 1.5
    """How strongly the condition is followed; 1 is the plain model, and takes half the time."""

    CHOICES: ClassVar[Mapping[str, tuple[float, ...]]] = {
        "guidance": (1.0, 1.25, 1.5, 2.0, 3.0),
        "temperature": (0.8, 0.9, 1.0, 1.1),
        "top_p": (0.9, 0.95, 0.98, 1.0),
    }

    def __post_init__(self):
        check_range("sampling.temperature", self.temperature, 0.01, 10)
        check_range("sampling.top_k", self.top_k, 0, 65536)
        check_range("sampling.top_p", self.top_p, 0.01, 1)
        check_range("sampling.guidance", self.guidance, 0, 20)


def complete(config: Config, spec: ImageSpec) -> Config:
    """The config with the tokenizer's own.

    Raises ConfigError, CapabilityError or DataError for a run that is none or does not fit.
    """
    if not config.tokenizer:
        raise ConfigError("--family.tokenizer: give the run of a tokenizer; train one with 'figment train vqvae'")
    loaded = load_model(Path(config.tokenizer))
    if not isinstance(loaded.model, Tokenizes):
        raise CapabilityError(
            f"--family.tokenizer {config.tokenizer}: a '{loaded.family}' has no discrete codes; give a vqvae's run"
        )
    if loaded.spec.shape != spec.shape:
        raise DataError(f"--family.tokenizer {config.tokenizer}: made for {loaded.spec}, the dataset has {spec}")
    return replace(config, inner=Inner.of(loaded))


class TokenPriorModel(nn.Module):
    """Transformer and tokenizer with the faces Generates and Completes."""

    def __init__(self, config: Config, spec: ImageSpec, tokenizer: Any):
        super().__init__()
        self.tokenizer = tokenizer.eval()
        with torch.no_grad():
            self.places = tokenizer.tokenize(torch.zeros(1, *spec.shape)).shape[1]
        sizes = {"width": config.width, "depth": config.depth}
        told = told_spec(spec, config.told)
        self.net = CodeTransformer(told, tokenizer.vocabulary, self.places, **sizes, dropout=config.dropout)

    def train(self, mode: bool = True) -> TokenPriorModel:
        super().train(mode)
        self.tokenizer.eval()  # its statistics are not this run's to change
        return self

    def noise_shape(self) -> tuple[int]:
        return (self.places,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        none = torch.zeros(len(noise), self.places, dtype=torch.bool, device=noise.device)
        return self.tokenizer.detokenize(self.filled(none.long(), none, noise, condition, settings)).clamp(-1, 1)

    def complete(
        self,
        images: Tensor,
        known: Tensor,
        noise: Tensor,
        condition: Condition | None = None,
        settings: Sampling | None = None,
    ) -> Tensor:
        """Codes are kept that say more of what is known than of the gap, the others are drawn in their order.

        What comes later than a gap cannot steer what is drawn into it: give the top of a picture rather than its foot.
        """
        known = known.expand_as(images)
        mean = (images * known).sum((1, 2, 3), keepdim=True) / known.sum((1, 2, 3), keepdim=True).clamp_min(1)
        seen = self.tokenizer.tokenize(torch.where(known, images, mean))
        gap_share = (~known[:, 0]).flatten(1).float() @ self.footprints().to(images).T
        codes = self.filled(seen, gap_share < 0.5, noise, condition, settings)
        return torch.where(known, images, self.tokenizer.detokenize(codes).clamp(-1, 1))

    def footprints(self) -> Tensor:
        """Where each code is seen: its share of the change that another one in its place makes, (places, H * W)."""
        plain = torch.zeros(1, self.places, dtype=torch.long, device=next(self.parameters()).device)
        other = plain + torch.eye(self.places, dtype=torch.long).to(plain) * (self.tokenizer.vocabulary // 2)
        change = self.tokenizer.detokenize(other) - self.tokenizer.detokenize(plain)
        return F.normalize(change.square().sum(1).flatten(1), p=1, dim=1)

    def filled(
        self, given: Tensor, kept: Tensor, noise: Tensor, condition: Condition | None, settings: Sampling | None
    ) -> Tensor:
        """Codes (B, places) drawn one after the other, but for those that are kept, (B, places) bool, as given.

        The noise of a place, seen through the normal CDF, decides which of its likely codes it takes.
        """
        settings = settings or Sampling()
        uniforms = torch.special.ndtr(noise.double())
        is_asked = condition is not None and any(part is not None for part in vars(condition).values())
        asked = self.net.begin(condition, len(noise))
        free = self.net.begin(None, len(noise)) if is_asked and settings.guidance != 1 else None
        codes: list[Tensor] = []
        for place in range(self.places):
            last = codes[-1] if codes else None
            logits = self.net.following(asked, last).float()
            if free is not None:  # Ho and Salimans 2022, equation 6, of logits
                other = self.net.following(free, last).float()
                logits = other + settings.guidance * (logits - other)
            code = picked(likely(logits / settings.temperature, settings), uniforms[:, place])
            codes.append(torch.where(kept[:, place], given[:, place], code))
        return torch.stack(codes, 1)


def likely(logits: Tensor, settings: Sampling) -> Tensor:
    """Logits (B, K) with those that top_k or top_p leaves out at minus infinity; the likeliest always stays.

    top_p: Holtzman et al. 2020, equation 2.
    """
    if 0 < settings.top_k < logits.shape[1]:
        logits = logits.masked_fill(logits < logits.topk(settings.top_k).values[:, -1:], -math.inf)
    if settings.top_p < 1:
        shares, order = logits.softmax(1).sort(dim=1, descending=True, stable=True)
        needed = shares.cumsum(1) - shares < settings.top_p  # what is likelier is not enough yet
        logits = logits.masked_fill(~torch.zeros_like(needed).scatter(1, order, needed), -math.inf)
    return logits


def picked(logits: Tensor, uniforms: Tensor) -> Tensor:
    """Codes (B,) drawn by `uniforms` (B,) in [0, 1]: the first whose cumulative probability lies above."""
    cumulative = logits.double().softmax(1).cumsum(1)
    # A uniform that was rounded up to 1 takes the last code that has any probability.
    below = cumulative <= (uniforms.clamp_max(1 - 1e-12)[:, None] * cumulative[:, -1:])
    return below.sum(1)


class TokenPriorObjective(Objective[TokenPriorModel]):
    def __init__(self, model: TokenPriorModel, config: Config):
        super().__init__(model)
        self.config = config

    def begin(self) -> None:
        assert self.config.inner, "complete() has recorded it"
        self.model.tokenizer.load_state_dict(self.config.inner.weights(Path(self.config.tokenizer)))

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("main", updates=("model.net",), loss=self.loss),)

    def loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            s = self.model.tokenizer.tokenize(batch.images)
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        logits = self.model.net(s, condition).float()
        nats = F.cross_entropy(logits.flatten(0, 1), s.flatten())
        return Loss({"code_nats": nats}, {"bits_a_picture": nats.detach() * self.model.places / math.log(2)})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A transformer for the codes of the tokenizer that `complete` has recorded.

    Raises ConfigError where there is none.
    """
    if config.inner is None:
        config = complete(config, spec)
    assert config.inner
    return TokenPriorObjective(TokenPriorModel(config, spec, config.inner.build()), config)
