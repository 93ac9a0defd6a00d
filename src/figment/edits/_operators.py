"""What happened to a picture, as a linear map that can be taken back as far as it goes: y = A x + s n.

    forward   A x                                a picture to what was measured of it
    adjoint   A^T y                              <A x, y> = <x, A^T y>
    pull      A^T (A A^T + ratio)^-1 y           what to add to a picture so that it is measured as y more

At ratio 0 pull is the pseudo-inverse A^+, and A A^+ A = A. With measurements of variance s^2 of pictures that are known
up to a variance r^2, x + pull(y - A x, s^2 / r^2) is the best linear guess between the two (Kalman 1960). Each operator
knows A A^T in closed form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDS = 40  # of making a picture agree with what was measured of it
SOFT = 1e-3  # how exactly each round of a blur agrees
TURNS = 200  # of a blurred picture at most, which stops
NEAR = 0.9 * 2 / 255  # where it is as near as this: nearer, it would follow the rounding of what was measured
FARTHEST = 16.0  # what takes any measurement from one end of its range to the other
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as pictures become grey everywhere in figment


class Operator(Protocol):
    """Pictures (B, C, H, W) to measurements (B, C', H', W') and back."""

    def forward(self, images: Tensor, /) -> Tensor: ...

    def adjoint(self, measured: Tensor, /) -> Tensor: ...

    def pull(self, measured: Tensor, ratio: float = 0.0, /) -> Tensor: ...


@dataclass(frozen=True)
class Mask:
    """Some pixels are known. known: (1, 1, H, W), 1 or 0; the others are measured as 0."""

    known: Tensor

    def forward(self, images: Tensor) -> Tensor:
        return images * self.known.to(images)

    adjoint = forward

    def pull(self, measured: Tensor, ratio: float = 0.0) -> Tensor:
        return self.forward(measured) / (1 + ratio)


@dataclass(frozen=True)
class Identity:
    """All of the picture is known, under noise."""

    def forward(self, images: Tensor) -> Tensor:
        return images

    adjoint = forward

    def pull(self, measured: Tensor, ratio: float = 0.0) -> Tensor:
        return measured / (1 + ratio)


@dataclass(frozen=True)
class Doubted:
    """All of the picture is seen, under noise, but some pixels may show something else: each is believed as far as it
    fits.

    chance: (1, 1, H, W), of being spoilt, and of any value then. noise: standard deviation of what is not, more than 0.
    With v the variance of what is not known of the picture x, a pixel y is sound with the probability

        (1 - c) N(y; x, v + s^2) / ((1 - c) N(y; x, v + s^2) + c / 2)

    in all its channels: the E step for a mixture (Dempster, Laird and Rubin 1977), with U(-1, 1) for what is spoilt.
    """

    chance: Tensor
    noise: float

    def forward(self, images: Tensor) -> Tensor:
        return images

    adjoint = forward

    def pull(self, measured: Tensor, ratio: float = 0.0) -> Tensor:
        return self.sound(measured, self.noise**2 / ratio) * measured / (1 + ratio)

    def sound(self, missing: Tensor, variance: float) -> Tensor:
        """(B, 1, H, W), given y - x (B, C, H, W) and v."""
        total = variance + self.noise**2
        fit = -0.5 * missing**2 / total - 0.5 * math.log(2 * math.pi * total) + math.log(2)
        return torch.sigmoid(fit.sum(1, keepdim=True) - torch.logit(self.chance.to(missing)))


@dataclass(frozen=True)
class BlockMean:
    """A picture made smaller: each pixel is the mean of a block of factor x factor. A A^T = 1 / factor^2."""

    factor: int

    def forward(self, images: Tensor) -> Tensor:
        return F.avg_pool2d(images, self.factor)

    def adjoint(self, measured: Tensor) -> Tensor:
        return self.pull(measured) / self.factor**2

    def pull(self, measured: Tensor, ratio: float = 0.0) -> Tensor:
        blocks = measured.repeat_interleave(self.factor, -2).repeat_interleave(self.factor, -1)
        return blocks / (1 + ratio * self.factor**2)


@dataclass(frozen=True)
class Grey:
    """The luma of an RGB picture. A A^T = |luma|^2."""

    def forward(self, images: Tensor) -> Tensor:
        return (images * _luma(images)).sum(1, keepdim=True)

    def adjoint(self, measured: Tensor) -> Tensor:
        return measured * _luma(measured)

    def pull(self, measured: Tensor, ratio: float = 0.0) -> Tensor:
        return self.adjoint(measured) / (sum(weight**2 for weight in LUMA) + ratio)


def _luma(like: Tensor) -> Tensor:
    return torch.tensor(LUMA, dtype=torch.float64).to(like).view(1, 3, 1, 1)


@dataclass(frozen=True)
class Blur:
    """A Gaussian blur of pictures of one size, which are mirrored beyond their border.

    sigma: in pixels. A symmetric filter of a picture mirrored half a pixel beyond its border is diagonal in the cosines
    of the DCT-II (Strang 1999, section 3), so those are its singular vectors, along each axis on its own. Details that
    are weakened below `least` of what they were are taken as lost.
    """

    height: int
    width: int
    sigma: float
    least: float = 1e-6

    @cached_property
    def _axes(self) -> tuple[Tensor, Tensor]:
        return _cosines(self.height), _cosines(self.width)

    @cached_property
    def _gains(self) -> Tensor:
        """(H, W): how much of each pair of cosines is left."""
        gains = _gains(self.height, self.sigma)[:, None] * _gains(self.width, self.sigma)
        return torch.where(gains.abs() < self.least, 0.0, gains)

    def forward(self, images: Tensor) -> Tensor:
        return self._weighted(images, self._gains)

    adjoint = forward

    def pull(self, measured: Tensor, ratio: float = 0.0) -> Tensor:
        gains = self._gains
        return self._weighted(measured, torch.where(gains == 0, 0.0, gains / (gains**2 + ratio)))

    def _weighted(self, images: Tensor, weights: Tensor) -> Tensor:
        rows, columns = (axis.to(images) for axis in self._axes)
        return rows.T @ (weights.to(images) * (rows @ images @ columns.T)) @ columns


def _cosines(length: int) -> Tensor:
    """The orthonormal DCT-II as a matrix, float64 (length, length), a cosine a row."""
    places = torch.arange(length, dtype=torch.float64)
    rows = torch.cos(torch.pi / length * places[:, None] * (places + 0.5)) * (2 / length) ** 0.5
    rows[0] /= 2**0.5
    return rows


def _gains(length: int, sigma: float) -> Tensor:
    """What a Gaussian kernel, cut off at 4 sigma, leaves of each cosine: k_0 + 2 sum_j k_j cos(pi m j / length)."""
    offsets = torch.arange(1, max(1, round(4 * sigma)) + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    waves = torch.cos(torch.pi / length * torch.arange(length, dtype=torch.float64)[:, None] * offsets)
    return (1 + 2 * waves @ kernel) / (1 + 2 * kernel.sum())


def agreeing(operator: Operator, images: Tensor, measured: Tensor) -> Tensor:
    """Pictures in [-1, 1], near to those given, of which this would have been measured: A x = y.

    Where each measurement is of pixels of its own, x = clip(x + A^+ v) is the nearest such picture for the one v that
    makes it agree, and A x grows with v: bisection finds it. A blur's are not: there, by the splitting of Douglas and
    Rachford (Lions and Mercier 1979), agreement and the range are sought in turn, until each picture is NEAR.
    """
    if isinstance(operator, Blur):
        for _ in range(TURNS):
            inside = images.clamp(-1, 1)
            is_far = (measured - operator.forward(inside)).abs().amax((1, 2, 3), keepdim=True) > NEAR
            if not is_far.any():
                break
            turned = inside + operator.pull(measured - operator.forward(2 * inside - images), SOFT)
            images = torch.where(is_far, turned, images)
        return images.clamp(-1, 1)
    high = torch.full_like(measured, FARTHEST).expand_as(operator.forward(images))
    low = -high
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        is_below = operator.forward((images + operator.pull(middle)).clamp(-1, 1)) < measured
        low, high = torch.where(is_below, middle, low), torch.where(is_below, high, middle)
    return (images + operator.pull((low + high) / 2)).clamp(-1, 1)
