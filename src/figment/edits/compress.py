"""Keep a picture as a small file of what the model encodes it as, and open it again with the same model.

    2 bytes "fc"   1 version   4 of the model's digest   2 height   2 width   [2 step]   codes   4 CRC-32

The codes of a tokenizer, or the latents of another encoder in levels (see `_levels.py`), are written by arithmetic
coding with frequencies that are learnt on the way. A picture that is larger than the model's is cut into tiles side by
side. Without its model a file is nothing: its weights are what all pictures have in common.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.config import check_range
from figment.core.errors import CheckpointError, ConfigError, DataError
from figment.core.types import ImageSpec, Progress, Tokenizes, silent
from figment.edits import Answer, Request
from figment.edits._coding import Coder, Frequencies, Reader, Writer
from figment.edits._levels import Levels, levels_of, searched
from figment.edits._quality import psnr_figures

NEEDS = (("Tokenizes",), ("Encodes",))
INPUTS = ("image?",)

SUFFIX = ".coded"
HEADER, STEP, CHECK = struct.Struct(">2sB4sHH"), struct.Struct(">e"), struct.Struct(">I")
MAGIC, VERSION = b"fc", 1
USUAL_STEP = 60.0
BATCH = 64  # tiles at a time
MOST_PIXELS = 2**24  # or a file of some bytes could keep its reader busy for a day


@dataclass(frozen=True)
class Config:
    """How finely, or which file to open."""

    step: float | None = None
    """How far a picture moves with one level of a latent: the root of the sum of the squares of what changes, in grey
    levels, 60 where it is not given. Smaller is finer; of no use to a tokenizer, whose codes are whole."""
    open: str = ""
    """A file that was compressed, to be opened; give no picture then."""

    def __post_init__(self):
        if self.step is not None:
            check_range("edit.step", self.step, 0.1, 60_000)
            if self.open:
                raise ConfigError(f"--edit.step {self.step:g}: has no effect on a file that is there; leave it out")


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture as it comes back, the same for every seed; the file; its `bits_per_pixel` and `psnr_db`."""
    assert request.spec
    if len(request.images) != (not config.open):
        raise ConfigError(
            f"'compress' takes one picture or --edit.open FILE, {len(request.images)} pictures were given"
            f"{' beside the file' * bool(config.open)}; give one of both"
        )
    if config.open:
        data, name = _read(config.open), config.open
    else:
        data = compress(model, request.spec, request.images[0], config.step, request.progress)
        name = "what was just written"
    answer = decompress(model, request.spec, data, name)
    figures = {"bits_per_pixel": 8 * len(data) / (answer.shape[2] * answer.shape[3])}
    images = answer.expand(len(request.seeds), -1, -1, -1)
    if config.open:
        return Answer(images, figures=figures)
    return Answer(images, figures=figures | psnr_figures(request.images[0], answer), file=data, suffix=SUFFIX)


@torch.no_grad()
def compress(
    model: Any, spec: ImageSpec, image: Tensor, step: float | None = None, progress: Progress = silent
) -> bytes:
    """(1, C, H, W) of any size as a file; step: as in `Config`.

    Raises ConfigError for a step that has no effect, DataError for a picture that is too large.
    """
    height, width = image.shape[2:]
    if max(height, width) > 0xFFFF or height * width > MOST_PIXELS:
        raise DataError(
            f"a picture of {height}x{width}: 'compress' takes up to {MOST_PIXELS:,} pixels, and {0xFFFF} a side; "
            "cut it first"
        )
    if isinstance(model, Tokenizes) and step is not None:
        raise ConfigError(f"--edit.step {step:g}: a tokenizer's codes have no levels; leave it out")
    coding = coding_of(model, spec, USUAL_STEP if step is None else step)
    return coding.file(coding.numbers(_cut(image, spec), progress), height, width)


