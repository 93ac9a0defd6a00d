"""Sequences: GIF, APNG, animated WebP, multi-page TIFF, and folders of numbered pictures: `frames:PATH`.

Part of the data room. PATH is one such file, or a folder of them; below it, pictures of one folder whose names differ
in their last number only (`walk/001.png`, `walk/002.png`, ...) are the frames of one sequence. Each is cut into clips
of `--frames.length` frames, one after the other, `--frames.stride` apart; what is left over at the end is dropped, and
a sequence that is too short for one clip is refused. Split and class come from the path (`figment.data.layout`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from figment.core.config import check_range
from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.decoding import decode, decode_frames, num_frames
from figment.data.files import read_file
from figment.data.headers import Unreadable, open_picture
from figment.data.layout import is_picture, natural, place
from figment.data.pixels import to_channels

MAX_CLIP_BYTES = 512 * 2**20  # of decoded pixels, which are held at once


@dataclass(frozen=True)
class Config:
    """Where the sequences lie, and how they are cut."""

    argument: str = ""
    """A file that moves, or a folder of such files and of numbered pictures."""
    length: int = 16
    """Frames of a clip."""
    stride: int = 1
    """Take every n-th frame."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("frames: give a file or folder, as in frames:walk.gif")
        check_range("frames.length", self.length, 2, 1024)
        check_range("frames.stride", self.stride, 1, 1024)


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every clip: image uint8 (length, H, W, C); key: the path and, behind an @, the number of the first frame.

    Raises DataError where there is no file or folder, or no sequence in it.
    """
    path = Path(config.argument)
    sequences = _sequences(path) if path.is_dir() else {path.name: (path,)}
    if not path.exists() or not sequences:
        raise DataError(
            f"{path}: no sequence in it; give a GIF, or a folder of numbered pictures or of files that move"
        )
    for name, files in sequences.items():
        yield from _clips(path, name, files, config)


def _sequences(root: Path) -> dict[str, tuple[Path, ...]]:
    """Name -> files of each sequence: one that moves by itself, or several with numbers.

    A folder of one sequence of stills gives it its name, as if it were a file.
    """
    found: dict[Path, dict[str, list[Path]]] = {}
    for file in sorted(root.rglob("*"), key=lambda file: natural(file.as_posix())):
        below = file.relative_to(root)
        if is_picture(below.parts) and not file.is_dir():
            found.setdefault(below.parent, {}).setdefault(_without_number(file.name), []).append(file)
    sequences: dict[str, tuple[Path, ...]] = {}
    for folder, groups in found.items():
        for name, files in groups.items():
            if len(files) == 1 or _moves(files[0]):  # what moves by itself may be numbered too
                sequences |= {file.relative_to(root).as_posix(): (file,) for file in files}
            else:
                sequences[(folder if len(groups) == 1 else folder / name).as_posix()] = tuple(files)
    return sequences


def _without_number(name: str) -> str:
    return re.sub(r"\d+(?=\D*$)", "#", name)


def _moves(file: Path) -> bool:
    """Whether a file has several frames; one that cannot be read does not."""
    try:
        return num_frames(open_picture(read_file(file))) > 1
    except Unreadable:
        return False


def _clips(root: Path, name: str, files: Sequence[Path], config: Config) -> Iterator[Record | Rejected]:
    """The clips of one sequence, decoded as they are needed, so that one is held at a time."""
    name = root.name if name == "." else name
    split, label = place(Path(name).parts[:-1])
    origin = {"source": root.name, "path": name}
    clip: list[np.ndarray] = []
    number = clips = 0
    try:
        for number, frame in enumerate(_frames(files), 1):
            if (number - 1) % config.stride:
                continue
            clip.append(frame)
            _check(clip)
            if len(clip) == config.length:
                first = number - 1 - (config.length - 1) * config.stride
                key = f"{name}@{first}"
                yield Record(_stack(clip), key, label, split, origin={**origin, "first_frame": str(first)})
                clip, clips = [], clips + 1
    except Unreadable as reason:
        yield Rejected(f"{name}@{number}" if clips else name, "frames", str(reason))
        return
    if not clips:
        takes = (config.length - 1) * config.stride + 1
        yield Rejected(
            name, "frames", f"too few frames: {number}, and a clip takes {takes}; --frames.length makes it shorter"
        )


def _frames(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """Every frame, uint8 (H, W, C).

    Raises Unreadable.
    """
    for file in files:
        try:
            content = read_file(file)
        except Unreadable as reason:
            raise Unreadable(f"{file.name} {reason}") from None
        if len(files) == 1:
            yield from decode_frames(content)
        else:
            yield decode(content, "first")[0]


def _check(clip: Sequence[np.ndarray]) -> None:
    """Raise Unreadable where the last frame is of another size, or the clip becomes too large to hold."""
    height, width = clip[0].shape[:2]
    if clip[-1].shape[:2] != (height, width):
        other = "x".join(map(str, clip[-1].shape[:2]))
        raise Unreadable(f"has frames of several sizes, {height}x{width} and {other}; scale them first")
    if len(clip) * height * width * 4 > MAX_CLIP_BYTES:
        raise Unreadable(f"a clip takes more than {MAX_CLIP_BYTES >> 20} MiB; scale it down, or give --frames.length")


def _stack(clip: Sequence[np.ndarray]) -> np.ndarray:
    channels = max(frame.shape[2] for frame in clip)
    return np.stack([to_channels(frame, channels) for frame in clip])
