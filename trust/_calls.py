"""A call by which a program changes a file, as campaigns record and refuse them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Call:
    """kind: open, create (and empty), write, truncate, sync, rename, remove, mkdir, or map (of SQLite's shared memory).
    offset: where a write begins, or the length that is left. target: what a rename leads to."""

    kind: str
    path: Path
    offset: int = 0
    data: bytes = b""
    target: Path | None = None


# Called with a call and what does it. The latter takes the bytes of a write, and answers how many of them it wrote.
Through = Callable[[Call, Callable[..., Any]], Any]
