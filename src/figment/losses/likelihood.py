"""How probable 8-bit pictures are: by a denoiser's probability-flow ODE, by steps of a diffusion chain, by latents.

Nothing here draws from a shared generator: what is random in a row's figure is derived from the row, so that a picture
has the same likelihood every time and in any batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.noise import following

Denoiser = Callable[[Tensor, Tensor], Tensor]

GREY_LEVEL = 2 / 255  # the distance of neighbouring 8-bit values in [-1, 1]
DATA_VARIANCE = 0.25  # of ordinary pictures in [-1, 1]; a wrong one costs the solver steps, and nothing else


def ode_bits_per_dim(
    denoise: Denoiser, images: Tensor, *, sigma_min: float, sigma_max: float, steps: int = 32
) -> Tensor:
    """Bits for each colour value, (B, C, H, W) in [-1, 1] -> (B,): a bound from above, up to the error of the solver.

    Grey levels are spread evenly over their width (uniform dequantisation: Theis et al. 2016, equation 3). Costs
    4 * steps evaluations of the denoiser, each with its gradient.
    """
    noise_at = following(images)
    spread = images + GREY_LEVEL * (torch.special.ndtr(noise_at(0)) - 0.5)
    nats = ode_log_density(denoise, spread, noise_at(1).sign(), sigma_min=sigma_min, sigma_max=sigma_max, steps=steps)
    return -(nats / images[0].numel() + math.log(GREY_LEVEL)) / math.log(2)


def ode_log_density(
    denoise: Denoiser, images: Tensor, probe: Tensor, *, sigma_min: float, sigma_max: float, steps: int = 32
) -> Tensor:
    """Log density at noise level sigma_min in nats, (B, C, H, W) -> (B,). Song et al. 2021, equations 39 and 40.

    probe: a random sign for every value, which estimates the trace of the denoiser's Jacobian without bias.

    The ODE is solved by Runge and Kutta's fourth-order method in s = log(sigma), for z = x / radius with
    radius^2 = sigma^2 + DATA_VARIANCE: where the data is a Gaussian of that variance, z stands still.
    """
    size = images[0].numel()

    def slope(z: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """dz/ds and its divergence: (B, C, H, W) and (B,)"""
        sigma, variance = math.exp(s), math.exp(2 * s) + DATA_VARIANCE
        with torch.enable_grad():
            x = (z * variance**0.5).detach().requires_grad_()
            clean = denoise(x, torch.full((len(x),), sigma, device=x.device))
            (pulled,) = torch.autograd.grad((clean * probe).sum(), x)
        trace = (pulled * probe).flatten(1).sum(1)
        moved = (x - clean) / variance**0.5 - z * (sigma**2 / variance)
        return moved.detach(), size * DATA_VARIANCE / variance - trace

    s, h = math.log(sigma_min), math.log(sigma_max / sigma_min) / steps
    z, growth = images / (sigma_min**2 + DATA_VARIANCE) ** 0.5, images.new_zeros(len(images))
    for _ in range(steps):
        z_1, growth_1 = slope(z, s)
        z_2, growth_2 = slope(z + h / 2 * z_1, s + h / 2)
        z_3, growth_3 = slope(z + h / 2 * z_2, s + h / 2)
        z_4, growth_4 = slope(z + h * z_3, s + h)
        z = z + h / 6 * (z_1 + 2 * z_2 + 2 * z_3 + z_4)
        growth = growth + h / 6 * (growth_1 + 2 * growth_2 + 2 * growth_3 + growth_4)
        s += h
    prior = -0.5 * (z.square().flatten(1).sum(1) + size * math.log(2 * math.pi))
    return prior + growth - 0.5 * size * math.log(sigma_min**2 + DATA_VARIANCE)


def importance_bits_per_dim(
    images: Tensor, log_weight: Callable[[Tensor], Tensor], numbers: int, *, count: int
) -> Tensor:
    """Bits for each colour value by latents z that were drawn from q(z|x), (B, C, H, W) -> (B,): a bound from above.

    log p(x) >= E log 1/K sum_k p(x, z_k) / q(z_k|x): Burda et al. 2016, equation 8, with K = count; 1 is the ELBO.
    log_weight: standard normal (B, numbers), from which z_k is made -> log p(x, z_k) / q(z_k|x), (B,).
    """
    size = images[0].numel()
    # As wide as the latents at least, because what is drawn has the shape of what it is derived from.
    noise_at = following(F.pad(images.flatten(1), (0, max(0, numbers - size))))
    weights = torch.stack([log_weight(noise_at(k)[:, :numbers]) for k in range(count)])
    return (math.log(count) - weights.logsumexp(0)) / (size * math.log(2))


def normal_kl_nats(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(other_mean, exp(other_log_variance))) of every value, in nats."""
    ratio = log_variance - other_log_variance
    distance = (mean - other_mean).square() * (-other_log_variance).exp()
    return 0.5 * (ratio.exp() + distance - 1 - ratio)


def grey_level_nats(images: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """-log P(grey level) under N(mean, exp(log_variance)) of every value, in nats. Ho et al. 2020, equation 13.

    images: 8-bit values in [-1, 1]. The mass beyond black counts as black, that beyond white as white.
    """
    deviation = (log_variance / 2).exp()
    above = torch.special.ndtr((images - mean + GREY_LEVEL / 2) / deviation)
    below = torch.special.ndtr((images - mean - GREY_LEVEL / 2) / deviation)
    above = torch.where(images > 1 - GREY_LEVEL / 2, 1.0, above)
    below = torch.where(images < -1 + GREY_LEVEL / 2, 0.0, below)
    return -(above - below).clamp_min(1e-12).log()
