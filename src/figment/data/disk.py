"""The data room: what a full disk or a folder that cannot be written means, in one line."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figment.core.errors import DataError

_FULL = (errno.ENOSPC, errno.EDQUOT)
_NO_MEMORY = ("SQLITE_IOERR_NOMEM", "SQLITE_IOERR_SHMMAP")  # in SQLite's text, faults of the disk
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the disk under a dataset refuses to do into a DataError that says what to do about it."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DataError(_full(path)) from None
        if error.errno in _FORBIDDEN:
            raise DataError(_forbidden(path)) from None
        if error.errno == errno.ENOMEM:  # not the disk's, and told elsewhere
            raise
        if error.errno == errno.EIO:
            raise DataError(_broken(path)) from None
        raise DataError(f"{path}: {error.strerror or error}; give a folder that can be made and written") from None
    except UnicodeDecodeError as error:  # in what SQLite says of a damaged schema
        raise DataError(damaged(path, error)) from None
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
            raise  # a bug of ours
        if getattr(error, "sqlite_errorname", "") in _NO_MEMORY:
            raise MemoryError(str(error)) from None
        raise DataError(_told(path, str(error))) from None


def _told(path: Path, text: str) -> str:
    """The line for what SQLite says."""
    if "full" in text:
        return _full(path)
    if "locked" in text:
        return f"{path}: another command is writing this dataset; wait until it has ended"
    if "readonly" in text or "unable to open" in text:
        return _forbidden(path)
    return _broken(path) if "disk I/O" in text else damaged(path, text)


def damaged(path: Path, how: object) -> str:
    """The line for a dataset whose index cannot be right."""
    return f"{path}: its index.sqlite is damaged ({' '.join(str(how).split())}); build it again with --fresh"


def _broken(path: Path) -> str:
    return f"{path}: the disk reports a fault; give a folder on another one"


def _full(path: Path) -> str:
    return f"{path}: no space left on the disk; free some and give the same command again, it goes on from here"


def _forbidden(path: Path) -> str:
    return f"{path}: cannot be written; give a folder of your own"
