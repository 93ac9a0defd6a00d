"""Where an answer will lie: made ready while no time has been spent yet."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from tempfile import TemporaryFile


def make_way(*files: Path | None) -> None:
    """Make the folders above files that a verb will write; None is no file.

    Raises OSError, naming the path, where a folder cannot be made or written, or stands where the file should.
    """
    for file in filter(None, files):
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            TemporaryFile(dir=file.parent).close()
        except OSError as error:  # which names a file that nobody asked for
            raise OSError(error.errno, error.strerror, str(file.parent)) from None
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
