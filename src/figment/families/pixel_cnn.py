"""Pixel CNN: predict each value of a picture from all values before it, by masked convolutions.

    p(x) = prod_i p(x_i | x_1, ..., x_{i-1}, c)                     (van den Oord et al. 2016b, equations 1 and 3)

The probability of a picture is exact, and so are its bits. Pictures are drawn value by value, each where the cumulative
probability passes a uniform number of its own, so a picture is a function of its noise; what is known of a picture can
be kept, and the rest drawn to match.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import ImageSpec
from figment.families._autoregressive import PixelModel, PixelObjective, Sampling
from figment.losses.distributions import Likelihood, parameters_of
from figment.nets.embeddings import KINDS, Kind
from figment.nets.masked import GatedPixelCnn

__all__ = ["TRAIN", "Config", "Sampling", "build"]

TRAIN = TrainConfig(batch_size=16, lr=1e-3, beta2=0.99, clip_norm=1.0)


@dataclass(frozen=True)
class Config:
    """Size of the network, and what it says of each value."""

    width: int = 32
    """Features of a layer."""
    depth: int = 8
    """Layers; each reaches half a kernel further up and to the left."""
    kernel: int = 5
    """Pixels that a layer looks at in each row above; odd."""
    likelihood: Likelihood = "categorical"
    """What is said of each value: bernoulli for black and white, categorical any of 256, logistic a smooth mixture."""
    told: tuple[Kind, ...] = KINDS
    """What the network is told of a picture, if the dataset has it; nothing for the plain likelihood."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 2048)
        check_range("family.depth", self.depth, 2, 64)
        check_range("family.kernel", self.kernel, 3, 15)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)
        if self.kernel % 2 == 0:
            raise ConfigError(f"--family.kernel {self.kernel}: give an odd number, such as {self.kernel + 1}")

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16, depth=3, kernel=3), "small": cls(), "base": cls(width=96, depth=12)}[scale]


def build(config: Config, spec: ImageSpec) -> Objective:
    """A masked network for pictures of this spec."""

    def net(condition_width: int) -> nn.Module:
        sizes = {"width": config.width, "depth": config.depth, "kernel": config.kernel}
        return GatedPixelCnn(spec.shape, parameters_of(config.likelihood), condition_width, **sizes)

    model = PixelModel(spec, config.likelihood, config.told, 2 * config.width, net)
    return PixelObjective(model, config.told, config.condition_dropout)
