"""Changes of pictures that gradients pass through, made before a critic looks at real and generated ones alike.

A critic that sees few pictures learns them by heart; changed ones it cannot. Generated pictures are changed likewise,
so the generator still learns the unchanged ones (Zhao et al. 2020, section 3.3), as long as pictures are left alone
often enough: up to a strength of 0.8 (Karras et al. 2020b, section 2.2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from figment.core.config import check_range, refuse_changed
from figment.core.engine import whole_batch

Change = Literal["flip", "translate", "cutout", "color"]
MOST = 0.8  # Karras et al. 2020b, figure 3: above it changes leak into generated pictures


@dataclass(frozen=True)
class DiffAugment:
    """Settings of a family whose critic may be shown changed pictures."""

    augment: float = 0.0
    """Share of pictures changed before the critic sees them: 0.5 for a few hundred pictures, at most 0.8."""
    changes: tuple[Change, ...] = ("translate", "cutout", "color")
    """What they are changed by."""

    def __post_init__(self):
        check_range("family.augment", self.augment, 0, MOST)

    def check_new(self) -> None:
        """Raise ConfigError for a setting that would have no effect."""
        if not self.augment:
            why = "without --family.augment; give that too, such as --family.augment 0.5, or leave it out"
            refuse_changed("family", self, type(self), ("changes",), why)

    def shown(self, images: Tensor) -> Tensor:
        """What the critic is shown of pictures (B, C, H, W)."""
        return disturb(images, self.augment, self.changes if self.augment else ())


def disturb(images: Tensor, strength: Tensor | float, changes: Sequence[Change]) -> Tensor:
    """images (B, C, H, W) -> the same shape; each change is made to each picture with probability `strength`.

    flip: mirrored half of the time. translate: moved by up to 1/8 of each side, what comes in is grey. cutout: a grey
    box of half of each side. color: brightness, saturation and contrast; alpha is left alone. Draws from torch's
    generator; values may leave [-1, 1].
    """
    for change in changes:
        chosen = (torch.rand(len(images), 1, 1, 1) < torch.as_tensor(strength).cpu()).to(images.device)
        images = torch.where(chosen, CHANGES[change](images), images)
    return images


def _rows(images: Tensor, low: float, high: float) -> Tensor:
    """One uniform number a picture: (B, 1, 1, 1)."""
    return (torch.rand(len(images), 1, 1, 1) * (high - low) + low).to(images)


def _flip(images: Tensor) -> Tensor:
    return torch.where(_rows(images, 0, 1) < 0.5, images, images.flip(-1))


def _translate(images: Tensor) -> Tensor:
    for axis in (2, 3):
        size = images.shape[axis]
        most = (size + 4) // 8  # an eighth, rounded
        shift = _rows(images, -most - 0.5, most + 0.5).float().round().long()
        place = _along(axis, size, images) + shift
        inside = (place >= 0) & (place < size)
        images = images.gather(axis, place.clamp(0, size - 1).expand_as(images)) * inside
    return images


def _cutout(images: Tensor) -> Tensor:
    hidden = torch.ones_like(images[:, :1], dtype=torch.bool)
    for axis in (2, 3):
        size = images.shape[axis]
        middle = (_rows(images, 0, 1).float() * size).floor()
        hidden = hidden & ((_along(axis, size, images) - middle).abs() <= size / 4)
    return images * ~hidden


def _along(axis: int, size: int, images: Tensor) -> Tensor:
    """0, 1, ... along one axis of pictures, the others of length 1."""
    shape = [1, 1, 1, 1]
    shape[axis] = size
    return torch.arange(size, device=images.device).view(shape)


def _color(images: Tensor) -> Tensor:
    color = images[:, :3] if images.shape[1] == 4 else images
    color = color + _rows(images, -0.5, 0.5)
    grey = color.mean(1, keepdim=True)
    color = grey + (color - grey) * _rows(images, 0, 2)
    mean = color.mean((1, 2, 3), keepdim=True)
    color = mean + (color - mean) * _rows(images, 0.5, 1.5)
    return torch.cat([color, images[:, 3:]], 1) if images.shape[1] == 4 else color


CHANGES: dict[Change, Callable[[Tensor], Tensor]] = {
    "flip": _flip,
    "translate": _translate,
    "cutout": _cutout,
    "color": _color,
}


class AdaptiveStrength(nn.Module):
    """The strength that keeps a critic from learning its pictures by heart (Karras et al. 2020b, section 3).

    r_t = E sign(D(x)) over real pictures is near 1 where it has, near 0 where it has not. The strength rises while r_t
    is above `target` and falls while it is below, from 0 to 1 in `images` pictures. All of it is in buffers, so a run
    that goes on has it.
    """

    value: Tensor
    signs: Tensor
    seen: Tensor

    def __init__(self, target: float, images: int = 500_000):
        super().__init__()
        self.target, self.images = target, images
        for name in ("value", "signs", "seen"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def note(self, real_logits: Tensor) -> None:
        """Take notice of what the critic says of real pictures, (B, 1)."""
        seen = whole_batch(len(real_logits))
        self.signs += real_logits.float().sign().mean() * seen
        self.seen += seen

    @torch.no_grad()
    def adjust(self) -> None:
        """Move the strength by what was noted since the last time; nothing was noted: it stays."""
        direction = (self.signs / self.seen.clamp_min(1) - self.target).sign()
        self.value.add_(direction * self.seen / self.images).clamp_(0, MOST)
        self.signs.zero_()
        self.seen.zero_()
