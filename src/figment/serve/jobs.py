"""A job: what one client asked for, what became of it so far, and who listens."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from figment.serve.refusal import Refusal, missing
from figment.serve.runs import ServedRun

UNHEARD_SECONDS = 30.0  # that a job waits for its first listener
GRACE_SECONDS = 10.0  # that a job waits for a listener to come back
KEPT_SECONDS = 600.0  # that what became of a job can be asked for
MOST_KEPT = 2000

DONE, ERROR = "done", "error"

_log = logging.getLogger("figment.serve")


@dataclass(frozen=True)
class Work:
    """What is to be done, in a form that can travel.

    kind: "draw", whose rows may share a batch with those of others, or "edit". rows: one a picture or a seed.
    facts: what an edit needs beside them. settings: JSON. steps: looks at the network for a picture. is_urgent: a
    slider waits for it.
    """

    kind: str
    run: ServedRun
    rows: Sequence[dict[str, Any]]
    settings: dict[str, Any] | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    blobs: Sequence[bytes] = ()
    steps: int = 1
    preview: bool = False
    is_urgent: bool = False

    @property
    def cost(self) -> int:
        """Pixels x steps x pictures."""
        return self.run.pixels * self.steps * len(self.rows)

    @property
    def lane(self) -> str:
        """What is equal for all rows of a batch."""
        if self.kind == "edit":
            return secrets.token_hex(8)  # nobody else's
        shape = sorted(self.rows[0].keys() - {"seed", "label", "caption"})
        return json.dumps([self.run.id, self.settings, self.preview, self.is_urgent, shape], sort_keys=True)


@dataclass(frozen=True)
class Piece:
    """A finished picture of a job, or a file: `place` counts from 0 within the job."""

    data: bytes
    place: int
    seed: int
    kind: str = "picture"
    suffix: str = "png"


Keep = Callable[["Job", Sequence[Piece]], Awaitable[list[dict[str, Any]]]]


class Job:
    """One client's work under way. All happens in the event loop.

    keep: stores pictures and tells what listeners are told of them. when_over: called when nothing more is drawn.
    """

    def __init__(self, work: Work, *, seconds: float, keep: Keep | None = None):
        self.id, self.work, self.keep = secrets.token_urlsafe(16), work, keep
        self.lane = work.lane
        self.deadline = time.monotonic() + seconds
        self.waiting = deque(range(len(work.rows)))  # rows that are in no batch yet
        self.left = len(work.rows)
        self.pieces: list[Piece] = []
        self.error: Refusal | None = None
        self.begun = time.monotonic()
        self.over: float | None = None
        self.when_over: Callable[[], None] | None = None
        self._lasting: list[tuple[str, dict[str, Any]]] = []
        self._listeners: set[asyncio.Queue] = set()
        self._unheard_until = self.begun + UNHEARD_SECONDS

    @property
    def is_over(self) -> bool:
        return self.over is not None

    @property
    def is_unheard(self) -> bool:
        """Whether nobody has listened for too long."""
        return not self._listeners and time.monotonic() > self._unheard_until

    def tell(self, event: str, data: dict[str, Any], *, lasting: bool = True) -> None:
        """An event to all listeners; a lasting one also to those who come later."""
        number = None
        if lasting:
            self._lasting.append((event, data))
            number = len(self._lasting)
        for listener in self._listeners:
            listener.put_nowait((number, event, data))

    async def deliver(self, pieces: Sequence[Piece]) -> None:
        """Take finished pictures in."""
        if self.is_over:
            return
        if self.keep is None:
            self.pieces.extend(pieces)
            return
        try:
            for told in await self.keep(self, pieces):
                self.tell("image", told)
        except (OSError, sqlite3.Error) as error:
            _log.error("a picture could not be kept: %s", error)
            self.fail(Refusal(500, "internal", "the picture could not be kept; is there room on the disk?"))

    def finish(self, figures: dict[str, float] | None = None) -> None:
        """All is done."""
        if not self.is_over:
            seconds = round(self._end() - self.begun, 3)
            self.tell(DONE, {"num": len(self.work.rows), "seconds": seconds, "figures": figures or {}})

    def fail(self, error: Refusal) -> None:
        """End it, unless it is over."""
        if not self.is_over:
            self._end()
            self.error = error
            self.tell(ERROR, {"error": error.error})

    def _end(self) -> float:
        """Nothing more will be drawn for it; when that was."""
        self.over = time.monotonic()
        self.waiting.clear()
        if self.when_over:
            self.when_over()
        self.work = replace(self.work, blobs=())  # which may be large, and is remembered for a while
        return self.over

    def cancel(self) -> bool:
        """Call it off; whether there was something to call off."""
        was_live = not self.is_over
        self.fail(Refusal(499, "cancelled", "the job was called off"))
        return was_live

    async def events(self, after: int = 0) -> AsyncIterator[tuple[int | None, str, dict[str, Any]]]:
        """Its events from number `after` on, to the last; whoever stops listening is missed."""
        listener: asyncio.Queue = asyncio.Queue()
        for number, (event, data) in enumerate(self._lasting, 1):
            if number > after:
                listener.put_nowait((number, event, data))
        self._listeners.add(listener)
        try:
            while not (self.is_over and listener.empty()):
                yield (told := await listener.get())
                if told[1] in (DONE, ERROR):
                    return
        finally:
            self._listeners.discard(listener)
            self._unheard_until = time.monotonic() + GRACE_SECONDS

    async def result(self) -> list[Piece]:
        """Its pictures, in order, when it is done; called off where the one who waits is.

        Raises the Refusal that it ended with.
        """
        try:
            async for _ in self.events():
                pass
        except BaseException:
            self.cancel()
            raise
        if self.error:
            raise self.error
        pieces, self.pieces = self.pieces, []
        return sorted(pieces, key=lambda piece: piece.place)


class Jobs:
    """All jobs that can still be asked about."""

    def __init__(self):
        self._jobs: dict[str, Job] = {}

    def add(self, job: Job) -> Job:
        self._jobs[job.id] = job
        return job

    def find(self, id: str) -> Job:
        """The job of an id.

        Raises a Refusal where there is none.
        """
        if id not in self._jobs:
            raise missing("job")
        return self._jobs[id]

    @property
    def live(self) -> list[Job]:
        return [job for job in self._jobs.values() if not job.is_over]

    def sweep(self) -> None:
        """End those that are late or that nobody listens to; forget what was over long ago."""
        now = time.monotonic()
        for job in self.live:
            if now > job.deadline:
                job.fail(Refusal(504, "deadline", "not drawn in time; ask for fewer pictures, or again later"))
            elif job.is_unheard:
                job.cancel()
        over = [(id, job.over) for id, job in self._jobs.items() if job.over is not None]
        for place, (id, ended) in enumerate(reversed(over)):
            if place >= MOST_KEPT or now - ended > KEPT_SECONDS:
                del self._jobs[id]
