"""Statistics files: the `.npz` of pytorch-fid (mu, sigma) and of ADM (mu_s, sigma_s beside them, pictures in arr_0).

Their headers are read before their contents, and Python objects in them never: a `.npz` may hold pickled code, and a
header may claim more memory than there is.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Literal

import numpy as np

from figment.core.errors import DataError
from figment.metrics._frechet import Gaussian
from figment.metrics._moments import Moments

Layer = Literal["features", "spatial"]

# The names of a layer's mean and covariance in both formats, and of its count in figment's own files.
KEYS: dict[Layer, tuple[str, str, str]] = {
    "features": ("mu", "sigma", "count"),
    "spatial": ("mu_s", "sigma_s", "count_s"),
}

# No extractor has more: a covariance of as many is 2 GB.
_WIDEST = 2**14

# Covariances that were computed in float32 are symmetric to about this much of their largest number.
_ASYMMETRY = 1e-3


@dataclass(frozen=True)
class Statistics:
    """Mean (D,) and covariance (D, D) of one layer's features, float64; count: of pictures, None where not told."""

    mean: np.ndarray
    covariance: np.ndarray
    count: int | None = None

    @cached_property
    def gaussian(self) -> Gaussian:
        """What `_frechet.distance` takes. The factor is computed once: of a singular covariance it costs as much as a
        whole distance."""
        return Gaussian.from_covariance(self.mean, self.covariance)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of mean and covariance: what a score quotes as its reference."""
        digest = hashlib.sha256(np.ascontiguousarray(self.mean).data)
        digest.update(np.ascontiguousarray(self.covariance).data)
        return digest.hexdigest()


def read_statistics(path: Path, layer: Layer = "features") -> Statistics:
    """The statistics of one layer in a file of pytorch-fid, ADM or figment.

    Raises DataError where the file is no such file, lacks the layer, or holds what cannot be a mean and a covariance.
    """
    mean_key, covariance_key, count_key = KEYS[layer]
    with _opened(path) as archive:
        held = {name.removesuffix(".npy") for name in archive.namelist()}
        if not {mean_key, covariance_key} <= held:
            raise DataError(
                f"{path}: has no {mean_key} and {covariance_key} but {', '.join(sorted(held)) or 'nothing'}; "
                "give statistics of pytorch-fid or ADM"
            )
        mean, covariance = _array(path, archive, mean_key), _array(path, archive, covariance_key)
        count = int(_array(path, archive, count_key)) if count_key in held else None
    return _checked(path, Statistics(mean.astype(np.float64), covariance.astype(np.float64), count))


def write_statistics(path: Path, features: Moments, spatial: Moments | None = None) -> None:
    """Moments as a file that pytorch-fid and ADM read, and `read_statistics`; 2 pictures or more.

    It holds mu and sigma, of the spatial layer mu_s and sigma_s, and the counts, which those two do not look at.
    """
    layers: dict[Layer, Moments] = {"features": features}
    if spatial is not None:
        layers["spatial"] = spatial
    arrays = {}
    for layer, moments in layers.items():
        values = moments.mean, moments.covariance, np.array(moments.count)
        arrays |= dict(zip(KEYS[layer], values, strict=True))
    with path.open("wb") as file:
        np.savez(file, **arrays)


def read_images(path: Path, rows: int = 256) -> Iterator[np.ndarray]:
    """The pictures of an ADM batch, at most `rows` at a time: uint8 (B, H, W, C).

    Raises DataError where the file has none.
    """
    with _opened(path) as archive:
        if "arr_0.npy" not in archive.namelist():
            raise DataError(f"{path}: has no pictures, which ADM's batches keep as arr_0")
        with archive.open("arr_0.npy") as file:
            shape, dtype, fortran = _header(path, file)
            if len(shape) != 4 or dtype != np.uint8 or fortran or not 1 <= shape[3] <= 4:
                raise DataError(f"{path}: arr_0 is {dtype} {shape}, pictures are uint8 (N, H, W, C)")
            size = int(np.prod(shape[1:]))
            for start in range(0, shape[0], rows):
                count = min(rows, shape[0] - start)
                data = file.read(count * size)
                if len(data) < count * size:
                    raise DataError(f"{path}: arr_0 ends after {start + len(data) // size} of {shape[0]} pictures")
                yield np.frombuffer(data, np.uint8).reshape(count, *shape[1:])


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise DataError(f"{path}: cannot be read as a .npz of pytorch-fid or ADM ({error})") from error


def _header(path: Path, file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype, bool]:
    """Shape, dtype and whether columns come first, of the array that begins here."""
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran, dtype = read(file)
    except (ValueError, KeyError) as error:
        raise DataError(f"{path}: holds an array that NumPy cannot read ({error})") from error
    return shape, dtype, fortran


def _array(path: Path, archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        shape, dtype, fortran = _header(path, file)
        if dtype.kind not in "fiu" or len(shape) > 2 or max(shape, default=1) > _WIDEST:
            raise DataError(f"{path}: {name} is {dtype} {shape}, expected numbers, (D,) or (D, D)")
        data = file.read(int(np.prod(shape)) * dtype.itemsize)
        if len(data) < int(np.prod(shape)) * dtype.itemsize:
            raise DataError(f"{path}: {name} ends too early; get the file again")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")


def _checked(path: Path, found: Statistics) -> Statistics:
    width = found.mean.size
    if found.mean.ndim != 1 or not width or found.covariance.shape != (width, width):
        raise DataError(
            f"{path}: mean {found.mean.shape} and covariance {found.covariance.shape}; expected (D,) and (D, D)"
        )
    if not (np.isfinite(found.mean).all() and np.isfinite(found.covariance).all()):
        raise DataError(f"{path}: holds numbers that are not finite")
    largest = np.abs(found.covariance).max()
    if np.abs(found.covariance - found.covariance.T).max() > _ASYMMETRY * largest or found.covariance.trace() < 0:
        raise DataError(f"{path}: its covariance is not symmetric with a positive diagonal")
    return found
