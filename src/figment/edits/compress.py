"""Keep a picture as a small file of what the model encodes it as, and open it again with the same model.

    2 bytes "fc"   1 version   4 of the model's digest   2 height   2 width   [2 width of a level]   codes   4 CRC-32

The codes of a tokenizer, or the latents of another encoder in levels of one width, are written by arithmetic coding
with frequencies that are learnt on the way. A picture that is larger than the model's is cut into tiles side by side.
Without its model a file is nothing: its weights are what all pictures have in common.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core.config import check_range
from figment.core.errors import CheckpointError, ConfigError, DataError
from figment.core.types import ImageSpec, Tokenizes
from figment.edits import Answer, Request
from figment.edits._coding import Coder, Frequencies, Integers, Reader, Writer
from figment.edits._quality import psnr_figures

NEEDS = (("Tokenizes",), ("Encodes",))
INPUTS = ("image?",)

SUFFIX = ".coded"
HEADER, LEVEL, CHECK = struct.Struct(">2sB4sHH"), struct.Struct(">e"), struct.Struct(">I")
MAGIC, VERSION = b"fc", 1
USUAL_STEP = 0.25
BATCH = 64  # tiles at a time


@dataclass(frozen=True)
class Config:
    """How finely, or which file to open."""

    step: float | None = None
    """Width of a level in deviations of the picture's latents, 0.25 where it is not given; smaller is finer, and of no
    use to a tokenizer, whose codes are whole."""
    open: str = ""
    """A file that was compressed, to be opened; give no picture then."""

    def __post_init__(self):
        if self.step is not None:
            check_range("edit.step", self.step, 1e-3, 100)
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
        data, name = compress(model, request.spec, request.images[0], config.step), "what was just written"
    answer = decompress(model, request.spec, data, name)
    figures = {"bits_per_pixel": 8 * len(data) / (answer.shape[2] * answer.shape[3])}
    images = answer.expand(len(request.seeds), -1, -1, -1)
    if config.open:
        return Answer(images, figures=figures)
    return Answer(images, figures=figures | psnr_figures(request.images[0], answer), file=data, suffix=SUFFIX)


@torch.no_grad()
def compress(model: Any, spec: ImageSpec, image: Tensor, step: float | None = None) -> bytes:
    """(1, C, H, W) of any size as a file; step: as in `Config`.

    Raises ConfigError for a step that has no effect, DataError for a picture that is too large.
    """
    height, width = image.shape[2:]
    if max(height, width) > 0xFFFF:
        raise DataError(f"a picture of {height}x{width}: 'compress' takes up to {0xFFFF} pixels a side; cut it first")
    tiles = _cut(image, spec)
    head = HEADER.pack(MAGIC, VERSION, digest(model), height, width)
    writer = Writer()
    if isinstance(model, Tokenizes):
        if step is not None:
            raise ConfigError(f"--edit.step {step:g}: a tokenizer's codes have no levels; leave it out")
        numbers = torch.cat([model.tokenize(part) for part in tiles.split(BATCH)]).numpy()
    else:
        latents = torch.cat([model.encode(part) for part in tiles.split(BATCH)]).float()
        deviation = float(latents.square().mean().sqrt().clamp(1e-3, 1e2))
        level = LEVEL.pack((USUAL_STEP if step is None else step) * deviation)
        numbers = (latents / LEVEL.unpack(level)[0]).round().long().numpy()
        head += level
    _code(writer, model, numbers)
    body = head + writer.finished()
    return body + CHECK.pack(zlib.crc32(body))


@torch.no_grad()
def decompress(model: Any, spec: ImageSpec, data: bytes, name: str = "the file") -> Tensor:
    """What `compress` made of a picture, as a picture (1, C, H, W) in [-1, 1] again.

    Raises DataError where the bytes are not its own, or damaged; CheckpointError where another model wrote them.
    """
    height, width = _checked(model, data, name)
    body = data[HEADER.size : -CHECK.size]
    count = -(-height // spec.height) * -(-width // spec.width)
    blank = torch.zeros(1, *spec.shape)
    if isinstance(model, Tokenizes):
        numbers, back, scale = np.zeros((count, *model.tokenize(blank).shape[1:]), np.int64), model.detokenize, None
    else:
        (scale,), body = LEVEL.unpack(body[: LEVEL.size]), body[LEVEL.size :]
        numbers, back = np.zeros((count, *model.encode(blank).shape[1:]), np.int64), model.decode
    _code(Reader(body), model, numbers)
    codes = torch.from_numpy(numbers)
    tiles = torch.cat([back(part if scale is None else part * scale) for part in codes.split(BATCH)])
    return _joined(tiles.clamp(-1, 1), spec, height, width)


def digest(model: Any) -> bytes:
    """4 bytes that tell a model's weights from others."""
    found = hashlib.sha256()
    for key, tensor in sorted(model.state_dict().items()):
        found.update(key.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.digest()[:4]


def _checked(model: Any, data: bytes, name: str) -> tuple[int, int]:
    """Height and width of the picture in a file that is whole, and this model's."""
    if data[:2] != MAGIC or len(data) < HEADER.size + CHECK.size:
        raise DataError(f"{name}: is no compressed picture; give a {SUFFIX} file that 'figment edit compress' wrote")
    if zlib.crc32(data[: -CHECK.size]) != CHECK.unpack(data[-CHECK.size :])[0]:
        raise DataError(f"{name}: damaged (its checksum differs); fetch it again, or compress the picture again")
    _, version, made_by, height, width = HEADER.unpack(data[: HEADER.size])
    if version != VERSION:
        raise DataError(f"{name}: format {version}, this figment reads {VERSION}; upgrade figment")
    if made_by != digest(model):
        raise CheckpointError(
            f"{name}: was written by a model with the digest {made_by.hex()}, this one has {digest(model).hex()}; "
            "give the run that wrote it"
        )
    return height, width


def _read(name: str) -> bytes:
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror}); give a {SUFFIX} file") from None


def _code(coder: Coder, model: Any, numbers: np.ndarray) -> None:
    """Write the codes (N, tokens) or levels (N, ...) of some tiles, or read them into the array.

    Tokens share one table of frequencies; each channel of a grid of latents has its own, as has a plain vector.
    """
    if isinstance(model, Tokenizes):
        frequencies = Frequencies(model.vocabulary)
        for place in np.ndindex(numbers.shape):
            numbers[place] = coder.symbol(frequencies, int(numbers[place]))
        return
    for channel in _channels(numbers):
        integers = Integers()
        for place in np.ndindex(channel.shape):
            channel[place] = integers.code(coder, int(channel[place]))


def _channels(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Views of what is alike: (N, D, h, w) channel by channel, anything else at once."""
    yield from np.moveaxis(numbers, 1, 0) if numbers.ndim == 4 else [numbers]


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
