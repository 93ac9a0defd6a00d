"""SQLite's calls on files, led through a function of ours: its own file system ("VFS") with a few methods replaced.

See sqlite.org/vfs.html. The structs below are those of sqlite3.h; a method that is not replaced stays what it was.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from trust._calls import Call, Through

_OPEN = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)
_DELETE = CFUNCTYPE(c_int, c_void_p, c_char_p, c_int)
_WRITE = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC = CFUNCTYPE(c_int, c_void_p, c_int)
_MAP = CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_int, c_void_p)

_FULL = 13
_CODES = {"open": 14, "write": 778, "sync": 1034, "truncate": 1546, "remove": 2570, "map": 4874}  # SQLITE_IOERR_...


class _Vfs(Structure):
    _fields_ = (
        ("version", c_int),
        ("file_bytes", c_int),
        ("longest_path", c_int),
        ("next", c_void_p),
        ("name", c_char_p),
        ("data", c_void_p),
        ("open", c_void_p),
        ("delete", c_void_p),
        ("others", c_void_p * 14),
    )


class _Methods(Structure):
    _fields_ = (
        ("version", c_int),
        ("close", c_void_p),
        ("read", c_void_p),
        ("write", c_void_p),
        ("truncate", c_void_p),
        ("sync", c_void_p),
        ("size_to_capabilities", c_void_p * 7),
        ("map", c_void_p),
        ("others", c_void_p * 5),
    )


class _Refused(OSError):
    """What SQLite's own file system has refused, with its code."""

    def __init__(self, code: int):
        super().__init__(errno.EIO, f"SQLite's code {code}")
        self.code = code


@contextmanager
def watched(place: Callable[[Any], Path | None], through: Through) -> Iterator[None]:
    """Lead the calls on files that are opened meanwhile, and that have a place, through a function."""
    files = _file_system()
    files.place, files.through = place, through
    files.use(files.own)
    try:
        yield
    finally:
        files.use(files.usual)
        files.place, files.through = lambda path: None, lambda call, act: act()


@cache
def _file_system() -> _FileSystem:
    return _FileSystem()  # for good: SQLite keeps a pointer to it


class _FileSystem:
    def __init__(self):
        self._sqlite = ctypes.CDLL(_sqlite3.__file__)  # whichever library Python's own connections use
        self._sqlite.sqlite3_vfs_find.restype = POINTER(_Vfs)
        self._sqlite.sqlite3_vfs_find.argtypes = [c_char_p]
        self._sqlite.sqlite3_vfs_register.argtypes = [c_void_p, c_int]
        self.place: Callable[[Any], Path | None] = lambda path: None
        self.through: Through = lambda call, act: act()
        self.usual = self._sqlite.sqlite3_vfs_find(None).contents
        self.own = _Vfs.from_buffer_copy(self.usual)
        self.own.name = b"watched"
        self._tables: dict[int, tuple[Any, ...]] = {}  # by the address of an open file: what must not be collected
        self._callbacks = _OPEN(self._open), _DELETE(self._delete)
        self.own.open, self.own.delete = (ctypes.cast(callback, c_void_p) for callback in self._callbacks)

    def use(self, vfs: _Vfs) -> None:
        """Open files with this one from now on."""
        self._sqlite.sqlite3_vfs_register(ctypes.byref(vfs), 1)

    def _open(self, vfs: int, name: int, file: int, flags: int, answer: int) -> int:
        path = self.place(ctypes.string_at(name)) if name else None
        code = self._led(
            Call("open", path) if path else None, lambda: _OPEN(self.usual.open)(vfs, name, file, flags, answer)
        )
        if path and not code:
            self._replace_methods(file, path)
        return code

    def _replace_methods(self, file: int, path: Path) -> None:
        """Give an open file, whose first field points to its methods, a table of its own."""
        pointer = c_void_p.from_address(file)
        usual = _Methods.from_address(pointer.value or 0)
        own = _Methods.from_buffer_copy(usual)

        def write(file: int, data: int, size: int, offset: int) -> int:
            def act(part: bytes | None = None) -> int:
                return _WRITE(usual.write)(file, data, size if part is None else len(part), offset)

            return self._led(Call("write", path, offset, ctypes.string_at(data, size)), act)

        def truncate(file: int, size: int) -> int:
            return self._led(Call("truncate", path, size), lambda: _TRUNCATE(usual.truncate)(file, size))

        def sync(file: int, flags: int) -> int:
            return self._led(Call("sync", path), lambda: _SYNC(usual.sync)(file, flags))

        def map(file: int, page: int, size: int, extend: int, answer: int) -> int:
            call = Call("map", path) if extend else None
            return self._led(call, lambda: _MAP(usual.map)(file, page, size, extend, answer))

        callbacks = _WRITE(write), _TRUNCATE(truncate), _SYNC(sync), _MAP(map)
        own.write, own.truncate, own.sync, own.map = (ctypes.cast(callback, c_void_p) for callback in callbacks)
        self._tables[file] = own, callbacks
        pointer.value = ctypes.addressof(own)

    def _delete(self, vfs: int, name: bytes, sync_folder: int) -> int:
        path = self.place(name)
        code = self._led(
            Call("remove", path) if path else None, lambda: _DELETE(self.usual.delete)(vfs, name, sync_folder)
        )
        if path and sync_folder and not code:
            return self._led(Call("sync", path.parent), lambda: 0)
        return code

    def _led(self, call: Call | None, act: Callable[..., int]) -> int:
        """SQLite's code for what comes of a call."""
        if call is None:
            return act()

        def checked(*part: bytes) -> int:
            if code := act(*part):
                raise _Refused(code)
            return len(part[0]) if part else len(call.data)

        try:
            self.through(call, checked)
        except _Refused as refused:
            return refused.code
        except OSError as error:
            return _FULL if error.errno == errno.ENOSPC and call.kind == "write" else _CODES[call.kind]
        return 0
