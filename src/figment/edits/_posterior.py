"""Pictures that a model holds likely, and that what was measured of them could have been measured of: p(x | y).

Any sampler draws from it, given a denoiser that knows of the measurement y = A x + s n. What the model's estimate D of
the clean picture, which is good up to a variance of about r^2, lacks of it is made up for:

    D' = D + sigma^2 / r^2  (dD/dx)^T  A^T (A A^T + s^2 / r^2)^-1 (y - A D)

Song et al. 2023, "Pseudoinverse-guided diffusion models", equations 7 and 8. The derivative tells what else must change
where one pixel does. Were it r^2 / sigma^2, as for pixels that know nothing of each other, D' would agree with y at
once: without noise, A^+ y + (1 - A^+ A) D, the range-null space decomposition of Wang et al. 2023, equation 13. Nothing
is trained.

r^2 = sigma^2 v / (sigma^2 + v) is what is not known of a value of variance v that is seen under noise. The paper has
v = 1. Values spread evenly over [-1, 1] have 1/3, which is nearer to pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from figment.core import plugins
from figment.core.types import Progress
from figment.edits import Answer, Request
from figment.edits._canvas import PixelCanvas, canvas_of
from figment.edits._drawing import finish, sampling_of
from figment.edits._operators import Operator, agreeing
from figment.edits._tiles import Tiling, mirrored
from figment.samplers import SCHEDULES, Denoiser, Sampling

LEVEL = 2 / 255  # one of 256 grey levels, in units of [-1, 1]
ROUNDING = 12**-0.5  # standard deviation of what is lost where values are rounded to whole levels, in levels
EXACT = ROUNDING * LEVEL  # noise that is no more than rounding
FINEST = 0.1  # noise that is walked through; what is finer would be grain, and is left to the model's estimate


@torch.no_grad()
def restored(
    model: Any,
    request: Request,
    measured: Tensor,
    operator_of: Callable[[int, int], Operator],
    *,
    factor: int = 1,
    noise: float = 0.0,
) -> Tensor:
    """Answers (N, C, factor H, factor W) in [-1, 1], one for each seed, of which (1, C', H, W) was measured.

    operator_of: the operator for pictures of a height and width. noise: standard deviation of the measurement's; where
    it is EXACT or less, every answer agrees with it. Pictures that are smaller than the model's are mirrored beyond
    their borders meanwhile.
    """
    spec, settings = request.spec, sampling_of(request)
    assert spec is not None, "an edit that denoises has a model"
    padded, inside = mirrored(measured, (math.ceil(spec.height / factor), math.ceil(spec.width / factor)))
    height, width = factor * padded.shape[-2], factor * padded.shape[-1]
    canvas = canvas_of(model, Tiling((height, width), (spec.height, spec.width)), request.condition, settings)
    start, sigmas = canvas.noise(request.seeds, spec.channels), levels(model, settings)
    denoise = counted(informed(canvas, operator_of(height, width), padded, noise), request.progress, settings)
    images = canvas.shown(finish(denoise, start * sigmas[0], sigmas, start, settings)).clamp(-1, 1)
    rows, columns = (slice(factor * one.start, factor * one.stop) for one in inside)
    images = images[..., rows, columns]
    return images if noise > EXACT else agreeing(operator_of(*images.shape[-2:]), images, measured)


def levels(model: Any, settings: Sampling) -> Tensor:
    """The settings' noise levels, but ending at FINEST: (steps + 1,), the last one 0."""
    options = {} if settings.shift is None else {"shift": settings.shift}
    return SCHEDULES[settings.schedule](settings.steps, max(FINEST, model.sigma_min), model.sigma_max, **options)


def informed(canvas: PixelCanvas, operator: Operator, measured: Tensor, noise: float) -> Denoiser:
    """The denoiser of a canvas's states that knows what was measured: D'."""

    def denoise(state: Tensor, sigma: Tensor) -> Tensor:
        level = float(sigma[0])  # samplers walk all rows at one sigma
        variance = canvas.variance(level)  # r^2
        with torch.enable_grad():
            state = state.detach().requires_grad_()
            estimate, clean = canvas.estimates(state, sigma)
        seen = operator.forward(clean.detach())
        missing = unclipped(measured, seen, noise) - seen
        pull = operator.pull(missing, noise**2 / variance)
        if canvas.settings.judge:  # which no gradient leads through
            return canvas.state_of(clean + pull)
        return estimate.detach() + level**2 / variance * torch.autograd.grad(clean, state, pull)[0]

    return denoise


def unclipped(measured: Tensor, seen: Tensor, noise: float) -> Tensor:
    """A measurement with what lies at the ends of its range, where noise was cut off, as far beyond it as is likely.

    E[y | y <= -1] = a - s phi(z) / Phi(z) where y ~ N(a, s^2) and z = (-1 - a) / s, and so at the other end. seen: a.
    """
    if not noise:
        return measured
    low = seen - noise * _tail((-1 - seen) / noise)
    high = seen + noise * _tail((seen - 1) / noise)
    return torch.where(measured <= -1, low, torch.where(measured >= 1, high, measured))


def _tail(z: Tensor) -> Tensor:
    """phi(z) / Phi(z) of the standard normal, where it must not overflow."""
    return torch.exp(-0.5 * z**2 - 0.5 * math.log(2 * math.pi) - torch.special.log_ndtr(z))


def counted(denoise: Denoiser, progress: Progress, settings: Sampling) -> Denoiser:
    """The denoiser, which tells how often of all it was asked, each time that it is."""
    done, total = 0, settings.steps * plugins.load("samplers", settings.sampler).EVALUATIONS_PER_STEP

    def told(state: Tensor, sigma: Tensor) -> Tensor:
        nonlocal done
        done = min(done + 1, total)
        progress(done, total)
        return denoise(state, sigma)

    return told


def answered(images: Tensor, extras: dict[str, Tensor] | None = None, **facts: Any) -> Answer:
    """An answer; where it has several pictures, with their average, which is nearer to the truth than each but less
    sharp, and a map of how far they disagree, white where most."""
    extras = dict(extras or {})
    if len(images) > 1:
        spread = images.std(0, keepdim=True).mean(1, keepdim=True)
        extras["average"] = images.mean(0, keepdim=True)
        extras["disagreement"] = 2 * spread / spread.max().clamp(min=1e-6) - 1
    return Answer(images, extras, **facts)
