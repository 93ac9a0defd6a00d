"""Pictures as the published networks were fed: colour in bytes, and the resizes that give published numbers.

Four ways of resizing to 299 pixels are in use, and a score differs by tens of per cent between them, so each has a
name. `tf1`: bilinear as TensorFlow 1 does it, without half-pixel centres, as in Heusel et al. (2017) and ADM. `torch`:
bilinear of PyTorch without antialiasing, as in pytorch-fid. `clean`: bicubic with antialiasing, not rounded again, as
in Parmar et al., "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Resize = Literal["tf1", "torch", "clean"]


def colour_bytes(images: Tensor) -> Tensor:
    """(B, C, H, W) in [-1, 1] -> float32 (B, 3, H, W) of whole numbers, 0 to 255.

    Grey is repeated; what is transparent is laid on white.
    """
    pixels = (images.float() * 127.5 + 127.5).round().clamp(0, 255)
    if pixels.shape[1] == 4:
        alpha = pixels[:, 3:] / 255
        pixels = (pixels[:, :3] * alpha + 255 * (1 - alpha)).round()
    return pixels.expand(-1, 3, -1, -1)


def resized(pixels: Tensor, size: int, how: Resize) -> Tensor:
    """(B, 3, H, W) in [0, 255] -> (B, 3, size, size) as the Inception network takes it, about [-1, 1]."""
    if how == "tf1":
        across, down = (_tf1_weights(pixels.shape[axis], size).to(pixels) for axis in (3, 2))
        return (down @ pixels @ across.T - 128) / 128
    if how == "torch":
        return F.interpolate(pixels, (size, size), mode="bilinear", align_corners=False) / 127.5 - 1
    return (bicubic(pixels, size) - 128) / 128


def bicubic(pixels: Tensor, size: int) -> Tensor:
    """(B, 3, H, W) in [0, 255] -> (B, 3, size, size), with antialiasing, as Pillow resizes in floating point."""
    return F.interpolate(pixels, (size, size), mode="bicubic", align_corners=False, antialias=True).clamp(0, 255)


def standardised(pixels: Tensor, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """(B, 3, H, W) in [0, 255] -> the same in deviations from the mean; both are of values in [0, 1], one a channel."""
    centre, spread = (pixels.new_tensor(values).view(3, 1, 1) for values in (mean, deviation))
    return (pixels / 255 - centre) / spread


def _tf1_weights(before: int, after: int) -> Tensor:
    """(after, before): row i takes what lies at i * before / after, between its two neighbours."""
    place = torch.arange(after, dtype=torch.float32) * (before / after)
    low = place.floor().long()
    share = (place - low)[:, None]
    eye = torch.eye(before)
    return (1 - share) * eye[low] + share * eye[(low + 1).clamp_max(before - 1)]
