"""Pixel RNN: predict each value of a picture from all values before it, by a state that is carried along.

    h_i = cell(h_{i-1}, what is before i);   p(x) = prod_i p(x_i | h_i)   (van den Oord et al. 2016a, equation 1)

The probability of a picture is exact, and so are its bits. Pictures are drawn value by value, each where the cumulative
probability passes a uniform number of its own, so a picture is a function of its noise; what is known of a picture can
be kept, and the rest drawn to match.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.objective import Objective
from figment.core.types import ImageSpec
from figment.families._autoregressive import PixelModel, PixelObjective, Sampling
from figment.losses.distributions import Likelihood, parameters_of
from figment.nets.embeddings import KINDS, Kind
from figment.nets.recurrent import Cell, Order, PixelRecurrence

__all__ = ["TRAIN", "Config", "Sampling", "build"]

TRAIN = TrainConfig(batch_size=16, lr=1e-3, beta2=0.99, clip_norm=1.0)


@dataclass(frozen=True)
class Config:
    """Size of the network, and what it says of each value."""

    cell: Cell = "lstm"
    """How the state changes: lstm keeps most, gru has fewer weights, rnn is the plain one."""
    order: Order = "rows"
    """Where the state goes: rows, down from row to row and along each row anew; pixels, through all values in turn."""
    width: int = 128
    """Units of a state."""
    depth: int = 1
    """Layers of a state."""
    likelihood: Likelihood = "categorical"
    """What is said of each value: bernoulli for black and white, categorical any of 256, logistic a smooth mixture."""
    told: tuple[Kind, ...] = KINDS
    """What the network is told of a picture, if the dataset has it; nothing for the plain likelihood."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their label, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 4096)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=32), "small": cls(), "base": cls(width=384, depth=2)}[scale]


def build(config: Config, spec: ImageSpec) -> Objective:
    """A recurrent network for pictures of this spec."""

    def net(condition_width: int) -> nn.Module:
        return PixelRecurrence(
            spec.shape,
            parameters_of(config.likelihood),
            condition_width,
            cell=config.cell,
            order=config.order,
            width=config.width,
            depth=config.depth,
        )

    model = PixelModel(spec, config.likelihood, config.told, config.width, net)
    return PixelObjective(model, config.told, config.condition_dropout)