@torch.no_grad()
def decompress(model: Any, spec: ImageSpec, data: bytes, name: str = "the file") -> Tensor:
    """What `compress` made of a picture, as a picture (1, C, H, W) in [-1, 1] again.

    Raises DataError where the bytes are not its own, or damaged; CheckpointError where another model wrote them.
    """
    made_by, height, width = _whole(data, name)
    body, step = data[HEADER.size : -CHECK.size], USUAL_STEP
    if not isinstance(model, Tokenizes):
        (step,), body = STEP.unpack(body[: STEP.size].ljust(STEP.size, b"\0")), body[STEP.size :]
        if not 0 < step < math.inf:
            raise DataError(f"{name}: says a step of {step:g}, which none has; compress the picture again")
    coding = coding_of(model, spec, step)
    if made_by != coding.digest:
        raise CheckpointError(
            f"{name}: was written by a model with the digest {made_by.hex()}, this one has {coding.digest.hex()}; "
            "give the run that wrote it"
        )
    numbers = np.zeros((-(-height // spec.height) * -(-width // spec.width), *coding.shape), np.int64)
    _code(Reader(body), model, coding.levels, numbers)
    return _joined(coding.tiles(torch.from_numpy(numbers)), spec, height, width)


@dataclass(frozen=True)
class Coding:
    """What all files of one model have in common, of one step.

    shape: of the numbers of one tile. levels: None of a tokenizer. digest: 4 bytes that tell the model's weights, and
    the widths that follow from them, from others.
    """

    model: Any
    shape: tuple[int, ...]
    levels: Levels | None
    digest: bytes

    @torch.no_grad()
    def numbers(self, tiles: Tensor, progress: Progress = silent) -> Tensor:
        """What is written of tiles (N, C, h, w): (N, *shape) int64."""
        if self.levels:
            return searched(self.model, self.levels, tiles, progress)
        return torch.cat([self.model.tokenize(part) for part in tiles.split(BATCH)])

    @torch.no_grad()
    def tiles(self, numbers: Tensor) -> Tensor:
        """(N, *shape) -> tiles (N, C, h, w) in [-1, 1]"""
        if self.levels:
            parts = [self.model.decode(part * self.levels.widths) for part in numbers.split(BATCH)]
        else:
            parts = [self.model.detokenize(part) for part in numbers.split(BATCH)]
        return torch.cat(parts).clamp(-1, 1)

    def file(self, numbers: Tensor, height: int, width: int) -> bytes:
        """The numbers of all tiles of a picture of this size as a file."""
        writer, told = Writer(), STEP.pack(self.levels.step) if self.levels else b""
        _code(writer, self.model, self.levels, numbers.numpy())
        body = HEADER.pack(MAGIC, VERSION, self.digest, height, width) + told + writer.finished()
        return body + CHECK.pack(zlib.crc32(body))


@torch.no_grad()
def coding_of(model: Any, spec: ImageSpec, step: float) -> Coding:
    """How a model's pictures are written at a step, which a tokenizer takes no notice of."""
    found, levels, blank = hashlib.sha256(), None, torch.zeros(1, *spec.shape)
    for key, tensor in sorted(model.state_dict().items()):
        found.update(key.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    if isinstance(model, Tokenizes):
        shape = tuple(model.tokenize(blank).shape[1:])
    else:
        shape = tuple(model.encode(blank).shape[1:])
        levels = levels_of(model, shape, STEP.unpack(STEP.pack(step))[0])
    found.update(levels.widths.numpy().tobytes() if levels else b"")
    return Coding(model, shape, levels, found.digest()[:4])


def _whole(data: bytes, name: str) -> tuple[bytes, int, int]:
    """The digest of the model, and height and width of the picture, in a file that is whole."""
    if data[:2] != MAGIC or len(data) < HEADER.size + CHECK.size:
        raise DataError(f"{name}: is no compressed picture; give a {SUFFIX} file that 'figment edit compress' wrote")
    if zlib.crc32(data[: -CHECK.size]) != CHECK.unpack(data[-CHECK.size :])[0]:
        raise DataError(f"{name}: damaged (its checksum differs); fetch it again, or compress the picture again")
    _, version, made_by, height, width = HEADER.unpack(data[: HEADER.size])
    if version != VERSION:
        raise DataError(f"{name}: format {version}, this figment reads {VERSION}; upgrade figment")
    if not 0 < height * width <= MOST_PIXELS:
        raise DataError(f"{name}: says that its picture is {height}x{width}, which none is; it was not made by figment")
    return made_by, height, width


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror}); give a {SUFFIX} file") from None


def _code(coder: Coder, model: Any, levels: Levels | None, numbers: np.ndarray) -> None:
    """Write the codes (N, tokens) or levels (N, D, ...) of some tiles, or read them into the array.

    Tokens share one table of frequencies; each of D latents has its own.
    """
    if levels is None:
        frequencies = Frequencies([1] * model.vocabulary)
        for place in np.ndindex(numbers.shape):
            numbers[place] = coder.symbol(frequencies, int(numbers[place]))
        return
    for channel, level in zip(np.moveaxis(numbers, 1, 0), levels.coders(), strict=True):
        for place in np.ndindex(channel.shape):
            channel[place] = level.code(coder, int(channel[place]))


def _cut(image: Tensor, spec: ImageSpec) -> Tensor:
    """(1, C, H, W) -> tiles (N, C, h, w) row by row, the last row and column of the picture repeated."""
    bottom, right = -image.shape[2] % spec.height, -image.shape[3] % spec.width
    wide = F.pad(image, (0, right, 0, bottom), mode="replicate")
    tiles = wide.unflatten(3, (-1, spec.width)).unflatten(2, (-1, spec.height))  # (1, C, rows, h, columns, w)
    return tiles.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)


def _joined(tiles: Tensor, spec: ImageSpec, height: int, width: int) -> Tensor:
    """The inverse of `_cut`."""
    rows, columns = -(-height // spec.height), -(-width // spec.width)
    grid = tiles.unflatten(0, (1, rows, columns)).permute(0, 3, 1, 4, 2, 5)
    return grid.flatten(4, 5).flatten(2, 3)[..., :height, :width]
