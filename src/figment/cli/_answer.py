"""What an edit answers, written: a PNG each, a GIF and a film strip where it moves, and what else is worth a look."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.edits import Answer
    from figment.evaluate.opening import Given

STRIP = 12  # frames in a row of a film strip, at most


def write_answer(
    out: Path,
    answer: Answer,
    given: Sequence[Given],
    seeds: Sequence[int],
    recipe: Mapping[str, Any],
    originals: Sequence[Path],
) -> list[Path]:
    """Write all of an answer beside `out`, which the first picture is written to; returns the files.

    recipe: what all have in common. originals: files that must not be overwritten; ConfigError where one would be.
    """
    from figment.core.images import grid, to_uint8
    from figment.evaluate.opening import finished

    files: list[Path] = []
    for file, seed, pixels in zip(named(out, seeds), seeds, finished(answer, given), strict=True):
        files += _write_one(file, pixels, {**recipe, "seed": seed}, originals)
    for name, images in answer.extras.items():
        extra = to_uint8(images)
        file = out.with_name(f"{out.stem}-{name.replace('_', '-')}.png")
        _write_one(file, extra[0] if len(extra) == 1 else grid(extra), {**recipe, "extra": name}, originals)
        files.append(file)
    if answer.file is not None:
        file = out.with_suffix(answer.suffix)
        refuse_original(file, originals)
        file.write_bytes(answer.file)
        files.append(file)
    return files


def named(out: Path, seeds: Sequence[int]) -> list[Path]:
    """The files of an answer's pictures: all but the first have their seed in the name."""
    return [out.with_name(f"{out.stem}{f'-{seed}' * bool(place)}.png") for place, seed in enumerate(seeds)]


def _write_one(file: Path, pixels: np.ndarray, recipe: Mapping[str, Any], originals: Sequence[Path]) -> list[Path]:
    """uint8 (H, W, C) as a PNG, or (T, H, W, C) as a GIF and a PNG of its frames side by side."""
    from figment.cli._animate import write_gif
    from figment.core.images import FRAME_MS, grid, write_png

    moving = file.with_suffix(".gif")
    files = [moving, file] if pixels.ndim == 4 else [file]
    for one in files:
        refuse_original(one, originals)
    if pixels.ndim == 4:
        write_gif(moving, pixels, [FRAME_MS] * len(pixels), recipe)
        rows = math.ceil(len(pixels) / STRIP)
        pixels = grid(pixels, math.ceil(len(pixels) / rows))  # rows as long as each other
    write_png(file, np.ascontiguousarray(pixels), recipe)
    return files


def refuse_original(file: Path, originals: Sequence[Path]) -> None:
    """Raise ConfigError where a file that is to be written is one of those given, under whatever name."""
    if file.exists() and any(original.exists() and file.samefile(original) for original in originals):
        raise ConfigError(f"--out {file}: is a picture that was given, which is never overwritten; give another name")
