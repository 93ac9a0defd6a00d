"""One file per way from noise to picture: sample(denoise, noise, sigmas, *, noise_at=None) -> Iterator[Tensor].

`denoise(noisy, sigma)` takes (B, C, H, W) and (B,) and returns its estimate of the clean picture; `sigmas` is a falling
sequence of noise levels that ends in 0; the first thing yielded is the state after the first step, the last one the
picture. Here is what all samplers share: schedules of sigmas, and guidance.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from figment.core.types import Condition, Denoises

Denoiser = Callable[[Tensor, Tensor], Tensor]


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """Noise levels closer together the lower they are: (steps + 1,), falling from sigma_max, the last one 0.

    Karras et al. 2022, equation 5. Equal steps of flow time would begin with a leap that second-order solvers
    do not survive: with 9 of them Heun's pictures fall apart.
    """
    if steps == 1:
        return torch.tensor([sigma_max, 0.0])
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)]).float()


def last(states: Iterator[Tensor]) -> Tensor:
    """The final state of a sampler: the picture."""
    return deque(states, maxlen=1).pop()


def guided(model: Denoises, condition: Condition | None, guidance: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, equation 6): D = D_free + guidance * (D_asked - D_free).

    guidance 1 is the plain conditional model and costs one evaluation, anything else two in one batch.
    """
    if condition is None or guidance == 1.0:
        return lambda noisy, sigma: model.denoise(noisy, sigma, condition)
    free = _not_given(condition)
    both = Condition(
        labels=_joined(condition.labels, free.labels), attributes=_joined(condition.attributes, free.attributes)
    )

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        asked, unasked = model.denoise(torch.cat([noisy, noisy]), torch.cat([sigma, sigma]), both).chunk(2)
        return torch.lerp(unasked, asked, guidance)

    return denoise


def _not_given(condition: Condition) -> Condition:
    labels, attributes = condition.labels, condition.attributes
    return Condition(
        labels=None if labels is None else torch.full_like(labels, -1),
        attributes=None if attributes is None else torch.full_like(attributes, float("nan")),
    )


def _joined(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return None if first is None or second is None else torch.cat([first, second])
