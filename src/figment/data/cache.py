"""The data room: all pictures of a dataset decoded into one memory map, made once for each pixel digest.

The file ends with the SHA-256 of its pixels, which is compared each time it is opened: one that a disk has damaged is
made again.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from figment.core.errors import DataError
from figment.core.types import ImageSpec
from figment.data.index import ACCEPTED, IN_ORDER, Index
from figment.data.pixels import decode_png, digest, to_channels
from figment.data.shards import ShardReader, Shards

FOLDER = "cache"

_BLOCK_BYTES = 1 << 20


def pixels_of(root: Path, index: Index, spec: ImageSpec, num_images: int, pixel_digest: str) -> np.ndarray:
    """uint8, read-only: every accepted picture of the dataset in `root`, split by split, in the shape of `shape_of`.

    Where the map is missing or damaged it is decoded from the shards, to a temporary file that is then renamed; in a
    folder that cannot be written, to memory. Raises DataError where a shard is missing or damaged.
    """
    shape = num_images, *shape_of(spec)
    path = root / FOLDER / f"{pixel_digest}.uint8"
    if not _is_whole(path, int(np.prod(shape))):
        try:
            with ShardReader(root) as shards:
                _write(path, _decoded(root, shards, index, spec))
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise
            with ShardReader(root) as shards:
                return pixels_in_memory(root, shards, index, spec, num_images)
    return np.memmap(path, np.uint8, "r", shape=shape)


def _is_whole(path: Path, num_bytes: int) -> bool:
    """Whether a map of so many bytes is there, as it was written."""
    if not path.exists() or path.stat().st_size != num_bytes + hashlib.sha256().digest_size:
        return False
    state = hashlib.sha256()
    with path.open("rb") as file:
        for start in range(0, num_bytes, _BLOCK_BYTES):
            state.update(file.read(min(_BLOCK_BYTES, num_bytes - start)))
        return file.read() == state.digest()


def pixels_in_memory(root: Path, shards: Shards, index: Index, spec: ImageSpec, num_images: int) -> np.ndarray:
    """The same, read from `shards`, with nothing written."""
    pixels = np.empty((num_images, *shape_of(spec)), np.uint8)
    for place, picture in enumerate(_decoded(root, shards, index, spec)):
        pixels[place] = picture
    pixels.flags.writeable = False
    return pixels


def shape_of(spec: ImageSpec) -> tuple[int, ...]:
    """(H, W, C) of a picture, (T, H, W, C) of a sequence, (2, H, W, C) of a pair."""
    several = (2,) if spec.paired else (spec.frames,) if spec.frames > 1 else ()
    return (*several, spec.height, spec.width, spec.channels)


def _decoded(root: Path, shards: Shards, index: Index, spec: ImageSpec) -> Iterator[np.ndarray]:
    """uint8 of each picture, in the shape of `shape_of`, checked against its digest."""
    frames = 2 if spec.paired else spec.frames
    for key, shard, offset, length, expected in index.query(
        f"select key, shard, offset, length, pixel_digest {ACCEPTED} {IN_ORDER}"
    ):
        try:
            pixels = decode_png(shards.read(shard, offset, length), frames)
        except (FileNotFoundError, ValueError):
            pixels = None
        if pixels is None or digest(pixels) != expected:
            raise DataError(f"{root / shard}: damaged at '{key}'; build the dataset again with --fresh")
        yield to_channels(pixels, spec.channels)


def _write(path: Path, pictures: Iterator[np.ndarray]) -> None:
    path.parent.mkdir(exist_ok=True)
    # Two runs may make the same map at once: each writes its own file, and both are the same.
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    state = hashlib.sha256()
    try:
        with fresh.open("wb") as file:
            for pixels in pictures:
                content = np.ascontiguousarray(pixels).tobytes()
                state.update(content)
                file.write(content)
            file.write(state.digest())
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    for old in path.parent.glob("*.uint8"):
        if old != path:
            old.unlink(missing_ok=True)  # of pictures that the dataset no longer has; who reads it keeps it
