"""Losses of a critic and a generator; logits are high for what the critic takes for real."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def non_saturating_critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """-log D(x) - log(1 - D(G(z))), averaged. Goodfellow et al. 2014, equation 1."""
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def non_saturating_generator(fake_logits: Tensor) -> Tensor:
    """-log D(G(z)), averaged: strong gradients where the critic wins. Goodfellow et al. 2014, section 3."""
    return F.softplus(-fake_logits).mean()
