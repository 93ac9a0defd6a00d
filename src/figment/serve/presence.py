"""Whether somebody is still on the other end: work that nobody waits for is called off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request

from figment.serve.jobs import Job, Piece

PULSE_SECONDS = 15.0


async def while_there(request: Request, job: Job) -> list[Piece]:
    """The pictures of a job, whose client waits for them; called off where the client leaves.

    Raises the Refusal that the job ended with.
    """
    drawn, gone = asyncio.ensure_future(job.result()), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait([drawn, gone], return_when=asyncio.FIRST_COMPLETED)
        if not drawn.done():
            job.cancel()
        return await drawn
    finally:
        gone.cancel()
        drawn.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def with_pulse(stream: AsyncIterator[str], seconds: float = PULSE_SECONDS) -> AsyncIterator[str]:
    """The stream's texts, and a comment of Server-Sent Events whenever none came for so long.

    A stream that is silent would be taken for dead by whoever stands in between.
    """
    following = asyncio.ensure_future(anext(stream, None))
    try:
        while True:
            done, _ = await asyncio.wait([following], timeout=seconds)
            if not done:
                yield ": here\n\n"
                continue
            text = following.result()
            if text is None:
                return
            yield text
            following = asyncio.ensure_future(anext(stream, None))
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()  # type: ignore[attr-defined]
