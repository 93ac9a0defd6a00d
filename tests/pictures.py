"""Real picture files and archives for tests, small, and made the same way every time."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int, height: int = 12, width: int = 12, channels: int = 3) -> np.ndarray:
    """uint8 (height, width, channels): a smooth picture of its own for every seed, so that JPEG keeps it well."""
    generator = np.random.Generator(np.random.Philox(seed))
    coarse = generator.integers(0, 256, (3, 3, channels), np.uint8)
    layers = [
        Image.fromarray(coarse[..., channel]).resize((width, height), Image.BILINEAR) for channel in range(channels)
    ]
    return np.stack([np.asarray(layer) for layer in layers], axis=-1)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """A picture file of a kind that Pillow writes."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(seed: int, height: int = 12, width: int = 12, channels: int = 3) -> bytes:
    return encode(pixels(seed, height, width, channels))


def jpeg(seed: int, height: int = 32, width: int = 32, channels: int = 3) -> bytes:
    return encode(pixels(seed, height, width, channels), "JPEG", quality=95)


def classes(num: int, names: tuple[str, ...] = ("cat", "dog"), **size: int) -> dict[str, bytes]:
    """`num` different pictures for each class, by path: cat/0.png, cat/1.png, ..., dog/0.png, ..."""
    return {
        f"{name}/{place}.png": png(1000 * number + place, **size)
        for number, name in enumerate(names)
        for place in range(num)
    }


def write_folder(root: Path, files: Mapping[str, bytes]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def write_zip(path: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_tar(path: Path, files: Mapping[str, bytes | tarfile.TarInfo]) -> Path:
    """A tar packed as its suffix says; a TarInfo among the files is added as it is, without content."""
    packing = path.suffix.removeprefix(".").replace("tgz", "gz")
    with tarfile.open(path, f"w:{packing if packing in ('gz', 'bz2', 'xz') else ''}") as archive:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                archive.addfile(content)
                continue
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path
