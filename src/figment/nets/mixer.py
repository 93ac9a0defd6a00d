"""Token mixer (Tolstikhin et al. 2021): for tiny pictures, where every place may have weights of its own."""

from __future__ import annotations

from torch import Tensor, nn

from figment.nets.attention import Text
from figment.nets.tokens import TokenNet


def mixer(
    shape: tuple[int, int, int], channels_out: int, *, width: int, depth: int, condition_width: int, patch: int
) -> TokenNet:
    """For pictures of one shape, (C, H, W): the weights that mix its tokens belong to their places."""
    channels, height, breadth = shape
    places = -(-height // patch) * -(-breadth // patch)
    mixes = [PlaceMlp(places) for _ in range(depth)]
    return TokenNet((channels, channels_out), width=width, condition_width=condition_width, patch=patch, mixes=mixes)


class PlaceMlp(nn.Module):
    """One MLP along the places, the same for every channel: (B, N, width) -> the same shape. It knows no text."""

    def __init__(self, places: int):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(places, 2 * places), nn.GELU(), nn.Linear(2 * places, places))

    def forward(self, tokens: Tensor, text: Text | None = None) -> Tensor:
        return self.mlp(tokens.transpose(1, 2)).transpose(1, 2)
