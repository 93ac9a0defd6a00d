"""Codes for vectors: the nearest entry of a codebook that is learnt, or a point of a grid that is not.

Vectors are rows, (N, D); codes are int64, (N,). Both kinds are limited in length first, then coded.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from figment.losses.quantize import bounded, code_sums, drawn, grid_codes, grid_points, kmeans, nearest

DECAY = 0.99
START = 20  # batches that are not quantised; then their codes are clustered
DEAD = 0.05  # of the mean share: a code used less begins again at a code of the batch


class Codebook(nn.Module):
    """The nearest of some vectors that follow, as running means, what they stand for.

    N_i = g N_i + (1 - g) n_i,   m_i = g m_i + (1 - g) sum_j z_ij,   e_i = m_i / N_i

    Van den Oord et al. 2017, appendix A, equations 6 to 8. counts, sums: N_i and m_i. batches: how many it has seen. On
    the sphere of root mean square 1 where angles count (Yu et al. 2022, section 3.2).
    """

    vectors: Tensor
    counts: Tensor
    sums: Tensor
    batches: Tensor

    def __init__(self, codes: int, channels: int, *, on_sphere: bool):
        super().__init__()
        self.vocabulary, self.channels, self.on_sphere = codes, channels, on_sphere
        self.register_buffer("vectors", self.limited(torch.randn(codes, channels)))
        self.register_buffer("counts", torch.ones(codes))
        self.register_buffer("sums", self.vectors.clone())
        self.register_buffer("batches", torch.zeros((), dtype=torch.long))

    @property
    def ready(self) -> bool:
        return int(self.batches) >= START

    def limited(self, rows: Tensor) -> Tensor:
        """(N, D) -> (N, D), on the sphere where that is wanted."""
        return rows * torch.rsqrt(rows.square().mean(1, keepdim=True) + 1e-8) if self.on_sphere else rows

    def codes_of(self, rows: Tensor) -> Tensor:
        """(N, D) -> (N,)"""
        return nearest(rows, self.vectors)

    def vectors_of(self, codes: Tensor) -> Tensor:
        """(N,) -> (N, D)"""
        return self.vectors[codes]

    @torch.no_grad()
    def observe(self, rows: Tensor) -> None:
        """Learn from the codes of a batch, (N, D) of `limited`: k-means once, then running means."""
        self.batches += 1
        if int(self.batches) == START:
            self.vectors.copy_(self.limited(kmeans(rows, self.vocabulary)))
            self.counts.fill_(1.0)
            self.sums.copy_(self.vectors)
        if int(self.batches) <= START:
            return
        counts, sums = code_sums(rows, self.codes_of(rows), self.vocabulary)
        self.counts.lerp_(counts * (self.vocabulary / counts.sum()), 1 - DECAY)
        self.sums.lerp_(sums * (self.vocabulary / counts.sum()), 1 - DECAY)
        dead = (self.counts < DEAD)[:, None]
        fresh = drawn(rows, self.vocabulary)
        self.sums.copy_(torch.where(dead, fresh, self.sums))
        self.counts.copy_(torch.where(dead[:, 0], 1.0, self.counts))
        self.vectors.copy_(self.limited(self.sums / self.counts[:, None]))


class Grid(nn.Module):
    """Finite scalar quantisation: every channel rounded to one of its levels, all in [-1, 1]."""

    levels: Tensor
    ready = True

    def __init__(self, levels: tuple[int, ...]):
        super().__init__()
        self.vocabulary, self.channels = math.prod(levels), len(levels)
        self.register_buffer("levels", torch.tensor(levels), persistent=False)

    def limited(self, rows: Tensor) -> Tensor:
        return bounded(rows, self.levels) / (self.levels // 2)

    def codes_of(self, rows: Tensor) -> Tensor:
        return grid_codes((rows * (self.levels // 2)).round(), self.levels)

    def vectors_of(self, codes: Tensor) -> Tensor:
        return grid_points(codes, self.levels) / (self.levels // 2)

    def observe(self, rows: Tensor) -> None:
        """There is nothing to learn."""
