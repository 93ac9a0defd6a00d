"""What edits that draw with a model share: its settings, rows in parts, one size, and sampling from any sigma down."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core import plugins
from figment.core.noise import following
from figment.core.types import Condition, Encodes, ImageSpec, Progress, silent
from figment.edits import Request
from figment.samplers import Denoiser, Sampling, last

PART = 32  # pictures that are drawn at a time


def sampling_of(request: Request) -> Sampling:
    """How the model is sampled: as is asked, or as by default where it draws in some way of its own."""
    return request.settings if isinstance(request.settings, Sampling) else Sampling()


def rows_of(condition: Condition | None, rows: slice | list[int]) -> Condition | None:
    """Some rows of a condition, if there is one."""
    return None if condition is None else condition[rows]


def in_parts(draw: Callable[[slice], Tensor], count: int, progress: Progress = silent) -> Tensor:
    """`draw` of some rows after another, all of them at last: (count, ...)."""
    parts = []
    for low in range(0, count, PART):
        rows = slice(low, min(low + PART, count))
        parts.append(draw(rows))
        progress(rows.stop, count)
    return torch.cat(parts)


def finish(denoise: Denoiser, state: Tensor, sigmas: Tensor, noise: Tensor, settings: Sampling) -> Tensor:
    """What becomes of noisy pictures at sigmas[0]: (B, ...) -> (B, ...), not clamped.

    noise: (B, ...), from which a sampler that adds fresh noise derives it.
    """
    sampler = plugins.load("samplers", settings.sampler)
    start = state / sigmas[0]
    return last(sampler.sample(denoise, start, sigmas, noise_at=following(noise), **settings.of_sampler()))


def shown(model: Any, states: Tensor) -> Tensor:
    """What a model that denoises came to, pictures or latents, as pictures in [-1, 1]."""
    return (model.decode(states) if isinstance(model, Encodes) else states).clamp(-1, 1)


def fitted(image: Tensor, spec: ImageSpec | None) -> Tensor:
    """The middle of (1, C, H, W), as much of it as has the model's proportions, at the model's size."""
    assert spec is not None, "an edit that needs a model is told of its pictures"
    height, width = image.shape[-2:]
    scale = min(height / spec.height, width / spec.width)
    tall, wide = round(scale * spec.height), round(scale * spec.width)
    top, left = (height - tall) // 2, (width - wide) // 2
    return resized(image[..., top : top + tall, left : left + wide], (spec.height, spec.width))


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, C, H, W) in [-1, 1] at another size, by a bicubic filter that lets nothing through that would alias."""
    if tuple(images.shape[-2:]) == tuple(size):
        return images
    return F.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
