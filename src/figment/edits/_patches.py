"""Patches of pictures, the nearest ones among others, and pictures put together from overlapping patches.

    S_ij = D_ij / (alpha + min_l D_lj),    j(i) = argmin_j S_ij           (Granot et al. 2022, equation 1)

D_ij is the mean squared difference of patch i of the picture and patch j of the style. What divides it makes patches of
the style that nothing is like cheap, so that the answer shows all of the style; more so for smaller alpha.

Patches are compared by their first principal components, and both minima are taken in blocks, so that the matrix of all
distances is never there. All arithmetic is in two matrix products: |q - k|^2 = (q, |q|^2, 1) . (-2k, 1, |k|^2), and the
division by a number of each k scales its vector.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 24  # principal components
BLOCK = 1 << 22  # distances at a time
WORK = 1.1e9  # distances, at most, where leaving out patches can help
STRIDES = ((1, 1), (2, 1), (2, 2), (3, 3), (4, 4))  # of the picture's patches, and of the style's


@dataclass(frozen=True)
class Grid:
    """Square patches of `side` pixels, `stride` pixels apart; pictures are continued at the far borders to hold all."""

    side: int
    stride: int

    def cut(self, image: Tensor) -> Tensor:
        """(1, C, H, W) -> patches (n, C side side), row by row"""
        beyond = [-(length - self.side) % self.stride for length in image.shape[-2:]]
        padded = F.pad(image, (0, beyond[1], 0, beyond[0]), mode="replicate")
        return F.unfold(padded, self.side, stride=self.stride)[0].T.contiguous()

    def put(self, patches: Tensor, size: tuple[int, int]) -> Tensor:
        """The other way: each pixel is the mean of all patches over it, their middles counting most; (1, C, *size)"""
        height, width = (length + -(length - self.side) % self.stride for length in size)
        tent = torch.minimum(torch.arange(self.side) + 1, self.side - torch.arange(self.side)).float()
        window = (tent[:, None] * tent).flatten()
        weighed = (patches.unflatten(1, (-1, len(window))) * window).flatten(1)
        weights = window.expand(len(patches), -1)
        total, weight = (
            F.fold(columns.T[None], (height, width), self.side, stride=self.stride) for columns in (weighed, weights)
        )
        return (total / weight)[..., : size[0], : size[1]]


def grids(picture: Tensor, style: Tensor, side: int) -> tuple[Grid, Grid]:
    """Grids of the picture's and of the style's patches, as dense as WORK allows."""
    count = picture[0, 0].numel() * style[0, 0].numel()
    few = [(mine, theirs) for mine, theirs in STRIDES if count <= WORK * (mine * theirs) ** 2]
    mine, theirs = few[0] if few else STRIDES[-1]
    return Grid(side, min(mine, side)), Grid(side, min(theirs, side))


def nearest(queries: Tensor, keys: Tensor, alpha: float) -> Tensor:
    """For each of (n, d) patches the place of its nearest among (m, d), by S: (n,) int64."""
    width, mean = queries.shape[1], keys.mean(0)
    axes = _principal(keys - mean)
    q, k = ((patches - mean) @ axes / width**0.5 for patches in (queries, keys))
    ones = torch.ones(1, 1)
    left = torch.cat([q, q.square().sum(1, keepdim=True), ones.expand(len(q), 1)], 1)
    right = torch.cat([-2 * k, ones.expand(len(k), 1), k.square().sum(1, keepdim=True)], 1)
    blocks = left.split(max(1, BLOCK // len(right)))
    least = torch.full((len(right),), torch.inf)
    for block in blocks:
        least = torch.minimum(least, (block @ right.T).amin(0))
    right = right / (alpha + least.clamp_min(0))[:, None]
    # numpy's argmin is several times as fast as torch's on a processor.
    return torch.cat([torch.from_numpy((block @ right.T).numpy().argmin(1)) for block in blocks])


def _principal(centred: Tensor) -> Tensor:
    """The axes along which patches (m, d) differ most: (d, at most PARTS)."""
    covariance = centred.T.double() @ centred.double()
    return torch.linalg.eigh(covariance).eigenvectors[:, -PARTS:].to(centred)
