"""What no file may bring about: programs started, code run, names looked up for a pickle, files written elsewhere."""

from __future__ import annotations

import inspect
import os
import sys
import typing
from pathlib import Path
from typing import Any

_PROGRAMS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "subprocess.Popen", "pty.spawn")
_NAMES = ("pickle.find_class", "marshal.loads", "code.__new__")
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.bind", "urllib.Request")
_CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.symlink", "os.link", "shutil.rmtree", "os.chmod")
_OURS = ("<frozen importlib", typing.__file__, inspect.__file__)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class Watch:
    """Notes in `seen` what happens while `is_on`, in this process and from now on: a hook cannot be taken away.

    folder: where files may be written.
    """

    def __init__(self, folder: Path):
        self.folder, self.seen, self.is_on = folder.resolve(), list[str](), False
        sys.addaudithook(self._heed)

    def _heed(self, event: str, details: tuple[Any, ...]) -> None:
        if self.is_on and self._is_forbidden(event, details):
            self.is_on = False  # the text below may cause events of its own
            self.seen.append(f"{event} {details!r:.200}")
            self.is_on = True

    def _is_forbidden(self, event: str, details: tuple[Any, ...]) -> bool:
        if event in _PROGRAMS or event in _NETWORK:
            return True
        if event in _NAMES or event in ("exec", "compile"):
            return not _is_ours()
        if event == "open":
            path, _, flags = details
            return isinstance(flags, int) and bool(flags & _WRITES) and self._is_elsewhere(path)
        # What is named in relation to an open folder has been looked at when that was opened.
        return event in _CHANGES and details[-1] in (-1, None) and self._is_elsewhere(details[0])

    def _is_elsewhere(self, path: Any) -> bool:
        if isinstance(path, int) or path is None:  # an open file
            return False
        place = os.path.realpath(os.fsdecode(path))
        return place != os.devnull and not Path(place).is_relative_to(self.folder)


def _is_ours() -> bool:
    """Whether Python imports a module, or looks up the types of one's annotations: code that no file has brought."""
    frame: Any = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(_OURS):
            return True
        frame = frame.f_back
    return False
