"""A convolutional encoder and decoder: pictures to a small grid of codes, and back."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.blocks import ChannelNorm, pad_to_multiple, zero_init


class Encoder(nn.Module):
    """(B, C, H, W) -> (B, channels_out, H / 2^levels, W / 2^levels), sides rounded up."""

    def __init__(self, channels: int, channels_out: int, *, width: int, levels: int, depth: int):
        super().__init__()
        self.multiple = 2**levels
        widths = [width * min(2**level, 4) for level in range(levels + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1)]
        for level, after in enumerate(widths):
            if level:
                layers.append(nn.Conv2d(widths[level - 1], after, 3, stride=2, padding=1))
            layers += [ConvBlock(after) for _ in range(depth)]
        layers += [ChannelNorm(widths[-1]), nn.SiLU(), nn.Conv2d(widths[-1], channels_out, 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(pad_to_multiple(images, self.multiple))


class Decoder(nn.Module):
    """(B, channels, H / 2^levels, W / 2^levels) -> (B, channels_out, H, W)."""

    def __init__(self, channels: int, channels_out: int, size: tuple[int, int], *, width: int, levels: int, depth: int):
        super().__init__()
        self.size = size
        widths = [width * min(2**level, 4) for level in reversed(range(levels + 1))]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1)]
        for level, after in enumerate(widths):
            if level:
                # Nearest neighbour, then a convolution: a transposed one would leave a checkerboard.
                layers += [nn.Upsample(scale_factor=2), nn.Conv2d(widths[level - 1], after, 3, padding=1)]
            layers += [ConvBlock(after) for _ in range(depth)]
        layers += [ChannelNorm(width), nn.SiLU(), nn.Conv2d(width, channels_out, 3, padding=1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, codes: Tensor) -> Tensor:
        height, width = self.size
        return self.layers(codes)[..., :height, :width]


class ConvBlock(nn.Module):
    """Two convolutions on a residual branch."""

    def __init__(self, width: int):
        super().__init__()
        self.norm_in, self.norm_out = ChannelNorm(width), ChannelNorm(width)
        self.conv_in = nn.Conv2d(width, width, 3, padding=1)
        self.conv_out = zero_init(nn.Conv2d(width, width, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        hidden = self.conv_in(F.silu(self.norm_in(images)))
        return images + self.conv_out(F.silu(self.norm_out(hidden)))
