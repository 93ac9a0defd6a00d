"""Work in a process of its own, with a cap on its memory and its time: whatever it does, the campaign goes on."""

from __future__ import annotations

import multiprocessing
import os
import resource
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# A server imports these once; each process is a fork of it, and begins within milliseconds.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    ["figment.serve.worker", "figment.serve.server", "figment.data.build", "figment.cli._main"]
)


@dataclass(frozen=True)
class End:
    """How work ended. value: what it returned. fault: why it returned nothing; "" where it did."""

    value: Any = None
    fault: str = ""


def call(work: Callable[..., Any], *arguments: Any, seconds: float = 60.0, memory: int = 0) -> End:
    """Run work(*arguments), a function of a module, in a process of its own.

    memory: bytes that it may take beyond what the process begins with; 0 sets no limit. What it prints is lost.
    """
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_be, args=(theirs, memory, work, arguments))
    process.start()
    theirs.close()
    try:
        if ours.poll(seconds):
            return End(*ours.recv())
        return End(fault=f"still at work after {seconds:g} s")
    except EOFError:
        process.join()
        return End(fault=f"died with exit code {process.exitcode}")
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


@contextmanager
def started(work: Callable[..., Any], *arguments: Any) -> Iterator[None]:
    """work(*arguments) goes on meanwhile, in a process of its own, which is ended in the end."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=_be, args=(theirs, 0, work, arguments))
    process.start()
    theirs.close()
    try:
        yield
    finally:
        process.terminate()
        process.join(10)
        process.kill()
        process.join()
        process.close()
        ours.close()


def limit_memory(more: int) -> None:
    """Let this process take so many more bytes of address space, and none beyond."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))


def free_memory() -> None:
    """Take the limit away again."""
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _be(line: Connection, memory: int, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    import torch

    torch.set_num_threads(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    if memory:
        limit_memory(memory)
    try:
        end = (work(*arguments), "")
    except BaseException as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        end = (None, f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")
    free_memory()
    line.send(end)
    sys.stdout.flush()
