"""What has been looked at and scored before, kept beside the dataset: `DATASET/cache/features/`.

A file is named by the SHA-256 of all that decides its content, the program itself included, so that nothing in it can
be stale. It is written under another name and renamed, so that a reader finds all of it or none; its tensors carry
their own digest, because safetensors has no checksum. The oldest files go when all would exceed LIMIT. Where nothing
can be written, nothing is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors.numpy import load_file, save

from figment.core import ranks
from figment.core.config import read_json, write_json
from figment.core.errors import ConfigError
from figment.core.plugins import ROOT
from figment.core.types import Sample

LIMIT = 2 * 2**30
"""Bytes of one dataset's cache, at most."""

_AN_HOUR = 3600


def remembered(folder: Path | None, key: Mapping[str, Any], make: Callable[[], Sample]) -> Sample:
    """The sample of this key: read where it is known, else made and kept; without a folder, made.

    Of several ranks the first one reads and keeps; all make.

    key: plain JSON values that together decide every number of the sample.
    """
    if folder is None:
        return make()
    path = folder / f"{key_digest(key)}.safetensors"
    sample = ranks.decided(lambda: _read(path))
    if sample is None:
        sample = make()
        with contextlib.suppress(OSError):  # a full or read-only disk is no reason to have no scores
            if ranks.is_first():
                _write(path, sample)
    return sample


def remembered_json(
    folder: Path | None,
    key: Mapping[str, Any],
    make: Callable[[], Any],
    *,
    keep: Callable[[Any], bool] = lambda value: True,
) -> Any:
    """The same for plain JSON values, such as scores; keep: whether one that was made may be kept."""
    if folder is None:
        return make()
    path = folder / f"{key_digest(key)}.json"
    with contextlib.suppress(ConfigError):
        return read_json(path)
    value = make()
    if not keep(value):
        return value
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, value)
    return value


def key_digest(key: Mapping[str, Any]) -> str:
    """32 hex digits that stand for a key, and for the program that computed what belongs to it."""
    return hashlib.sha256(json.dumps([program_digest(), key], sort_keys=True).encode()).hexdigest()[:32]


@cache
def program_digest() -> str:
    """SHA-256 of figment's own source: another program may give other numbers."""
    state = hashlib.sha256()
    for file in sorted(ROOT.rglob("*.py")):
        state.update(f"{file.relative_to(ROOT)}\n".encode() + file.read_bytes())
    return state.hexdigest()


def array_digest(*arrays: np.ndarray | None) -> str:
    """SHA-256 of types, shapes and values."""
    state = hashlib.sha256()
    for array in arrays:
        if array is not None:
            state.update(f"{array.dtype} {array.shape}\n".encode() + np.ascontiguousarray(array).tobytes())
    return state.hexdigest()


def _read(path: Path) -> Sample | None:
    """None where there is no such file, or a damaged one."""
    try:
        with safetensors.safe_open(path, "numpy") as file:  # type: ignore[attr-defined]
            digest = (file.metadata() or {}).get("sha256")
        arrays = load_file(path)
    except (OSError, safetensors.SafetensorError):
        return None
    parts = {part.name: arrays.get(part.name) for part in fields(Sample)}
    return Sample(**parts) if digest == array_digest(*parts.values()) else None  # type: ignore[arg-type]


def _write(path: Path, sample: Sample) -> None:
    parts = {part.name: getattr(sample, part.name) for part in fields(Sample)}
    arrays = {name: np.ascontiguousarray(array) for name, array in parts.items() if array is not None}
    data = save(arrays, {"sha256": array_digest(*parts.values())})
    path.parent.mkdir(parents=True, exist_ok=True)
    _make_room(path.parent, len(data))
    fresh = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _make_room(folder: Path, needed: int) -> None:
    """Delete the oldest files until `needed` more bytes stay within LIMIT, and what kills left half written."""
    for left in folder.glob("*.tmp"):
        if time.time() - left.stat().st_mtime > _AN_HOUR:
            left.unlink(missing_ok=True)
    kept = sorted(folder.glob("*.*"), key=lambda file: file.stat().st_mtime_ns)
    taken = sum(file.stat().st_size for file in kept)
    for file in kept:
        if taken + needed <= LIMIT:
            return
        taken -= file.stat().st_size
        file.unlink(missing_ok=True)
