"""Read from a picture, and write onto one: all of it, or a grid of Gaussian filters that is moved and zoomed.

    mu_i = g + (i - N/2 - 1/2) delta,   F[i, a] = exp(-(a - mu_i)^2 / 2 sigma^2) / Z_i       i = 1 ... N, a = 1 ... A
    read(x, e) = gamma [F_Y x F_X^T, F_Y e F_X^T],   write(w) = F_Y^T w F_X / gamma

Gregor et al. 2015, equations 19 to 29: N filters a side, their centres a stride of delta apart around the middle g.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Shape = tuple[int, int, int]  # C, H, W


@dataclass(frozen=True)
class Window:
    """rows: F_Y (B, 1, N, H). columns: F_X (B, 1, N, W). gamma: (B, 1, 1, 1)."""

    rows: Tensor
    columns: Tensor
    gamma: Tensor

    def read(self, images: Tensor) -> Tensor:
        """Equation 27: (B, C, H, W) -> (B, C, N, N)"""
        return self.gamma * (self.rows @ images @ self.columns.mT)

    def write(self, patch: Tensor) -> Tensor:
        """Equation 29: (B, C, N, N) -> (B, C, H, W)"""
        return self.rows.mT @ patch @ self.columns / self.gamma


def filters(centre: Tensor, stride: Tensor, variance: Tensor, count: int, length: int) -> Tensor:
    """Equations 19, 20, 25 and 26: (B,) each, in pixels from 1 to `length` -> (B, count, length), rows of sum 1.

    A softmax, so that a filter beyond the border reads what is nearest there, and not 0 / 0.
    """
    i = torch.arange(1, count + 1, device=centre.device) - count / 2 - 0.5
    mu = centre[:, None] + i * stride[:, None]
    a = torch.arange(1, length + 1, device=centre.device)
    return torch.softmax(-(a - mu[..., None]).square() / (2 * variance[:, None, None]), -1)


class Aim(nn.Module):
    """Where a state looks: (B, width) -> the window of `count` x `count` filters.

    It begins with all of the picture, each filter as wide as it takes to leave no gaps. paints: for writing; a patch of
    ones then begins as a canvas of ones.
    """

    def __init__(self, shape: Shape, width: int, count: int, *, paints: bool = False):
        super().__init__()
        _, self.height, self.right = shape
        self.count, self.widest = count, (max(self.height, self.right) - 1) / (count - 1)  # the stride that spans all
        self.linear = nn.Linear(width, 5)
        gamma = self.widest**-2 if paints else 1.0
        start = torch.tensor([0.0, 0.0, 2 * math.log(self.widest / 2), 0.0, math.log(gamma)])
        self.linear.bias = nn.Parameter(start)

    def forward(self, hidden: Tensor) -> Window:
        # Bounds that no useful window meets: e^7 pixels, or a thousandth of one.
        column, row, log_variance, log_stride, log_gamma = self.linear(hidden).float().clamp(-7, 7).unbind(1)  # 21
        g_x, g_y = (self.right + 1) / 2 * (column + 1), (self.height + 1) / 2 * (row + 1)  # equations 22 and 23
        delta = self.widest * log_stride.exp()  # equation 24
        variance = log_variance.exp()
        rows = filters(g_y, delta, variance, self.count, self.height)
        columns = filters(g_x, delta, variance, self.count, self.right)
        return Window(rows[:, None], columns[:, None], log_gamma.exp()[:, None, None, None])


class Reader(nn.Module):
    """Picture, error image and the decoder's state to what the encoder is shown: (B, size). count 0: all of both."""

    def __init__(self, shape: Shape, width: int, count: int):
        super().__init__()
        self.aim = Aim(shape, width, count) if count else None
        self.size = 2 * (shape[0] * count**2 if count else math.prod(shape))

    def forward(self, images: Tensor, errors: Tensor, hidden: Tensor) -> Tensor:
        both = torch.cat([images, errors], 1)
        return (self.aim(hidden).read(both) if self.aim else both).flatten(1)


class Writer(nn.Module):
    """The decoder's state to what is added to the canvas: (B, width) -> (B, C, H, W). count 0: all of it."""

    def __init__(self, shape: Shape, width: int, count: int):
        super().__init__()
        self.patch = (shape[0], count, count) if count else shape
        self.aim = Aim(shape, width, count, paints=True) if count else None
        self.linear = nn.Linear(width, math.prod(self.patch))  # equation 28, or 18

    def forward(self, hidden: Tensor) -> Tensor:
        patch = self.linear(hidden).float().unflatten(1, self.patch)
        return self.aim(hidden).write(patch) if self.aim else patch
