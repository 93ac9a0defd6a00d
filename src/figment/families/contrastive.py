"""Contrastive: a residual CNN that learns, without labels, to recognise a picture in two changed versions of it.

    loss = NT-Xent over two views of each picture (Chen et al. 2020, SimCLR, equation 1)

It is the judge of datasets without classes: what survives shift, rotation, zoom, brightness and grain is content.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.augment import augment
from figment.core.config import Augment, Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import Batch, ImageSpec, Loss, Phase
from figment.losses.contrast import nt_xent
from figment.nets.mlp import plain_mlp
from figment.nets.resnet import ResNetTrunk

TRAIN = TrainConfig(batch_size=256, lr=2e-3, weight_decay=0.05, warmup=0.1, ema_half_life=5_000)


@dataclass(frozen=True)
class Config:
    """Size of the network, and how much the two views of a picture differ."""

    width: int = 32
    """Channels of the first stage; the later ones have twice, then four times as many."""
    temperature: float = 0.2
    """Sharpness of the comparison: lower looks harder at the most similar pictures."""
    zoom: float = 0.6
    """Smallest share of a picture's side that a view shows."""
    rotate: float = 10.0
    """Largest rotation of a view, in degrees."""
    color: float = 0.3
    """Largest change of brightness and contrast of a view."""
    noise: float = 0.1
    """Standard deviation of a view's grain, in units of [-1, 1] images."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 512)
        check_range("family.temperature", self.temperature, 0.01, 10)
        check_range("family.zoom", self.zoom, 0.1, 1)
        check_range("family.rotate", self.rotate, 0, 180)
        check_range("family.color", self.color, 0, 1)
        check_range("family.noise", self.noise, 0, 2)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=64)}[scale]


class ContrastiveModel(nn.Module):
    """The trunk alone is what is used, with the face Embeds; the projection serves training only."""

    def __init__(self, trunk: ResNetTrunk):
        super().__init__()
        self.trunk = trunk

    def features(self, images: Tensor) -> Tensor:
        return self.trunk(images)


class ContrastiveObjective(Objective[ContrastiveModel]):
    def __init__(self, model: ContrastiveModel, config: Config):
        super().__init__(model)
        self.config = config
        self.project = plain_mlp([model.trunk.width, model.trunk.width, 64])
        self.views = Augment(rotate=config.rotate, color=config.color, noise=config.noise)

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("main", updates=("model", "project"), loss=self.loss),)

    def loss(self, batch: Batch) -> Loss:
        first, second = self.view(batch.images), self.view(batch.images)
        first, second = self.project(self.model.features(torch.cat([first, second]))).chunk(2)
        return Loss({"nt_xent": nt_xent(first, second, self.config.temperature)})

    def view(self, images: Tensor) -> Tensor:
        """A random part of each picture, enlarged to full size, then turned, tinted and grained."""
        count = len(images)
        zoom = self.config.zoom + (1 - self.config.zoom) * torch.rand(count)
        offset = (1 - zoom)[:, None] * (2 * torch.rand(count, 2) - 1)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0] = theta[:, 1, 1] = zoom
        theta[:, :, 2] = offset
        where = F.affine_grid(theta, list(images.shape), align_corners=False).to(images.device)
        cut = F.grid_sample(images, where, mode="bilinear", padding_mode="reflection", align_corners=False)
        seed = int(torch.randint(2**62, ()))
        rows = np.arange(count)
        return augment(cut.cpu(), self.views, seed=seed, epochs=np.zeros_like(rows), indices=rows).to(images.device)


def build(config: Config, spec: ImageSpec) -> Objective:
    """A feature extractor for pictures of this spec; labels are not looked at."""
    widths = (config.width, 2 * config.width, 4 * config.width)
    trunk = ResNetTrunk(spec.channels, (spec.height, spec.width), widths)
    return ContrastiveObjective(ContrastiveModel(trunk), config)
