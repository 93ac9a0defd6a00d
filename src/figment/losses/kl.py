"""Divergences between distributions, in nats."""

from __future__ import annotations

from torch import Tensor


def gaussian_kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, I)), summed over latents: (B, Z), (B, Z) -> (B,).

    Kingma and Welling 2014, appendix B.
    """
    return latent_kl_nats(mean, log_variance).sum(1)


def latent_kl_nats(mean: Tensor, log_variance: Tensor) -> Tensor:
    """The same of every latent by itself: (B, Z), (B, Z) -> (B, Z)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def free_kl_nats(kl: Tensor, free_nats: float) -> Tensor:
    """The mean KL of a batch, where `free_nats` of each latent cost nothing: (B, Z) -> ().

    Kingma et al. 2016, equation 15, with every latent as a group of its own. A latent below its allowance is pulled
    no further towards the prior.
    """
    return kl.mean(0).clamp_min(free_nats).sum()
