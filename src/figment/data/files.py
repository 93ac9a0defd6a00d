"""The data room: the bytes of a file that a source names; never those of a pipe or a device, which may have no end."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from pathlib import Path

from figment.core.errors import DataError
from figment.data.headers import Unreadable

MAX_FILE_BYTES = 256 * 2**20


def read_file(file: Path) -> bytes:
    """The bytes of a picture's file, or of the file that a link leads to.

    Raises Unreadable, with a reason, for what is no file, is larger than MAX_FILE_BYTES, or cannot be read.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable("is no file but a folder, a pipe, a socket or a device")
        if status.st_size > MAX_FILE_BYTES:
            raise Unreadable(f"is larger than {MAX_FILE_BYTES >> 20} MiB; scale it down first")
        return file.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None
    except ValueError:  # a name with a zero in it, or one that no file system can spell
        raise Unreadable("has a name that no file can have") from None


def only_files(found: Iterable[Path]) -> list[Path]:
    """What a source found by its name in a folder, without the folders among it.

    Raises DataError for what is neither: a link that leads nowhere, left out unsaid, is pictures that go missing.
    """
    files = [path for path in found if not path.is_dir()]
    if other := next((path for path in files if not path.is_file()), None):
        raise DataError(f"{other}: leads nowhere, or is a pipe, a socket or a device; take it out of the folder")
    return files


def refuse_no_file(path: Path) -> None:
    """Raise DataError where a path is there, and is neither a file nor a folder: opening it might wait for ever."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path}: is a pipe, a socket or a device; give a file or a folder")
