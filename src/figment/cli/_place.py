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
    written = [file for file in files if file]
    for folder in dict.fromkeys(file.parent for file in written):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            TemporaryFile(dir=folder).close()
        except OSError as error:  # which names a file that nobody asked for
            raise OSError(error.errno, error.strerror, str(folder)) from None
    for file in written:
        if file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
