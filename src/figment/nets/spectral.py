"""Weights divided by their largest singular value, so that a layer lengthens no vector."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

M = TypeVar("M", bound=nn.Module)


class Spectral(nn.Module):
    """W -> W / sigma(W), with sigma by one power iteration each time in training (Miyato et al. 2018, section 2.1).

    W is a weight (out, in, ...) with all but its first axis flattened. The direction that was found is a buffer: it
    follows the weights as they move, and a run that goes on has it.
    """

    direction: Tensor

    def __init__(self, rows: int):
        super().__init__()
        self.register_buffer("direction", F.normalize(torch.randn(rows), dim=0))

    def forward(self, weight: Tensor) -> Tensor:
        matrix = weight.flatten(1)
        with torch.no_grad():  # sums, because autocast would round a matrix product to bfloat16
            right = F.normalize((matrix * self.direction[:, None]).sum(0), dim=0)
            left = F.normalize((matrix * right).sum(1), dim=0)
            if self.training:
                self.direction.copy_(left)
        sigma = (left * (matrix * right).sum(1)).sum()  # u^T W v
        return weight / sigma


def spectral(layer: M) -> M:
    """The layer with its weight, orthogonal at first, divided by its largest singular value at every use.

    Brock et al. 2019, section 3: orthogonal initialisation, in both players.
    """
    weight, bias = layer.get_parameter("weight"), getattr(layer, "bias", None)
    nn.init.orthogonal_(weight)
    if bias is not None:
        nn.init.zeros_(bias)
    parametrize.register_parametrization(layer, "weight", Spectral(len(weight)))
    return layer


def raw_weights(network: nn.Module) -> list[Tensor]:
    """The weights under the division, of every layer that has one, but for embeddings."""
    layers = [layer for layer in network.modules() if not isinstance(layer, nn.Embedding)]
    return [
        layer.parametrizations["weight"].original  # type: ignore[index, union-attr]
        for layer in layers
        if parametrize.is_parametrized(layer, "weight")
    ]
