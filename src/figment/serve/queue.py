"""What waits to be drawn: bounded by the time it will take, shared fairly, handed out in batches.

What work costs is counted in pixels x steps x pictures; how long that takes is learnt from the batches drawn before.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

from figment.evaluate.extract import CHUNK
from figment.serve.jobs import Job, Work
from figment.serve.refusal import Refusal

MOST_SECONDS = 20.0  # of work that waits, from which on nothing more is taken
OVER_SECONDS = 1.0  # that one more job may go beyond it, so that being full can be told without knowing the job
MOST_BYTES = 256 * 1024 * 1024  # of pictures that wait to be edited
MOST_RETURNS = 100.0  # clients a second that are told to come again
LONGEST_RETRY = 60  # seconds that a client is sent away for

_FIRST_PACE = 2e-6  # seconds a pixel and step, before anything was drawn
_MEMORY = 0.3  # how much the last batch counts for the pace


@dataclass(frozen=True)
class Batch:
    """Rows that are drawn together: each with its job and its place within it."""

    number: int
    work: Work
    places: Sequence[tuple[Job, int]]

    @property
    def jobs(self) -> list[Job]:
        return list(dict.fromkeys(job for job, _ in self.places))

    @property
    def cost(self) -> int:
        return self.work.run.pixels * self.work.steps * len(self.places)


class Pace:
    """Seconds that a pixel and step takes, for each run and kind of work."""

    def __init__(self):
        self._seconds: dict[str, float] = {}

    def seconds(self, work: Work, num: int | None = None) -> float:
        """What work will take; num: that many of its rows."""
        share = 1.0 if num is None else num / len(work.rows)
        return self._seconds.get(self._of(work), _FIRST_PACE) * work.cost * share

    def learn(self, batch: Batch, seconds: float) -> None:
        name, fresh = self._of(batch.work), seconds / batch.cost
        self._seconds[name] = fresh + (1 - _MEMORY) * (self._seconds.get(name, fresh) - fresh)

    def _of(self, work: Work) -> str:
        return f"{work.run.id} {work.facts.get('edit', '')}"


class Queue:
    """Jobs by what they can share a batch with. All happens in the event loop.

    What waits is counted anew only after some of it has gone, so that a refusal costs next to nothing.
    """

    def __init__(self, pace: Pace):
        self.pace = pace
        self._lanes: dict[str, list[Job]] = {}
        self._is_counted, self._seconds, self._num_jobs, self._num_bytes = True, 0.0, 0, 0
        self._number = 0
        self._next_return = 0.0
        self._changed = asyncio.Event()

    @property
    def seconds(self) -> float:
        """Work that waits, in the seconds that it will take."""
        if not self._is_counted:
            jobs, self._is_counted = self._jobs, True
            self._seconds = sum(self.pace.seconds(job.work, len(job.waiting)) for job in jobs)
            self._num_jobs, self._num_bytes = len(jobs), sum(map(_bytes, jobs))
        return self._seconds

    @property
    def num_rows(self) -> int:
        return sum(len(job.waiting) for job in self._jobs)

    @property
    def is_full(self) -> bool:
        """Whether nothing more is taken, whatever it is."""
        return self.seconds >= MOST_SECONDS

    @property
    def _jobs(self) -> list[Job]:
        return [job for lane in self._lanes.values() for job in lane]

    def _uncount(self) -> None:
        self._is_counted = False

    def put(self, job: Job) -> float:
        """Let a job wait; returns about how many seconds.

        Raises a Refusal that says when to come again, where too much waits already.
        """
        ahead, own = self.seconds, self.pace.seconds(job.work)
        is_too_much = ahead and ahead + own > MOST_SECONDS + OVER_SECONDS
        if self.is_full or is_too_much or self._num_bytes + _bytes(job) > MOST_BYTES:
            raise self.refusal(own)
        self._lanes.setdefault(job.lane, []).append(job)
        job.when_over = self._uncount
        self._seconds += own
        self._num_jobs += 1
        self._num_bytes += _bytes(job)
        self._changed.set()
        return ahead

    def refusal(self, seconds: float | None = None) -> Refusal:
        """What is said where too much waits. seconds: that the work would take, where that is known."""
        seconds = self.seconds / max(1, self._num_jobs) if seconds is None else seconds
        return Refusal(429, "busy", "too much work is waiting; come again later", retry_after=self._retry(seconds))

    def _retry(self, seconds: float) -> int:
        """Everybody who is sent away gets a time of their own, so that they do not all come back at once."""
        now = time.monotonic()
        self._next_return = max(now + 1, self._next_return + max(seconds, 1 / MOST_RETURNS))
        return min(LONGEST_RETRY, math.ceil(self._next_return - now))

    async def take(self) -> Batch:
        """The next batch, as soon as there is one: of the lane that has waited longest, a row of each job in turn."""
        while True:
            self._drop_empty()
            if self._lanes:
                self._uncount()
                return self._batch(self._first())
            self._changed.clear()
            await self._changed.wait()

    def _drop_empty(self) -> None:
        lanes = {name: [job for job in lane if job.waiting] for name, lane in self._lanes.items()}
        self._lanes = {name: lane for name, lane in lanes.items() if lane}

    def _first(self) -> str:
        return next((name for name, lane in self._lanes.items() if lane[0].work.is_urgent), next(iter(self._lanes)))

    def _batch(self, name: str) -> Batch:
        lane, places = self._lanes.pop(name), []
        work = lane[0].work
        if work.kind == "edit":
            places = [(lane[0], place) for place in lane[0].waiting]
            lane[0].waiting.clear()
        while len(places) < CHUNK and (having := [job for job in lane if job.waiting]):
            places += [(job, job.waiting.popleft()) for job in having[: CHUNK - len(places)]]
        if any(job.waiting for job in lane):
            self._lanes[name] = lane  # behind all others
        self._number += 1
        return Batch(self._number, work, places)


def _bytes(job: Job) -> int:
    return sum(map(len, job.work.blobs))
