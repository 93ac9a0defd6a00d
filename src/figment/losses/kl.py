"""Divergences between distributions, in nats."""

from __future__ import annotations

from torch import Tensor


def gaussian_kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), summed over latents: (B, Z), (B, Z) -> (B,).

    Kingma and Welling 2014, appendix B.
    """
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
