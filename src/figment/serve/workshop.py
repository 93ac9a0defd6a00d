"""The process of the models, from outside: started, fed, called off, and started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from figment.serve import wire
from figment.serve.wire import Message, packed

STUCK_SECONDS = 20.0  # after which a process that does not heed a stop is killed

_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0  # seconds before it is started again, doubled while it dies without an answer
_END_SECONDS = 5.0

_log = logging.getLogger("figment.serve")


class WorkerDied(Exception):
    """The process of the models ended in the middle of a batch."""


class Workshop:
    """Keeps one process of the models alive. runs: folders by id."""

    def __init__(self, runs: dict[str, Path]):
        self.runs = {id: str(path) for id, path in runs.items()}
        self.is_ready = False
        self.num_starts = 0
        self._process: Any = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._wait = _FIRST_WAIT

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    async def start(self) -> None:
        """Start the process, again and again if need be, until it has loaded the models."""
        while True:
            ours, theirs = socket.socketpair()
            try:
                self._process = await asyncio.to_thread(_spawned, theirs, self.runs)
                self._reader, self._writer = await asyncio.open_connection(sock=ours)
                theirs.close()
                self.num_starts += 1
                await wire.received(self._reader)
                self.is_ready = True
                return
            except (EOFError, ConnectionError):
                theirs.close()
                _log.error("the process of the models did not start; trying again in %.1f s", self._wait)
                await self._clear_away()
                await asyncio.sleep(self._wait)
                self._wait = min(_LONGEST_WAIT, 2 * self._wait)

    async def ask(self, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> AsyncIterator[Message]:
        """Send a batch; its messages, to the last.

        Raises WorkerDied where the process ends before that.
        """
        assert self._reader and self._writer
        try:
            self._writer.write(packed(header, blobs))
            await self._writer.drain()
            while True:
                message = await wire.received(self._reader)
                yield message
                if message[0]["kind"] in ("done", "failed"):
                    self._wait = _FIRST_WAIT
                    return
        except (EOFError, ConnectionError):
            self.is_ready = False
            raise WorkerDied from None

    def stop(self, batch: int) -> None:
        """Say that a batch is wanted no more."""
        if self._writer:
            self._writer.write(packed({"kind": "stop", "batch": batch}))

    def kill(self) -> None:
        """End the process at once: it does not heed."""
        if self._process:
            self._process.kill()

    async def close(self) -> None:
        """Let the process end."""
        self.is_ready = False
        if self._process:
            await self._clear_away()

    async def _clear_away(self) -> None:
        if self._writer:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()
        self._reader = self._writer = None
        await asyncio.to_thread(_ended, self._process)


def _spawned(line: socket.socket, runs: dict[str, str]) -> Any:
    """The process, started afresh: from a server that has imported what it needs, where the system can fork."""
    from figment.serve import worker

    methods = multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if "forkserver" in methods:
        context.set_forkserver_preload(["figment.serve.worker"])
    process = context.Process(target=worker.main, args=(line, runs), name="figment models", daemon=True)
    process.start()
    return process


def _ended(process: Any) -> None:
    """Wait for its end, but not for long."""
    started = time.monotonic()
    process.join(_END_SECONDS)
    if process.is_alive():
        _log.warning("the process of the models did not end in %.0f s", time.monotonic() - started)
        process.kill()
        process.join()
