"""A picture as a row of patches, and a stack of blocks over them: what DiT and the token mixer have in common."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.attention import Text, grid_positions
from figment.nets.blocks import Through, pad_to_multiple, zero_init


class TokenNet(nn.Module):
    """Pictures, a condition vector and maybe a text in, pictures of the same size out.

    channels: of the picture and of the answer. mixes: for each block, the module that lets tokens know of each other,
    called with tokens (B, N, width) and the text. patch: pixels along each side of a token; sizes that it does not
    divide are padded, and the answer is cut.
    """

    compiles = True

    def __init__(
        self, channels: tuple[int, int], *, width: int, condition_width: int, patch: int, mixes: Iterable[nn.Module]
    ):
        super().__init__()
        self.patch = patch
        self.enter = nn.Linear(channels[0] * patch**2, width)
        self.blocks = nn.ModuleList(TokenBlock(mix, width, condition_width) for mix in mixes)
        self.modulation = nn.Sequential(nn.SiLU(), zero_init(nn.Linear(condition_width, 2 * width)))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.through = Through(channels, condition_width)
        self.leave = zero_init(nn.Linear(width, channels[1] * patch**2))

    def forward(self, images: Tensor, condition: Tensor, text: Text | None = None) -> Tensor:
        """images (B, C, H, W), condition (B, condition_width) -> (B, channels_out, H, W)"""
        height, width = images.shape[-2:]
        patches = F.pixel_unshuffle(pad_to_multiple(images, self.patch), self.patch)
        rows, columns = patches.shape[-2:]
        hidden = self.enter(patches.flatten(2).transpose(1, 2))
        hidden = hidden + grid_positions(rows, columns, hidden.shape[-1]).to(hidden)
        for block in self.blocks:
            hidden = block(hidden, condition, text)
        scale, shift = self.modulation(condition)[:, None].chunk(2, dim=2)
        hidden = self.leave(self.norm(hidden) * (1 + scale) + shift)
        patches = hidden.transpose(1, 2).unflatten(2, (rows, columns))
        answer = F.pixel_shuffle(patches, self.patch)[..., :height, :width]
        return answer + self.through(images, condition)


class TokenBlock(nn.Module):
    """Mixing of tokens, then an MLP on each, both scaled, shifted and gated (adaLN-Zero, Peebles and Xie 2023, 3.2)."""

    def __init__(self, mix: nn.Module, width: int, condition_width: int):
        super().__init__()
        self.modulation = nn.Sequential(nn.SiLU(), zero_init(nn.Linear(condition_width, 6 * width)))
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.mix = mix
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor, condition: Tensor, text: Text | None) -> Tensor:
        scale, shift, gate, *second = self.modulation(condition)[:, None].chunk(6, dim=2)
        hidden = hidden + gate * self.mix(self.norm(hidden) * (1 + scale) + shift, text)
        scale, shift, gate = second
        return hidden + gate * self.mlp(self.norm(hidden) * (1 + scale) + shift)
