"""The data room: a stream of work done by several processes, with answers in the order of the questions."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import TypeVar

from figment.core.errors import DataError

Question = TypeVar("Question")
Answer = TypeVar("Answer")

MAX_WORKERS = 8
ALONE_SECONDS = 2.0  # of work that a build does by itself: starting processes costs about as much
AHEAD = 2  # questions waiting for each worker, so that none is idle and memory stays bounded


def in_order(work: Callable[[Question], Answer], questions: Iterable[Question]) -> Generator[Answer, None, None]:
    """work(question) for each question, in order. `work` must be picklable and pure: who does it makes no difference.

    Raises DataError where a process dies, and whatever `work` raises.
    """
    num_workers = min(MAX_WORKERS, os.cpu_count() or 1)
    questions = iter(questions)
    busy_seconds = 0.0
    for question in questions:
        start = time.monotonic()
        answer = work(question)
        busy_seconds += time.monotonic() - start
        yield answer
        if num_workers > 1 and busy_seconds > ALONE_SECONDS:
            break
    else:
        return
    # Spawned, not forked: a fork would copy locks and threads of whatever else this process does.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_begin)
    try:
        yield from ahead(lambda question: pool.submit(work, question), questions, num_workers * AHEAD)
    except BrokenProcessPool:
        raise DataError(
            "a worker process died, most likely for want of memory: give the same command again to go on"
            " (a script of your own must build under `if __name__ == '__main__':`)"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def ahead(submit: Callable[[Question], Future[Answer]], questions: Iterable[Question], most: int) -> Iterator[Answer]:
    """Keep at most so many questions with whoever works; answer the oldest first."""
    waiting: deque[Future[Answer]] = deque()
    for question in questions:
        waiting.append(submit(question))
        if len(waiting) >= most:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _begin() -> None:
    """What a worker does first: leave Ctrl-C to its parent, and end when its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    # A pool's workers hold both ends of their pipe and would wait for ever on a parent that was killed.
    wait([sentinel])
    os._exit(1)
