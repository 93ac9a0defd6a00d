"""Pictures of any size as a model takes them, for models that know pictures of their own size alone."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from figment.core.types import ImageSpec


def resized(image: Tensor, spec: ImageSpec) -> Tensor:
    """(1, C, H, W) in [-1, 1] at the model's size: bicubic, with antialiasing; untouched where it has it."""
    size = (spec.height, spec.width)
    if image.shape[2:] == size:
        return image
    return F.interpolate(image, size, mode="bicubic", antialias=True).clamp(-1, 1)


def resized_mask(mask: Tensor, spec: ImageSpec) -> Tensor:
    """(1, 1, H, W) at the model's size: a pixel is new, 1, where any part of it is."""
    return F.adaptive_max_pool2d(mask, (spec.height, spec.width))
