"""Pictures under noise, and drawn again from there: what `redraw` and `variations` share.

    x_t = (1 - t) x + t n,  in other words  x + sigma n  with  sigma = t / (1 - t)        t: the strength

From there the sampler goes on as if the noisy picture were its own: what the noise has drowned is drawn anew, what
still shows through stays. Meng et al. 2022, "SDEdit", algorithm 1, with t in the time of flows in place of the paper's.
A model that jumps needs no sampler: it is asked once where the way from the noisy picture ends.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from figment.core.types import Condition, Encodes, Jumps
from figment.edits import Request
from figment.edits._canvas import canvas_of
from figment.edits._drawing import finish, in_parts, rows_of, sampling_of
from figment.edits._tiles import Place, Tiling, mirrored
from figment.samplers import SCHEDULES, Denoiser, Sampling, guided


@torch.no_grad()
def redrawn(model: Any, request: Request, strength: float) -> Tensor:
    """The request's picture drawn again for each seed, at its own size: (N, C, H, W) in [-1, 1].

    strength: 0 gives the picture back, 1 ignores it. Larger pictures than the model's are worked on as tiles that
    overlap; smaller ones are mirrored beyond their borders meanwhile.
    """
    spec, (image,) = request.spec, request.images
    assert spec is not None, "an edit that denoises has a model"
    if strength == 0:
        return image.repeat(len(request.seeds), 1, 1, 1)
    image, (rows, columns) = mirrored(image, (spec.height, spec.width))
    tiling = Tiling((image.shape[-2], image.shape[-1]), (spec.height, spec.width))
    draw = partial(_part, model, request, image, tiling, strength)
    return in_parts(draw, len(request.seeds), request.progress)[..., rows, columns]


def _part(model: Any, request: Request, image: Tensor, tiling: Tiling, strength: float, rows: slice) -> Tensor:
    settings, condition = sampling_of(request), rows_of(request.condition, rows)
    canvas = canvas_of(model, tiling, condition, settings)
    noise, kept = canvas.noise(request.seeds[rows], image.shape[1]), canvas.state_of(image)
    sigma = min(strength / (1 - strength), model.sigma_max) if strength < 1 else model.sigma_max
    if sigma == model.sigma_max:  # where samples begin, in noise alone
        kept = torch.zeros_like(kept)
    if isinstance(model, Jumps):
        return _ends(model, kept + sigma * noise, sigma, condition, tiling).clamp(-1, 1)
    sigmas = _levels(model, settings, sigma)
    if len(tiling.corners) == 1 and isinstance(model, Encodes):  # latents need not pass through pictures
        denoise = _of_latents(model, condition, settings)
    else:
        denoise = _of_canvas(canvas)
    return canvas.shown(finish(denoise, kept + sigmas[0] * noise, sigmas, noise, settings)).clamp(-1, 1)


def _ends(model: Jumps, state: Tensor, sigma: float, condition: Condition | None, tiling: Tiling) -> Tensor:
    """Where the ways from noisy pictures end, (B, C, H, W) -> the same shape; tile by tile, blended."""

    def draw(places: list[Place]) -> Tensor:
        noisy = tiling.cut(state, places)
        return model.end(noisy, noisy.new_full((len(noisy),), sigma), rows_of(condition, [row for row, _, _ in places]))

    return tiling.blend(len(state), draw)


def _of_canvas(canvas: Any) -> Denoiser:
    return lambda state, sigma: canvas.state_of(canvas.clean(state, sigma))


def _of_latents(model: Any, condition: Condition | None, settings: Sampling) -> Denoiser:
    """Of states (B, 1, *latent), the latents of the one tile."""
    denoise = guided(model, condition, settings)
    return lambda state, sigma: denoise(state[:, 0], sigma)[:, None]


def _levels(model: Any, settings: Sampling, sigma: float) -> Tensor:
    """The settings' noise levels, but falling from sigma: (steps + 1,), the last one 0."""
    if sigma <= model.sigma_min:
        return torch.tensor([sigma, 0.0])
    options = {} if settings.shift is None else {"shift": settings.shift}
    return SCHEDULES[settings.schedule](settings.steps, model.sigma_min, sigma, **options)
