"""Pictures to pictures of the same size, and a critic of patches: the players of image-to-image translation.

Norms are of each picture by itself, so a row depends on that row alone. Any height and width.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.blocks import pad_to_multiple

MOST_WIDE = 8  # times the width of the largest size


class SkipTranslator(nn.Module):
    """Halved level by level, then doubled with what was seen on the way down: (B, before, H, W) -> (B, after, H, W).

    Isola et al. 2017, section 3.2.1: edges that both pictures share take the shortcut. dropout: of the lowest levels
    while training, which is all the randomness there is (section 3.2).
    """

    def __init__(self, channels: tuple[int, int], width: int, levels: int, dropout: float):
        super().__init__()
        widths = [width * min(2**level, MOST_WIDE) for level in range(levels + 1)]
        self.multiple = 2**levels
        self.enter = nn.Conv2d(channels[0], width, 3, padding=1)
        self.down = nn.ModuleList(_layer(nn.Conv2d(a, b, 4, 2, 1, bias=False)) for a, b in itertools.pairwise(widths))
        self.up = nn.ModuleList(
            _layer(nn.ConvTranspose2d(above * (1 if level == levels - 1 else 2), below, 4, 2, 1, bias=False))
            for level, (below, above) in reversed(list(enumerate(itertools.pairwise(widths))))
        )
        self.dropout, self.wide = nn.Dropout(dropout), levels // 2
        self.leave = nn.Conv2d(2 * width, channels[1], 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        seen = [F.leaky_relu(self.enter(pad_to_multiple(images, self.multiple)), 0.2)]
        for layer in self.down:
            seen.append(F.leaky_relu(layer(seen[-1]), 0.2))
        hidden = seen.pop()
        for level, layer in enumerate(self.up):
            hidden = F.relu(layer(hidden))
            hidden = self.dropout(hidden) if level < self.wide else hidden
            hidden = torch.cat([hidden, seen.pop()], 1)
        return self.leave(hidden)[..., :height, :width].float().tanh()


class ResidualTranslator(nn.Module):
    """Halved twice, changed by residual blocks, doubled twice: (B, C, H, W) -> (B, C, H, W).

    Zhu et al. 2017, section 4, after Johnson et al. 2016. What is learnt is the change: norms forget how large a number
    was, and without the picture itself beside them flat grounds and colours are hard to bring back. Answers may leave
    [-1, 1].
    """

    def __init__(self, channels: int, width: int, blocks: int):
        super().__init__()
        wide = 4 * width
        self.layers = nn.Sequential(
            *(_layer(nn.Conv2d(channels, width, 7, padding=3, padding_mode="replicate", bias=False)), nn.ReLU()),
            *(_layer(nn.Conv2d(width, 2 * width, 3, 2, 1, bias=False)), nn.ReLU()),
            *(_layer(nn.Conv2d(2 * width, wide, 3, 2, 1, bias=False)), nn.ReLU()),
            *(ResidualBlock(wide) for _ in range(blocks)),
            *(nn.Upsample(scale_factor=2), _layer(nn.Conv2d(wide, 2 * width, 3, 1, 1, bias=False)), nn.ReLU()),
            *(nn.Upsample(scale_factor=2), _layer(nn.Conv2d(2 * width, width, 3, 1, 1, bias=False)), nn.ReLU()),
            nn.Conv2d(width, channels, 7, padding=3, padding_mode="replicate"),
        )

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        return images + self.layers(pad_to_multiple(images, 4))[..., :height, :width].float()


class ResidualBlock(nn.Module):
    """Two convolutions beside the way through."""

    def __init__(self, width: int):
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, 1, 1, padding_mode="replicate", bias=False) for _ in range(2))
        self.layers = nn.Sequential(_layer(first), nn.ReLU(), _layer(second))

    def forward(self, images: Tensor) -> Tensor:
        return images + self.layers(images)


class PatchCritic(nn.Module):
    """A logit for every patch, high for real: (B, C, H, W) -> (B, 1, h, w) float32.

    Isola et al. 2017, section 3.2.2: what is far apart the other losses see to. halvings: how large a patch is; 3 of
    them see 70 pixels a side.
    """

    def __init__(self, channels: int, width: int, halvings: int):
        super().__init__()
        widths = [width * min(2**level, MOST_WIDE) for level in range(halvings + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for level, (before, after) in enumerate(itertools.pairwise(widths)):
            stride = 2 if level + 1 < halvings else 1
            layers += [_layer(nn.Conv2d(before, after, 3 if stride == 1 else 4, stride, 1, bias=False))]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).float()


def levels_of(height: int, width: int, smallest: int = 4, most: int = 6) -> int:
    """How often pictures of this size are halved, so that no side falls below `smallest`: 28x28 twice, 256x256 six."""
    return max(1, min(most, (min(height, width) // smallest).bit_length() - 1))


def _layer(conv: nn.Conv2d | nn.ConvTranspose2d) -> nn.Sequential:
    """A convolution with small first weights (Isola et al. 2017, appendix 6.2), and a norm of each picture."""
    nn.init.normal_(conv.weight, 0.0, 0.02)
    return nn.Sequential(conv, nn.GroupNorm(1, conv.out_channels))
