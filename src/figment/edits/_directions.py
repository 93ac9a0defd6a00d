"""Directions in which the pictures of a model change most.

    styles    principal components of w (Härkönen et al. 2020, "GANSpace")
    noise     eigenvectors of the mean of J^T J, J = dG/dn: the active subspace (Constantine et al. 2014)
    denoised  eigenvectors of sigma^2 dD/dx, which is the covariance of the clean pictures behind a noisy one: what is
              still open about it (Manor and Michaeli 2024, algorithm 1)

None of it is trained, and no gradient is needed: derivatives are differences.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from figment.core.errors import CapabilityError
from figment.core.noise import noise, normal
from figment.core.types import Condition, Generates, Maps
from figment.edits._drawing import in_parts
from figment.samplers import Denoiser

STYLES = 1024  # that principal components are taken of
PROBES = 8  # noises at which a generator's derivative is taken
STEP = 0.3  # of a difference, in standard deviations of the noise
MOST = 1024  # numbers of noise that can be tried one by one
ITERATIONS = 8  # of the power method


def style_axes(model: Maps, count: int) -> Tensor:
    """Principal components of styles, each as long as its standard deviation: (count or fewer, *w)."""
    w = model.map(noise(range(STYLES), model))
    flat = (w - w.mean(0)).flatten(1)
    _, lengths, axes = torch.linalg.svd(flat, full_matrices=False)
    axes = _signed(axes[:count]) * lengths[: len(axes[:count]), None] / math.sqrt(len(w))
    return axes.view(-1, *w.shape[1:])


def noise_axes(model: Generates, count: int, condition: Condition | None) -> Tensor:
    """Unit vectors of noise that change pictures most, on average over some noises: (count or fewer, *noise).

    condition: of one row, what the pictures show. Raises CapabilityError where the noise is too long to try.
    """
    shape = model.noise_shape()
    length = math.prod(shape)
    if length > MOST:
        raise CapabilityError(
            f"traverse: this run's noise has {length} numbers, too many to try one by one; give a run of a family with "
            "short noise, such as vae or dcgan, or of one that denoises, such as flow"
        )
    moves = torch.cat([torch.zeros(1, length), STEP * torch.eye(length)]).view(-1, *shape)
    total = torch.zeros(length, length)
    for probe in noise(range(PROBES), model):

        def draw(rows: slice, probe: Tensor = probe) -> Tensor:
            places = probe + moves[rows]
            asked = None if condition is None else condition[torch.zeros(len(places), dtype=torch.long)]
            return model.generate(places, asked).flatten(1)

        drawn = in_parts(draw, len(moves))
        slopes = (drawn[1:] - drawn[0]) / STEP  # J^T, (length, pixels)
        total += slopes @ slopes.T / PROBES
    axes = torch.linalg.eigh(total.double()).eigenvectors.T.flip(0)[:count].float()
    return _signed(axes).view(-1, *shape)


def open_axes(denoise: Denoiser, state: Tensor, sigma: Tensor, count: int) -> Tensor:
    """What is open about the clean picture behind (1, ...) at sigma: (count, ...), as long as the deviation along each.

    denoise: of `count` rows.
    """
    state, level = state.expand(count, *state.shape[1:]), sigma.expand(count)
    clean = denoise(state, level)

    def change(axes: Tensor) -> Tensor:
        """dD/dx along each."""
        moved = denoise(state + STEP * sigma * axes.view_as(state), level)
        return ((moved - clean) / (STEP * sigma)).flatten(1)

    axes = _orthonormal(normal(range(count), (state[0].numel(),)))
    for _ in range(ITERATIONS):
        axes = _orthonormal(change(axes))
    within = axes @ change(axes).T  # Rayleigh and Ritz: of all turns of these axes, the one in which they do not mix
    shares, turn = torch.linalg.eigh((within + within.T) / 2)
    lengths = sigma * shares.flip(0).clamp_min(0).sqrt()
    return (_signed(turn.T.flip(0) @ axes) * lengths[:, None]).view_as(state)


def _orthonormal(rows: Tensor) -> Tensor:
    return torch.linalg.qr(rows.T).Q.T


def _signed(axes: Tensor) -> Tensor:
    """Rows whose largest entry is positive: which way a direction points is otherwise left to chance."""
    largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
    return axes * largest.sign()
