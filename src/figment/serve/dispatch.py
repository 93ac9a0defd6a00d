"""Between those who ask and the process that draws: batches go out, pictures come back to the job that each is of."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
from typing import Any

from figment.serve.counters import Counters
from figment.serve.jobs import Job, Jobs, Piece
from figment.serve.queue import Batch, Pace, Queue
from figment.serve.refusal import Refusal
from figment.serve.workshop import STUCK_SECONDS, WorkerDied, Workshop

_SWEEP_SECONDS = 0.5

_log = logging.getLogger("figment.serve")


class Dispatcher:
    """Runs as two tasks of the event loop: one draws, one sweeps."""

    def __init__(self, workshop: Workshop, counters: Counters):
        self.workshop, self.counters = workshop, counters
        self.jobs, self.queue = Jobs(), Queue(Pace())
        self.is_draining = False
        self._batch: Batch | None = None
        self._stopped_at: float | None = None
        self._tasks: list[asyncio.Task] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._draw()), asyncio.create_task(self._sweep())]

    async def drain(self, seconds: float) -> None:
        """Take nothing new, finish what was accepted within this time, and end."""
        self.is_draining = True
        until = time.monotonic() + seconds
        while self.jobs.live and time.monotonic() < until:
            await asyncio.sleep(0.05)
        for job in self.jobs.live:
            job.fail(Refusal(503, "stopping", "the server was stopped before this was drawn"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.workshop.close()

    def turned_away(self) -> Refusal | None:
        """What is said to all who want something drawn, known before they are listened to; None where they may come."""
        if self.is_draining:
            return Refusal(503, "stopping", "the server is being stopped", retry_after=10)
        if not self.workshop.is_ready and not self.workshop.num_starts:
            return Refusal(503, "not_ready", "the models are being loaded", retry_after=2)
        return self.queue.refusal() if self.queue.is_full else None

    def submit(self, job: Job) -> Job:
        """Let a job wait for its turn.

        Raises a Refusal, at once, where it cannot.
        """
        if refusal := self.turned_away():
            raise refusal
        ahead = self.queue.put(job)
        self.jobs.add(job)
        self.counters.add("jobs")
        job.tell("queued", {"job": job.id, "num": len(job.work.rows), "ahead_seconds": round(ahead, 2)})
        return job

    async def _draw(self) -> None:
        await self.workshop.start()
        while True:
            self._batch = batch = await self.queue.take()
            started = time.monotonic()
            try:
                await self._one(batch)
                self.queue.pace.learn(batch, time.monotonic() - started)
                self.counters.batch(len(batch.places), time.monotonic() - started)
            except WorkerDied:
                self.counters.add("worker_deaths")
                await self._again(batch, Refusal(502, "worker_died", "the process of the models died; ask again"))
            except Exception:  # a bug of ours, or no room on the disk: what else is on the line belongs to nobody
                _log.exception("batch %d", batch.number)
                await self._again(batch, Refusal(500, "internal", "a picture could not be kept"))
            finally:
                self._batch = self._stopped_at = None

    async def _again(self, batch: Batch, error: Refusal) -> None:
        """A batch is lost: start the process of the models anew."""
        for job in batch.jobs:
            job.fail(error)
        self.workshop.kill()
        await self.workshop.close()
        await self.workshop.start()

    async def _one(self, batch: Batch) -> None:
        async for header, blobs in self.workshop.ask(_request(batch), batch.work.blobs):
            kind = header["kind"]
            if kind == "pictures":
                await _deliver(batch, header["pieces"], blobs)
                self.counters.add("pictures", len(blobs))
            elif kind == "preview":
                for (job, place), png in zip(batch.places, blobs, strict=False):
                    text, seed = base64.b64encode(png).decode(), job.work.rows[place]["seed"]
                    job.tell("preview", {"seed": seed, "place": place, "png_b64": text}, lasting=False)
            elif kind == "steps":
                for job in batch.jobs:
                    job.tell("progress", _progress(job, header["done"], header["total"]), lasting=False)
            elif kind == "failed":
                status = {"cannot": 400, "cancelled": 499}.get(header["code"], 500)
                for job in batch.jobs:
                    job.fail(Refusal(status, header["code"], header["message"]))
            elif kind == "done":
                _settle(batch, header["figures"])

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            self.jobs.sweep()
            self.heed()
            if self._stopped_at and time.monotonic() - self._stopped_at > STUCK_SECONDS:
                self.workshop.kill()

    def heed(self) -> None:
        """Call off the batch that is being drawn, where nobody wants it any more."""
        if self._batch and not self._stopped_at and all(job.is_over for job in self._batch.jobs):
            self._stopped_at = time.monotonic()
            self.workshop.stop(self._batch.number)


def _request(batch: Batch) -> dict[str, Any]:
    work = batch.work
    rows = [job.work.rows[place] for job, place in batch.places]
    header = {"kind": work.kind, "batch": batch.number, "run": work.run.id, "settings": work.settings, "rows": rows}
    return header | {"preview": work.preview} | work.facts


async def _deliver(batch: Batch, pieces: list[dict[str, Any]], blobs: list[bytes]) -> None:
    """Every picture to the job that it is of."""
    found: dict[Job, list[Piece]] = {}
    for facts, data in zip(pieces, blobs, strict=True):
        if batch.work.kind == "edit":
            found.setdefault(batch.places[0][0], []).append(Piece(data, **facts))
        else:
            job, place = batch.places[facts["at"]]
            found.setdefault(job, []).append(Piece(data, place, job.work.rows[place]["seed"]))
    for job, ones in found.items():
        await job.deliver(ones)


def _settle(batch: Batch, figures: dict[str, float]) -> None:
    """What is drawn is off the jobs' lists; those with nothing left are done."""
    for job, _ in batch.places:
        job.left -= 1
    for job in batch.jobs:
        job.tell("progress", _progress(job, 0, job.work.steps), lasting=False)
        if not job.left:
            job.finish(figures)


def _progress(job: Job, done: int, total: int) -> dict[str, int]:
    num = len(job.work.rows)
    return {"done": num - job.left, "total": num, "steps_done": done, "steps_total": total}
