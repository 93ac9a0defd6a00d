"""Medical pictures, DICOM: `dicom:FOLDER`, or one `.dcm` file.

Part of the data room. Needs the extra `medical`. Stored values become grey by the file's own tables: the modality's
(Hounsfield units in CT), then a window, from `--dicom.center` and `--dicom.width`, else the file's, else from the 0.5th
to the 99.5th percentile. A file of several frames gives a picture of each, or clips of `--dicom.clip` frames.
Uncompressed and RLE files are read. Of patients nothing is taken over but what names of files and folders say: they
make keys, classes and splits (`figment.data.layout`). Pictures that say that text is burnt into them are refused.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, pixel_array

from figment.core.config import check_range
from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.headers import Unreadable, one_line
from figment.data.layout import is_hidden, natural, place

SUFFIXES = (".dcm", ".dicom")
MAX_FILE_BYTES = 256 * 2**20
MAX_PIXEL_BYTES = 512 * 2**20  # of one file, which are held at once

# Implicit, explicit and big-endian uncompressed, and RLE. Deflated files unpack to anything before they can be judged.
_SYNTAXES = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.5")
_LOOKS = (
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "WindowCenter", "WindowWidth", "VOILUTFunction"),
)


@dataclass(frozen=True)
class Config:
    """Where the files lie, and how they become pictures."""

    argument: str = ""
    """A DICOM file, or a folder of them."""
    center: float | None = None
    """Middle of the window, in the modality's units (Hounsfield in CT); the file's own where it is not said."""
    width: float | None = None
    """Width of the window."""
    clip: int = 0
    """Frames of a clip; 0 makes a picture of every frame."""
    burned_in: bool = False
    """Take pictures that say that text is burnt into them; it may name patients."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("dicom: give a file or folder, as in dicom:scans")
        if (self.center is None) != (self.width is None):
            raise ConfigError("--dicom.center and --dicom.width: give both, or neither")
        if self.width is not None:
            check_range("dicom.width", self.width, 1)
        check_range("dicom.clip", self.clip, 0, 1024)


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every frame as uint8 (H, W, C), or every clip as (T, H, W, C); C is 1, or 3 for colour.

    Key: the path and, of a file of several frames, the number of the first behind an @. Raises DataError where there is
    no file.
    """
    root = Path(config.argument)
    files = _files(root) if root.is_dir() else [root]
    if not root.exists() or not files:
        raise DataError(f"{root}: no DICOM file in it; give a file or a folder of them")
    for file in files:
        key = file.relative_to(root).as_posix() if file != root else root.name
        key = os.fsencode(key).decode("utf-8", "backslashreplace")
        split, label = place(Path(key).parts[:-1])
        try:
            frames, origin = _read(file, config)
            for first, pixels in _cut(frames, config.clip):
                name = f"{key}@{first}" if len(frames) > 1 else key
                yield Record(pixels, name, label, split, origin={"source": root.name, **origin})
        except Unreadable as reason:
            yield Rejected(key, "dicom", str(reason))


def _files(root: Path) -> list[Path]:
    """What is named like DICOM or begins like it, as files from hospitals have no suffix; in natural order."""
    found = [
        file
        for file in root.rglob("*")
        if not file.is_dir() and not any(map(is_hidden, file.relative_to(root).parts)) and _is_dicom(file)
    ]
    return sorted(found, key=lambda file: natural(file.as_posix()))


def _is_dicom(file: Path) -> bool:
    if file.name.lower().endswith(SUFFIXES):
        return True  # refused when it is read, if it is none
    if not file.is_file():
        return False
    try:
        with file.open("rb") as stream:
            return stream.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _cut(frames: np.ndarray, length: int) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first frame, pixels) of every picture or clip."""
    if length > len(frames):
        raise Unreadable(f"too few frames: {len(frames)}, and a clip takes {length}; --dicom.clip makes it shorter")
    for first in range(0, len(frames) - max(length, 1) + 1, max(length, 1)):
        yield first, frames[first : first + length] if length else frames[first]


def _read(file: Path, config: Config) -> tuple[np.ndarray, dict[str, str]]:
    """(uint8 (T, H, W, C), what may be told of it: the kind of picture, and nothing of the patient)"""
    try:
        if not file.is_file():
            raise Unreadable("is no file but a link that leads nowhere, a pipe, a socket or a device")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise Unreadable(f"larger than {MAX_FILE_BYTES >> 20} MiB; cut it first")
        with warnings.catch_warnings(action="ignore"):  # of the many small liberties that devices take
            syntax = read_file_meta_info(file).TransferSyntaxUID
            if syntax not in _SYNTAXES:
                raise Unreadable(
                    f"is stored as {syntax.name}, which is not read; convert it first, as gdcmconv --raw does"
                )
            scan = pydicom.dcmread(file)
            _judge(scan, config)
            frames = _frames(scan, config)
            told = {"modality": " ".join(str(scan.get("Modality", "")).split()), "sop_class": scan.SOPClassUID.name}
    except Unreadable:
        raise
    except Exception as error:  # pydicom raises anything on damaged files
        raise Unreadable(f"damaged: {one_line(error)}") from None
    return frames, told


