"""Random changes of training pictures, in whole batches, each drawn from (seed, epoch, index)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.config import Augment
from figment.core.noise import mix, uniform


def augment(images: Tensor, settings: Augment, *, seed: int, epochs: np.ndarray, indices: np.ndarray) -> Tensor:
    """images (B, C, H, W) in [-1, 1], epochs and indices (B,) of the pictures in their dataset -> same shape and range.

    The same (seed, epoch, index) gives the same change in any batch. Alpha and grey take part in geometry, alpha not
    in colour.
    """
    if settings == Augment():
        return images
    draw = torch.from_numpy(uniform(seed, epochs, indices, 8))
    is_mirrored = (draw[:, 0] >= 0.5) & settings.flip
    shift = ((draw[:, 1:3] * (2 * settings.crop + 1)).floor() - settings.crop).long()
    if settings.rotate:
        images = _turn(images, is_mirrored, shift, (draw[:, 3] * 2 - 1) * math.radians(settings.rotate))
    elif settings.flip or settings.crop:
        images = _move(images, is_mirrored, shift)
    if settings.color:
        images = _recolor(images, settings.color, draw)
    if settings.noise or settings.salt_pepper:
        images = _grain(images, settings, mix(seed, 1), epochs, indices)
    return images


def _move(images: Tensor, is_mirrored: Tensor, shift: Tensor) -> Tensor:
    """Mirror those that are to be, (B,), and shift by whole pixels, (B, 2); over the border comes a reflection."""
    height, width = images.shape[-2:]
    rows = _reflect(torch.arange(height) + shift[:, :1], height)  # (B, H)
    columns = _reflect(torch.arange(width) + shift[:, 1:], width)  # (B, W)
    columns = torch.where(is_mirrored[:, None], width - 1 - columns, columns)
    pixels = (rows[:, :, None] * width + columns[:, None, :]).flatten(1)
    return images.flatten(2).gather(2, pixels[:, None].expand(-1, images.shape[1], -1)).view_as(images)


def _turn(images: Tensor, is_mirrored: Tensor, shift: Tensor, angle: Tensor) -> Tensor:
    """The same, turned by an angle in radians, (B,), too: by interpolation."""
    images = torch.where(is_mirrored[:, None, None, None], images.flip(-1), images)
    height, width = images.shape[-2:]
    cos, sin = angle.cos(), angle.sin()
    # affine_grid speaks of [-1, 1] on both axes: the ratio keeps a rotation rigid in non-square pictures.
    theta = torch.stack(
        [
            torch.stack([cos, -sin * height / width, shift[:, 1] * 2 / width], 1),
            torch.stack([sin * width / height, cos, shift[:, 0] * 2 / height], 1),
        ],
        1,
    )
    where = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, where, mode="bilinear", padding_mode="reflection", align_corners=False)


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond [0, size) folded back, the border pixel not repeated."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    index = index.remainder(period)
    return torch.where(index < size, index, period - index)


def _recolor(images: Tensor, strength: float, draw: Tensor) -> Tensor:
    """Contrast about the picture's mean, then brightness, each changed by a factor or offset of up to `strength`."""
    color = images[:, :3] if images.shape[1] == 4 else images
    contrast = 1 + (draw[:, 4] * 2 - 1)[:, None, None, None] * strength
    brightness = (draw[:, 5] * 2 - 1)[:, None, None, None] * strength
    mean = color.mean((1, 2, 3), keepdim=True)
    color = ((color - mean) * contrast + mean + brightness).clamp(-1, 1)
    return torch.cat([color, images[:, 3:]], 1) if images.shape[1] == 4 else color


def _grain(images: Tensor, settings: Augment, seed: int, epochs: np.ndarray, indices: np.ndarray) -> Tensor:
    batch, channels, height, width = images.shape
    if settings.noise:
        count = channels * height * width
        draw = torch.from_numpy(uniform(seed, epochs, indices, 2 * count))
        # Box and Muller 1958: two uniform numbers to one normal.
        normal = (-2 * (1 - draw[:, :count]).log()).sqrt() * (2 * math.pi * draw[:, count:]).cos()
        images = (images + settings.noise * normal.view_as(images)).clamp(-1, 1)
    if settings.salt_pepper:
        draw = torch.from_numpy(uniform(mix(seed, 2), epochs, indices, height * width)).view(batch, 1, height, width)
        half = settings.salt_pepper / 2
        images = torch.where(draw < half, -1.0, torch.where(draw > 1 - half, 1.0, images))
    return images
