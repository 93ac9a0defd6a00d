"""How probable a colour value is, and how one is drawn: Bernoulli, 256-way, Gaussian, discretised logistics.

Pictures are 8-bit, in [-1, 1]; Bernoulli knows black (-1) and white (1) only. Every probability is the mass of a grey
level, so that those of all levels sum to 1, unless its name says density.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.errors import DataError
from figment.losses.likelihood import GREY_LEVEL

Likelihood = Literal[
    "bernoulli", "categorical", "logistic"
]  # what a network that predicts value by value may answer with

LEVELS = 256
MIXTURES = 10  # logistics that share in one value (Salimans et al. 2017, section 2.1)


def bernoulli_nats(images: Tensor, logits: Tensor) -> Tensor:
    """-log P of every value, in nats; logits: of white. Grey counts as that share of white, and the rest black."""
    return F.binary_cross_entropy_with_logits(logits.float(), (images + 1) / 2, reduction="none")


def gaussian_density_nats(images: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """-log of the density N(mean, variance) of every value, in nats."""
    return 0.5 * ((images - mean).square() / variance + (2 * math.pi * variance).log())


def gaussian_nats(images: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
    """-log P(grey level) of every value under N(mean, variance), in nats; exact however far off the mean is.

    What lies beyond black counts as black, what lies beyond white as white.
    """
    far, half, deviation = images - mean, GREY_LEVEL / 2, variance.sqrt()
    # Mirrored into the lower tail, where log_ndtr keeps its digits: P(a < X < b) = P(-b < X < -a).
    edges = torch.stack([(far - half) / deviation, (far + half) / deviation])
    low, high = torch.where(far > 0, -edges.flip(0), edges).unbind(0)
    below, above = torch.special.log_ndtr(low), torch.special.log_ndtr(high)
    inner = above + torch.log1p(-(below - above).clamp_max(-1e-7).exp())
    black, white = _ends(images)
    tail = torch.special.log_ndtr(torch.where(black, edges[1], -edges[0]))
    return -torch.where(black | white, tail, inner)


def logistic_nats(images: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """-log P(grey level) of every value under a logistic distribution, in nats (Kingma et al. 2016, equation 19).

    With s the logistic function, s(a) - s(b) = s(a) s(-b) (1 - exp(b - a)), which loses no digits in the tails. What
    lies beyond black counts as black, what lies beyond white as white.
    """
    inverse = (-log_scale).exp()
    a, b = (images - mean + GREY_LEVEL / 2) * inverse, (images - mean - GREY_LEVEL / 2) * inverse
    width = torch.log(-torch.expm1(-GREY_LEVEL * inverse))
    black, white = _ends(images)
    return -(
        F.logsigmoid(a).masked_fill(white, 0)
        + F.logsigmoid(-b).masked_fill(black, 0)
        + torch.where(black | white, 0.0, width)
    )


def _ends(images: Tensor) -> tuple[Tensor, Tensor]:
    """Where pictures are black, and where white."""
    return images < -1 + GREY_LEVEL / 2, images > 1 - GREY_LEVEL / 2


def on_grid(kind: Likelihood, images: Tensor) -> Tensor:
    """The nearest values that the distribution knows: black and white, or grey levels."""
    steps = 1 if kind == "bernoulli" else LEVELS - 1
    return ((images.clamp(-1, 1) + 1) * (steps / 2)).round() / (steps / 2) - 1


def refuse_grey(images: Tensor) -> None:
    """Raise DataError where a picture has more than black and white: Bernoulli gives grey no probability."""
    if (images.abs() < 1 - GREY_LEVEL / 2).any():
        raise DataError(
            "bits_per_dim of --family.likelihood bernoulli: these pictures have grey levels; build the dataset with "
            "--binarize.seed 0, or train with another likelihood"
        )


def parameters_of(kind: Likelihood) -> int:
    """Numbers P that a network must give for one value."""
    return {"bernoulli": 1, "categorical": LEVELS, "logistic": 3 * MIXTURES}[kind]


def value_nats(kind: Likelihood, images: Tensor, parameters: Tensor) -> Tensor:
    """-log P of every value in nats: images (...) on the grid of the kind, parameters (..., P) -> (...)."""
    parameters = parameters.float()
    if kind == "bernoulli":
        return bernoulli_nats(images, parameters[..., 0])
    if kind == "categorical":
        levels = ((images + 1) * ((LEVELS - 1) / 2)).round().long()
        return F.cross_entropy(parameters.reshape(-1, LEVELS), levels.reshape(-1), reduction="none").view(images.shape)
    weight, mean, log_scale = _mixture(parameters)
    each = logistic_nats(images[..., None].expand_as(mean), mean, log_scale)
    return -torch.logsumexp(weight.log_softmax(-1) - each, -1)


def _mixture(parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Logits of the weights, means and log scales: (..., MIXTURES) each. Means begin spread over the grey levels."""
    weight, mean, log_scale = parameters.chunk(3, -1)
    spread = torch.linspace(-1, 1, MIXTURES, device=parameters.device)
    return weight, mean + spread, (log_scale - 2).clamp(-7, 3)


def level_logits(kind: Likelihood, parameters: Tensor) -> Tensor:
    """Logits of every value there is, from black to white: (..., P) -> (..., 2 or LEVELS)."""
    parameters = parameters.float()
    if kind == "categorical":
        return parameters
    if kind == "bernoulli":
        return torch.cat([torch.zeros_like(parameters), parameters], -1)
    levels = torch.linspace(-1, 1, LEVELS, device=parameters.device).expand(*parameters.shape[:-1], LEVELS)
    return -value_nats(kind, levels, parameters[..., None, :].expand(*levels.shape, -1))


def drawn(kind: Likelihood, parameters: Tensor, uniform: Tensor, temperature: float = 1.0) -> Tensor:
    """The value at which the cumulative probability passes `uniform`: (B, P), (B,) in [0, 1] -> (B,)."""
    logits = level_logits(kind, parameters).double() / temperature
    passed = logits.softmax(-1).cumsum(-1) < uniform.double()[:, None]
    last = logits.shape[-1] - 1
    return passed.sum(-1).clamp_max(last).to(parameters.device, torch.float32) / (last / 2) - 1


def choosing(
    kind: Likelihood, noise: Tensor, temperature: float, images: Tensor, known: Tensor
) -> Callable[[int, int, int, Tensor], Tensor]:
    """What decides a picture value by value: what is known of it, and a draw from its noise elsewhere.

    noise, images: (B, C, H, W); known: the same as bool. Returns a function of row, column, channel and parameters
    (B, P), which gives the values that are put there, (B,).
    """
    uniform, given = torch.special.ndtr(noise.double()), on_grid(kind, images)

    def choose(row: int, column: int, channel: int, parameters: Tensor) -> Tensor:
        place = (slice(None), channel, row, column)
        return torch.where(known[place], given[place], drawn(kind, parameters, uniform[place], temperature))

    return choose
