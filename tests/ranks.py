"""Ranks on this machine, forked from the test: they share what is imported, so they start at once."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from figment.cli._main import main


@dataclass(frozen=True)
class Said:
    """How a rank's command ended, and what it wrote on standard output and standard error together."""

    code: int
    text: str


def together(count: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[Any]:
    """`work(*arguments)` on so many ranks; what each returns."""
    pids = begin(count, folder, work, *arguments)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    told = "\n".join((folder / f"said-{rank}.txt").read_text("utf-8") for rank in range(count))
    assert codes == [0] * count, told
    return [pickle.loads((folder / f"made-{rank}").read_bytes()) for rank in range(count)]


def begin(count: int, folder: Path, work: Callable[..., Any], *arguments: Any) -> list[int]:
    """Start `work(*arguments)` on so many ranks; their process ids."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pids = []
    for rank in range(count):
        pid = os.fork()
        if pid == 0:
            _be(rank, count, port, folder, work, arguments)
        pids.append(pid)
    return pids


def figment(count: int, folder: Path, *words: object) -> list[Said]:
    """A command line on so many ranks."""
    codes = together(count, folder, command, [str(word) for word in words])
    return [Said(code, (folder / f"said-{rank}.txt").read_text("utf-8")) for rank, code in enumerate(codes)]


def command(words: list[str]) -> int:
    """A command line on this rank; its exit code."""
    try:
        return main(words)
    except SystemExit as stop:
        return int(stop.code or 0)


def _be(rank: int, count: int, port: int, folder: Path, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """What a rank does, from its first moment to its last."""
    code = 1
    try:
        said = os.open(folder / f"said-{rank}.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for standard in (1, 2):
            os.dup2(said, standard)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        local = {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        places = {"RANK": rank, "WORLD_SIZE": count, **local}
        os.environ.update({name: str(value) for name, value in places.items()})
        torch.set_num_threads(1)
        made = work(*arguments)
        (folder / f"made-{rank}").write_bytes(pickle.dumps(made))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
