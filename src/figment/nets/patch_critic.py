"""A critic that judges every patch of a picture by itself: convolutions alone, and a grid of verdicts.

Isola et al. 2017, section 3.2.2; its weights are divided by their largest singular value in place of batch norm
(Miyato et al. 2018), so that it judges each picture alone.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.spectral import spectral


class PatchCritic(nn.Module):
    """Pictures to logits, high for real: (B, C, H, W) -> (B, patches), each of 20 by 20 pixels at two halvings."""

    def __init__(self, channels: int, width: int, halvings: int = 2):
        super().__init__()
        widths = [width * 2**level for level in range(halvings + 1)]
        self.enter = spectral(nn.Conv2d(channels, widths[0], 3, padding=1))
        self.halve = nn.ModuleList(spectral(nn.Conv2d(w, 2 * w, 4, 2, 1)) for w in widths[:-1])
        self.leave = spectral(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.enter(images), 0.2)
        for layer in self.halve:
            hidden = F.leaky_relu(layer(hidden), 0.2)
        return self.leave(hidden).flatten(1).float()
