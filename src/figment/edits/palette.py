"""Draw pictures in given colours.

What the model takes for the clean picture is moved, at every step, along x - T(x), the gradient of half the squared
Wasserstein distance between its colours and the palette's, as He et al. 2024, "Manifold preserving guided diffusion",
move it by other losses; the model mends the rest. To recolour a picture that is there, use `recolor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from figment.core.noise import noise
from figment.core.types import Encodes
from figment.edits import Answer, Request
from figment.edits._drawing import finish, in_parts, rows_of, sampling_of, shown
from figment.edits._palette import PaletteConfig, distance, palette_of, recoloured, refuse_grey
from figment.samplers import Denoiser, guided

NEEDS = (("Generates", "Denoises"),)
INPUTS = ()


@dataclass(frozen=True)
class Config(PaletteConfig):
    """Which colours, and how strictly."""


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """A picture of each seed: (N, C, H, W)."""
    settings, palette, start = sampling_of(request), palette_of(config.colors), noise(request.seeds, model)
    assert request.spec is not None, "an edit that needs a model is told of its pictures"
    refuse_grey(request.spec.channels)
    sigmas = settings.sigmas(model)

    def draw(rows: slice) -> Tensor:
        begin = start[rows]
        denoise = _towards(guided(model, rows_of(request.condition, rows), settings), model, palette, config)
        drawn = finish(denoise, begin * sigmas[0], sigmas, begin, settings)
        return shown(model, drawn)

    images = in_parts(draw, len(start), request.progress)
    return Answer(images, figures={"colour_distance": distance(images, palette)})


def _towards(denoise: Denoiser, model: Any, palette: Tensor, config: Config) -> Denoiser:
    """The denoiser with its clean picture's colours moved, less while there is more noise than picture.

    Latents are moved by as much as they differ where the moved picture is encoded.
    """

    def towards(noisy: Tensor, sigma: Tensor) -> Tensor:
        clean = denoise(noisy, sigma)
        trust = (1 / (1 + sigma)).view(-1, *[1] * (clean.ndim - 1))
        if isinstance(model, Encodes):
            images = model.decode(clean)
            return clean + trust * (model.encode(recoloured(images, palette, config)) - model.encode(images))
        return clean + trust * (recoloured(clean, palette, config) - clean)

    return towards
