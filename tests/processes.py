"""Real processes that cost nothing to start, to be killed, interrupted, and denied their disk.

A server imports figment and takes an optimizer step once; then it forks. (A fresh Python needs seconds for its imports,
and without that step every child would pay for what torch imports at the first one.)

    python -m tests.processes      reads a JSON request a line; answers each with two lines, {"pid"} and {"code"}
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import IO, Any

ROOT = Path(__file__).resolve().parents[1]
MAIN = "figment.cli._main:main"


class Processes:
    """The tests' side of the server. One process at a time."""

    def __init__(self, folder: Path):
        self._folder, self._number = folder, 0
        environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "XDG_CACHE_HOME": str(folder)}
        command = [sys.executable, "-m", "tests.processes"]
        self._server = subprocess.Popen(
            command, cwd=ROOT, env=environment, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.read() == {"ready": True}, "the server did not start"

    def start(self, call: str, *arguments: Any) -> Process:
        """Begin "module:function" with JSON arguments in a process that ends with the exit code it returns."""
        self._number += 1
        said = self._folder / f"said-{self._number}.txt"  # so that what an earlier one said can still be read
        said.touch()  # it may be read before the process has said anything
        request = {"call": call, "arguments": arguments, "said": str(said)}
        assert self._server.stdin
        self._server.stdin.write(json.dumps(request, default=str).encode() + b"\n")
        return Process(self, self.read()["pid"], said)

    def figment(self, *words: object) -> Process:
        """Begin a command line."""
        return self.start(MAIN, [str(word) for word in words])

    def read(self) -> dict[str, Any]:
        assert self._server.stdout
        return json.loads(self._server.stdout.readline())

    def is_answering(self, seconds: float) -> bool:
        return bool(select.select([self._server.stdout], [], [], seconds)[0])

    def close(self) -> None:
        assert self._server.stdin and self._server.stdout
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


class Process:
    """A process under way. Its exit code is negative where a signal ended it."""

    def __init__(self, processes: Processes, pid: int, said: Path):
        self.processes, self.pid, self.said = processes, pid, said

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return self.processes.read()["code"]

    def has_ended(self, seconds: float = 0.0) -> bool:
        """Whether it ends within this time."""
        return self.processes.is_answering(seconds)

    def send(self, number: signal.Signals) -> int:
        """Send a signal and wait for its end; its exit code."""
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            os.kill(self.pid, number)
        return self.wait()

    def __str__(self) -> str:
        """All that it wrote on standard output and standard error."""
        return self.said.read_text(encoding="utf-8")


def call(processes: Processes, what: str, *arguments: Any) -> str:
    """Run "module:function" to its end in a process of its own; what it said. What fails in there fails here."""
    process = processes.start(what, *arguments)
    code = process.wait()
    assert code == 0, f"{what} ended with {code}:\n{process}"
    return str(process)


def serve(requests: IO[str], answers: IO[str]) -> None:
    for line in requests:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _be(request)
        _say(answers, pid=pid)
        _, status = os.waitpid(pid, 0)
        _say(answers, code=os.waitstatus_to_exitcode(status))


def _say(answers: IO[str], **values: object) -> None:
    answers.write(json.dumps(values) + "\n")
    answers.flush()


def _be(request: dict[str, Any]) -> None:
    """What a child does, from its first moment to its last."""
    code = 99
    try:
        said = os.open(request["said"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        for standard in (1, 2):
            os.dup2(said, standard)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        module, name = request["call"].split(":")
        code = getattr(importlib.import_module(module), name)(*request["arguments"]) or 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def warm() -> None:
    """Import what commands import, and take a training step."""
    from figment.cli._main import main

    with tempfile.TemporaryDirectory() as folder:
        commands = [f"data build digits: --out {folder}/digits"]
        exact = "--train.precision bfloat16 --train.layout channels_last --train.attention math"  # nothing is measured
        for family in ("flow", "gan", "vae"):  # those that most tests train
            run = f"--data {folder}/digits --out {folder}/{family}"
            commands.append(f"train {family} {run} --scale tiny --steps 1 {exact}")
        for words in commands:
            code = main(["--json", *words.split()])
            assert code == 0, words


# What only root, or a user with namespaces of their own, may do: disks of any size, and disks that cannot be written.

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_LIBC = ctypes.CDLL(None, use_errno=True)


def own_mounts() -> None:
    """Leave for a place where what this process mounts is seen by nobody else, and ends with it.

    Raises OSError where the system does not allow it.
    """
    user, group = os.getuid(), os.getgid()
    _system(_LIBC.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount(None, "/", None, _RECURSIVE | _PRIVATE)


def mount_disk(folder: Path, size: str) -> None:
    """A disk of this size ("300k"), in memory, on an empty folder."""
    _mount("tmpfs", str(folder), "tmpfs", 0, f"size={size}")


def resize_disk(folder: Path, size: str) -> None:
    _mount("tmpfs", str(folder), "tmpfs", _REMOUNT, f"size={size}")


def mount_read_only(folder: Path) -> None:
    """Make a folder, with all below it, one that cannot be written."""
    _mount(str(folder), str(folder), None, _BIND | _RECURSIVE)
    _mount(None, str(folder), None, _BIND | _REMOUNT | _READ_ONLY)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    words = (word.encode() if word else None for word in (source, target, kind))
    _system(_LIBC.mount(*words, ctypes.c_ulong(flags), options.encode() or None))


def _system(answer: int) -> None:
    if answer:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def try_mounts(folder: str) -> int:
    """Whether disks can be mounted here: an exit code."""
    own_mounts()
    mount_disk(Path(folder), "64k")
    return 0


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what is printed here is no answer
    warm()
    _say(answers, ready=True)
    serve(sys.stdin, answers)
