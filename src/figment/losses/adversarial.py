"""Losses of a critic and a generator; logits (B, 1) are high for what the critic takes for real."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from figment.losses.penalties import squared_slope

Game = Literal["non_saturating", "minimax", "least_squares", "hinge"]


def critic_loss(game: Game, real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """What the critic of this game minimises. smoothing: how far below 1 the target of real pictures is.

    Only targets can be smoothed (Salimans et al. 2016, section 3.4): the hinge has none.
    """
    if game == "hinge":
        assert smoothing == 0, "the hinge has no targets"
        return hinge_critic(real_logits, fake_logits)
    loss = least_squares_critic if game == "least_squares" else non_saturating_critic
    return loss(real_logits, fake_logits, smoothing)


def generator_loss(game: Game, fake_logits: Tensor) -> Tensor:
    """What the generator of this game minimises."""
    losses = {
        "non_saturating": non_saturating_generator,
        "minimax": minimax_generator,
        "least_squares": least_squares_generator,
        "hinge": linear_generator,
    }
    return losses[game](fake_logits)


def non_saturating_critic(real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), averaged. Goodfellow et al. 2014, equation 1.

    With smoothing s the first term is -(1 - s) log D(x) - s log(1 - D(x)), which is softplus(-a) + s a.
    """
    real = F.softplus(-real_logits) + smoothing * real_logits
    return real.mean() + F.softplus(fake_logits).mean()


def non_saturating_generator(fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), averaged: strong gradients where the critic wins. Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits).mean()


def minimax_generator(fake_logits: Tensor) -> Tensor:
    """log(1 - D(G(z))), averaged: hardly a gradient where the critic wins. Goodfellow et al. 2014, equation 1."""
    return -F.softplus(fake_logits).mean()


def least_squares_critic(real_logits: Tensor, fake_logits: Tensor, smoothing: float = 0.0) -> Tensor:
    """((D(x) - 1)^2 + D(G(z))^2) / 2, averaged. Mao et al. 2017, equation 9; the target is 1 - smoothing."""
    return (real_logits - (1 - smoothing)).square().mean() / 2 + fake_logits.square().mean() / 2


def least_squares_generator(fake_logits: Tensor) -> Tensor:
    """(D(G(z)) - 1)^2 / 2, averaged. Mao et al. 2017, equation 9."""
    return (fake_logits - 1).square().mean() / 2


def hinge_critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 - D(x)) + max(0, 1 + D(G(z))), averaged. Miyato et al. 2018, equation 16."""
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def linear_generator(fake_logits: Tensor) -> Tensor:
    """-D(G(z)), averaged: of the hinge (Miyato et al. 2018, equation 17) and of the Wasserstein game."""
    return -fake_logits.mean()


def wasserstein_critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """E D(G(z)) - E D(x): minus the distance, where no slope is above 1. Arjovsky et al. 2017, equation 2."""
    return fake_logits.mean() - real_logits.mean()


def gradient_penalty(critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
    """(|grad D(x')| - 1)^2, averaged, at x' somewhere between a real and a generated picture, both (B, C, H, W).

    Gulrajani et al. 2017, equation 3; float32 whatever the precision of the run. `critic` must judge each picture by
    itself: no batch norm. The place between is drawn from torch's generator.
    """
    share = torch.rand(len(real), 1, 1, 1).to(real.device)
    between = fake.float() + share * (real - fake).float()
    # The root of exactly 0 has no finite slope.
    return ((squared_slope(critic, between) + 1e-12).sqrt() - 1).square().mean()


def category_information_nats(logits: Tensor, codes: Tensor) -> Tensor:
    """log K + E log Q(c|x): what a picture tells at least of its code, one of K alike. At most log K.

    logits (B, K), codes (B,) int64 -> scalar. Chen et al. 2016, equation 4.
    """
    return math.log(logits.shape[1]) - F.cross_entropy(logits, codes)


def uniform_information_nats(mean: Tensor, log_variance: Tensor, codes: Tensor) -> Tensor:
    """The same for codes (B, N) that are uniform in [-1, 1], with a Gaussian Q of this mean and variance, (B, N) each.

    log 2 + E log Q(c|x), summed over the N codes -> scalar. Chen et al. 2016, equation 4.
    """
    log_q = -0.5 * ((codes - mean).square() / log_variance.exp() + log_variance + math.log(2 * math.pi))
    return (math.log(2) + log_q).sum(1).mean()
