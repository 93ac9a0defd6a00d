"""Latent diffusion: a rectified flow over the codes of a trained autoencoder, many times cheaper than over pixels.

    z = (E(x) - mean) / deviation,   then as in `flow`:   z_t = (1 - t) z + t n,   loss = |v(z_t, t) - (n - z)|^2

Rombach et al. 2022, section 3. The autoencoder (any run of a family that encodes) is read once, when training starts,
and travels inside this run from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import torch
import tyro
from torch import Tensor, nn

from figment.core.checkpoint import Inner, load_model
from figment.core.config import Scale, TrainConfig
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, Encodes, ImageSpec, Loss, Phase
from figment.losses.denoising import logit_normal_times, rows
from figment.nets import backbone
from figment.nets.backbone import Backbone, BackboneConfig
from figment.nets.embeddings import drop_condition
from figment.samplers import Sampling, draw

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99)

RUNS = {"autoencoder": "autoencoder"}  # settings that name a run, each with a family that will do


@dataclass(frozen=True)
class Config(BackboneConfig):
    """Which codes, and the network that learns them."""

    autoencoder: str = ""
    """Run of a family that encodes, such as autoencoder, trained on pictures of the same size."""
    inner: Annotated[Inner | None, tyro.conf.Suppress] = field(default=None, metadata={"recorded": True})
    """How the autoencoder is built; recorded when training starts."""

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


def complete(config: Config, spec: ImageSpec) -> Config:
    """The config with the autoencoder's own.

    Raises ConfigError, CapabilityError or DataError for a run that is none or does not fit.
    """
    if not config.autoencoder:
        raise ConfigError(
            "--family.autoencoder: give the run of an autoencoder; train one with 'figment train autoencoder'"
        )
    loaded = load_model(Path(config.autoencoder))
    if not isinstance(loaded.model, Encodes):
        raise CapabilityError(
            f"--family.autoencoder {config.autoencoder}: a '{loaded.family}' has no codes; give an autoencoder's run"
        )
    if loaded.spec.shape != spec.shape:
        raise DataError(f"--family.autoencoder {config.autoencoder}: made for {loaded.spec}, the dataset has {spec}")
    return replace(backbone.complete(config, spec), inner=Inner.of(loaded))


class LatentModel(nn.Module):
    """Velocity network of codes, and the autoencoder, with the faces Generates, Denoises (codes) and Encodes."""

    sigma_min, sigma_max = 0.02, 80.0

    def __init__(self, config: Config, spec: ImageSpec, autoencoder: Any):
        super().__init__()
        self.autoencoder = autoencoder.eval()
        with torch.no_grad():
            codes = autoencoder.encode(torch.zeros(1, *spec.shape))
        # A plain vector of latents is a picture of one pixel.
        self.code_shape, self.latent_shape = tuple(codes.shape[1:]), (*codes.shape[1:], 1, 1)[:3]
        channels, height, width = self.latent_shape
        self.net = Backbone(config, replace(spec, channels=channels, height=height, width=width))
        self.standardize = nn.BatchNorm2d(channels, affine=False, momentum=None)  # mean over all of the training

    def train(self, mode: bool = True) -> LatentModel:
        super().train(mode)
        self.autoencoder.eval()  # its statistics are not this run's to change
        return self

    def encode(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, *latent_shape), each channel with mean 0 and deviation 1 over the dataset."""
        return self.standardize(self.autoencoder.encode(images).float().view(-1, *self.latent_shape))

    def decode(self, latents: Tensor) -> Tensor:
        norm: Any = self.standardize
        mean, variance = (part.view(1, -1, 1, 1) for part in (norm.running_mean, norm.running_var))
        codes = latents * (variance + norm.eps).sqrt() + mean
        return self.autoencoder.decode(codes.view(-1, *self.code_shape)).clamp(-1, 1)

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """Of latents, with sigma in their units."""
        t = sigma / (1 + sigma)
        z_t = noisy * rows(1 - t, noisy)
        return z_t - rows(t, noisy) * self.net(z_t, condition, t)

    def noise_shape(self) -> tuple[int, ...]:
        return self.latent_shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return self.decode(draw(self, noise, condition, settings or Sampling()))


class LatentObjective(Objective[LatentModel]):
    def __init__(self, model: LatentModel, config: Config):
        super().__init__(model)
        self.config = config

    def begin(self) -> None:
        super().begin()
        assert self.config.inner, "complete() has recorded it"
        self.model.autoencoder.load_state_dict(self.config.inner.weights(Path(self.config.autoencoder)))

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("main", updates=("model.net",), loss=self.loss),)

    def loss(self, batch: Batch) -> Loss:
        with torch.no_grad():
            z = self.model.encode(batch.images)
        n = torch.randn(z.shape).to(z)
        t = logit_normal_times(len(z), device=z.device)
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        v = self.model.net(z + rows(t, z) * (n - z), condition, t)
        return Loss({"velocity": (v - (n - z)).square().mean()})


def build(config: Config, spec: ImageSpec) -> Objective:
    """A velocity network for the codes of the autoencoder that `complete` has recorded.

    Raises ConfigError where there is none.
    """
    if config.inner is None:
        config = complete(config, spec)
    assert config.inner
    return LatentObjective(LatentModel(config, spec, config.inner.build()), config)
