"""The way from noise to pictures as a GIF: `figment sample --animate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from figment.core.errors import CapabilityError
from figment.core.images import to_uint8
from figment.core.noise import noise
from figment.core.types import Condition, Denoises, Encodes
from figment.evaluate.extract import CHUNK
from figment.samplers import Sampling, states

FALL_MS, HOLD_MS, LEAST_MS = 2500, 2000, 20  # browsers show what is shorter than 20 ms for longer


@torch.no_grad()
def way(
    model: Any, seeds: Sequence[int], condition: Condition | None, settings: Any, progress: Callable[..., None]
) -> tuple[np.ndarray, list[int]]:
    """Pure noise and the state after every step: uint8 (N, steps + 1, H, W, C); and how long to show each, in ms.

    Shown is x / (1 + sigma), which mixes noise and picture as the eye sees it, for as long as its step takes in flow
    time sigma / (1 + sigma): the noise then fades evenly, wherever the steps lie.

    Raises CapabilityError for a model that does not go from noise to picture by steps.
    """
    if not isinstance(model, Denoises) or not isinstance(settings, Sampling):
        raise CapabilityError("--animate: this run does not denoise step by step; give a run of one that does, as flow")
    sigmas, chunks = settings.sigmas(model), []
    decode = model.decode if isinstance(model, Encodes) else lambda clean: clean
    for low in range(0, len(seeds), CHUNK):
        rows = slice(low, low + CHUNK)
        start = noise(seeds[rows], model)
        asked = None if condition is None else condition[rows]
        seen: list[Tensor] = [start * sigmas[0], *states(model, start, asked, settings)]
        frames = [to_uint8(decode(state / (1 + sigma))) for state, sigma in zip(seen, sigmas, strict=True)]
        chunks.append(np.stack(frames, axis=1))
        progress(min(low + CHUNK, len(seeds)), len(seeds))
    times = (sigmas / (1 + sigmas)).tolist()
    shown = [max(LEAST_MS, round(FALL_MS * (time - after) / times[0], -1)) for time, after in pairwise(times)]
    return np.concatenate(chunks), [*(int(ms) for ms in shown), HOLD_MS]


def write_gif(path: Path, frames: np.ndarray, shown: Sequence[int], recipe: Mapping[str, Any]) -> None:
    """uint8 (T, H, W, C) as a GIF that repeats, with its recipe as the comment; shown: milliseconds of each frame.

    GIFs have no half-transparent pixels: what is transparent is laid on white.
    """
    first, *rest = (_opaque(frame) for frame in frames)
    comment = json.dumps(recipe, sort_keys=True).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".tmp")
    try:
        first.save(
            fresh, "GIF", save_all=True, append_images=rest, duration=list(shown), loop=0, comment=comment, disposal=1
        )
        fresh.replace(path)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise


def _opaque(frame: np.ndarray) -> Image.Image:
    """uint8 (H, W, C), C = 1, 3 or 4 -> a picture of at most 256 colours"""
    if frame.shape[2] == 1:
        return Image.fromarray(frame[..., 0])
    picture = Image.fromarray(frame)
    if frame.shape[2] == 4:
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.quantize(dither=Image.Dither.NONE)
