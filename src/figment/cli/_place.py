"""Where an answer will lie: made ready while no time has been spent yet."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def make_way(*files: Path | None) -> None:
    """Make the folders above files that a verb will write; None is no file.

    Raises OSError, naming the path, where a folder cannot be made or written, or stands where the file should.
    """
    for file in filter(None, files):
        file.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(file.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(file.parent))
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