def _judge(scan: Dataset, config: Config) -> None:
    """Raise Unreadable for what is no picture, is too large, or may show a name."""
    if "PixelData" not in scan:
        raise Unreadable(f"holds no picture ({scan.SOPClassUID.name})")
    if scan.get("BurnedInAnnotation") == "YES" and not config.burned_in:
        raise Unreadable("says that text is burnt into it, which may name a patient; --dicom.burned-in takes it")
    num_values = scan.Rows * scan.Columns * scan.SamplesPerPixel * _num_frames(scan)
    num_bytes = num_values * max(1, scan.BitsAllocated // 8)
    # A frame cannot be packed to more than its size and a little; what is longer would unpack to more than it says.
    if num_bytes > MAX_PIXEL_BYTES or len(scan.PixelData) > 2 * num_bytes + 2**16:
        raise Unreadable(f"holds more than {MAX_PIXEL_BYTES >> 20} MiB of pixels, or more than it says")


def _num_frames(scan: Dataset) -> int:
    return int(scan.get("NumberOfFrames") or 1)


def _frames(scan: Dataset, config: Config) -> np.ndarray:
    """uint8 (T, H, W, C), C = 1 or 3"""
    stored = pixel_array(scan)
    stored = stored.reshape(_num_frames(scan), scan.Rows, scan.Columns, -1)
    if scan.PhotometricInterpretation == "PALETTE COLOR":
        stored = apply_color_lut(stored[..., 0], scan)
        return stored if stored.dtype == np.uint8 else (stored >> 8).astype(np.uint8)
    if stored.shape[-1] > 1:
        return (stored >> max(0, scan.BitsStored - 8)).astype(np.uint8)
    ends = np.percentile(stored, (0.5, 99.5), method="nearest").astype(stored.dtype)
    frames = [_grey(frame, _said(scan, number), ends, config) for number, frame in enumerate(stored)]
    grey = np.stack(frames)
    return 255 - grey if scan.PhotometricInterpretation == "MONOCHROME1" else grey


def _said(scan: Dataset, number: int) -> Dataset:
    """What holds for one frame: what is said of it, else of all frames, else of the file (PS3.3 C.7.6.16)."""
    said = Dataset()
    said.file_meta = scan.file_meta  # type: ignore[attr-defined]
    for keyword in _LOOKS:
        if keyword in scan:
            said.add(scan[keyword])
    groups: list[Any] = list(scan.get("SharedFunctionalGroupsSequence", ()))[:1]
    groups += list(scan.get("PerFrameFunctionalGroupsSequence", ()))[number : number + 1]
    for group in groups:
        for keyword in ("PixelValueTransformationSequence", "FrameVOILUTSequence"):
            for item in group.get(keyword, ())[:1]:
                said.update(item)
    return said


def _grey(stored: np.ndarray, said: Dataset, ends: np.ndarray, config: Config) -> np.ndarray:
    """Stored values -> uint8 of the same shape, by the modality's table, then a window or a table of its own.

    ends: the stored values that are black and white where nothing else says so.
    """
    values = apply_modality_lut(stored, said)
    if config.center is not None and config.width is not None:
        shares = window(values, config.center, config.width)
    elif said.get("VOILUTSequence"):
        most = 2 ** said.VOILUTSequence[0].LUTDescriptor[2] - 1
        shares = apply_voi(np.rint(values).astype(np.int64), said) / most
    elif said.get("WindowWidth") is not None and said.get("WindowCenter") is not None:
        center, width = (np.atleast_1d(said[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
        shares = window(values, float(center), float(width), said.get("VOILUTFunction") or "LINEAR")
    else:
        low, high = (float(end) for end in apply_modality_lut(ends, said))
        shares = window(values, (low + high) / 2, high - low, "LINEAR_EXACT")
    return np.rint(255 * shares).astype(np.uint8)


def window(values: np.ndarray, center: float, width: float, function: str = "LINEAR") -> np.ndarray:
    """Values -> 0 (black) to 1 (white), float64, by DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3.

    function: LINEAR, LINEAR_EXACT or SIGMOID.
    """
    if function == "SIGMOID":
        return 1 / (1 + np.exp(np.clip(-4 * (values - center) / max(width, 1e-6), -60, 60)))
    if function == "LINEAR":  # counts whole values: a window of width 1 holds one of them
        center, width = center - 0.5, width - 1
    return np.clip((values - center) / max(width, 1e-6) + 0.5, 0, 1)
