"""Every call by which this process changes files below a folder, led through a function that may record or refuse it.

Python's own calls are replaced for a while in `os`, `io` and `builtins`; SQLite's, which are made in C, by a file
system of its kind (_sqlite_files.py). Linux only: it asks /proc where a file descriptor leads.
"""

from __future__ import annotations

import builtins
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from trust import _sqlite_files
from trust._calls import Call, Through


@contextmanager
def watched(folder: Path, through: Through) -> Iterator[None]:
    """Lead every call below a folder, or on it, through a function."""
    watch = _Watch(folder, through)
    with ExitStack() as replaced, _sqlite_files.watched(watch.place, through):
        for module, name, kind in (
            *((os, name, "remove") for name in ("unlink", "remove", "rmdir")),
            (os, "mkdir", "mkdir"),
            (os, "open", "open"),
            (os, "fsync", "sync"),
        ):
            replaced.enter_context(mock.patch.object(module, name, watch.leading(kind, getattr(module, name))))
        for name in ("rename", "replace"):
            replaced.enter_context(mock.patch.object(os, name, watch.renaming(getattr(os, name))))
        opening = watch.opening(io.open)
        for module in (io, builtins):
            replaced.enter_context(mock.patch.object(module, "open", opening))
        yield


class _Watch:
    def __init__(self, folder: Path, through: Through):
        self._root, self._through = os.path.realpath(folder), through

    def place(self, path: Any, dir_fd: int | None = None) -> Path | None:
        """The whole path of a path or file descriptor; None where it is none of ours."""
        if isinstance(path, int):
            full = os.readlink(f"/proc/self/fd/{path}")
        else:
            start = os.getcwd() if dir_fd is None else os.readlink(f"/proc/self/fd/{dir_fd}")
            full = os.path.normpath(os.path.join(start, os.fsdecode(path)))
        return Path(full) if full == self._root or full.startswith(self._root + os.sep) else None

    def leading(self, kind: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Any, *more: Any, **named: Any) -> Any:
            place = self.place(path, named.get("dir_fd"))
            if place is None:
                return real(path, *more, **named)
            return self._through(Call(kind, place), lambda: real(path, *more, **named))

        return call

    def renaming(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def rename(source: Any, target: Any, **named: Any) -> Any:
            place = self.place(source)
            if place is None:
                return real(source, target, **named)
            return self._through(Call("rename", place, target=self.place(target)), lambda: real(source, target))

        return rename

    def opening(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def open(file: Any, mode: str = "r", buffering: int = -1, *text: Any, **named: Any) -> Any:
            place = None if isinstance(file, int) else self.place(file)
            if place is None:
                return real(file, mode, buffering, *text, **named)
            if not set(mode) & set("wxa+"):
                return self._through(Call("open", place), lambda: real(file, mode, buffering, *text, **named))
            kind = "create" if set(mode) & set("wx") else "open"
            raw = self._through(Call(kind, place), lambda: _Raw(file, mode.strip("bt"), place, self._through))
            buffer = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, *text, **named)

        return open


class _Raw(io.FileIO):
    """An unbuffered file whose writes are led through a function."""

    def __init__(self, file: Any, mode: str, place: Path, through: Through):
        super().__init__(file, mode)
        self._place, self._through = place, through

    def write(self, data: Any) -> int:
        call = Call("write", self._place, self.tell(), bytes(data))
        return self._through(call, lambda part=call.data: io.FileIO.write(self, part))
