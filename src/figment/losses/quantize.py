"""Continuous codes made discrete, by a codebook or by rounding, with gradients that pass straight through.

Vectors are rows, (N, D); codes are int64, (N,), in [0, K). Distances are taken in float32 in any precision of the
networks: in bfloat16 near codes would be mistaken for each other.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

BEYOND = 1e-3  # how far past the outermost levels the bound reaches, so that those can be reached at all


def nearest(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Codes (N,) of the closest of `codebook` (K, D) to each of `vectors` (N, D)."""
    with torch.autocast(vectors.device.type, enabled=False):
        codebook = codebook.float()
        # |v - e|^2 without |v|^2, which is the same for every code.
        return (codebook.square().sum(1) - 2 * vectors.float() @ codebook.T).argmin(1)


def straight_through(continuous: Tensor, discrete: Tensor) -> Tensor:
    """`discrete` forwards; backwards the gradient goes to `continuous` unchanged (van den Oord et al. 2017, 3.2)."""
    return continuous + (discrete - continuous).detach()


def code_sums(vectors: Tensor, codes: Tensor, vocabulary: int) -> tuple[Tensor, Tensor]:
    """How many vectors have each code, (K,), and the sums of those, (K, D)."""
    with torch.autocast(vectors.device.type, enabled=False):
        # A product with one-hot rows, since adding up by index is not repeatable on a GPU.
        chosen = F.one_hot(codes, vocabulary).float()
        return chosen.sum(0), chosen.T @ vectors.float()


def kmeans(vectors: Tensor, count: int, rounds: int = 10) -> Tensor:
    """Lloyd's algorithm from vectors drawn at random, with torch's generator: (N, D) -> centres (count, D).

    A centre that has lost all its vectors stays where it was.
    """
    centres = drawn(vectors, count)
    for _ in range(rounds):
        counts, sums = code_sums(vectors, nearest(vectors, centres), count)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return centres


def drawn(vectors: Tensor, count: int) -> Tensor:
    """Vectors at random, each once as long as there are enough: (N, D) -> (count, D)."""
    repeats = -(-count // len(vectors))
    rows = torch.cat([torch.randperm(len(vectors)) for _ in range(repeats)])[:count]
    return vectors[rows.to(vectors.device)].float()


def perplexity(codes: Tensor, vocabulary: int) -> Tensor:
    """exp(entropy) of the codes in use: 1 where all are the same, `vocabulary` where each is used equally."""
    share = torch.bincount(codes.flatten(), minlength=vocabulary).float()
    share = share / share.sum()
    return torch.special.entr(share).sum().exp()


def bounded(values: Tensor, levels: Tensor) -> Tensor:
    """Any numbers (N, D) into the range that rounds to `levels` (D,) many integers around 0.

    Mentzer et al. 2023, section 3.1 and appendix A.1: an even number of levels lies half a level lower.
    """
    half = (levels - 1) * (1 + BEYOND) / 2
    offset = 0.5 * (levels % 2 == 0)
    return half * torch.tanh(values + torch.atanh(offset / half)) - offset


def grid_codes(integers: Tensor, levels: Tensor) -> Tensor:
    """Points of the grid (N, D), integers around 0, as the digits of one number each: (N,)."""
    return ((integers.long() + levels // 2) * _places(levels)).sum(1)


def grid_points(codes: Tensor, levels: Tensor) -> Tensor:
    """The inverse of `grid_codes`: (N,) -> (N, D), float32."""
    return (codes[:, None] // _places(levels) % levels - levels // 2).float()


def _places(levels: Tensor) -> Tensor:
    """What a step in each dimension adds to a code: (D,)."""
    return torch.cat([levels.new_ones(1), levels[:-1].cumprod(0)])
