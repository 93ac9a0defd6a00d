"""The data room: the same stream of work, done on a Ray cluster: answers in the order of the questions.

Ray carries questions and answers, and gives a task to another machine where one is lost. Every machine needs this
version of figment.
"""

from __future__ import annotations

import logging
import re
import signal
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from figment.core.errors import ConfigError, DataError, FigmentError, MissingExtra
from figment.data import workers
from figment.data.headers import one_line
from figment.version import VERSION

Question = TypeVar("Question")
Answer = TypeVar("Answer")
Workers = Callable[[Callable[[Any], Any], Iterable[Any]], Generator[Any, None, None]]


def workers_on(place: str) -> Workers:
    """Who does the work, as a function like `figment.data.workers.in_order`.

    place: "" for processes of this machine; "ray" for the Ray cluster that it belongs to, or for one that is started
    here and ends with the work; ray://HOST:PORT for another one. Raises ConfigError, and MissingExtra without ray.
    """
    if not place:
        return workers.in_order
    if not re.fullmatch(r"ray|ray://[^/\s]+:\d+", place):
        raise ConfigError(f"--on {place}: no such place; give ray, or ray://HOST:10001 for a cluster elsewhere")
    if find_spec("ray") is None:
        raise MissingExtra(f"--on {place}", "cluster")
    return partial(in_order, place)


def in_order(
    place: str, work: Callable[[Question], Answer], questions: Iterable[Question]
) -> Generator[Answer, None, None]:
    """work(question) for each question, in order. `work` must be picklable and pure: who does it makes no difference.

    Raises DataError where the cluster cannot be reached or fails, and whatever `work` raises.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    with _joined(place):
        task: Any = ray.remote(_answer)
        num_cores = int(ray.cluster_resources().get("CPU", 1))
        try:
            yield from workers.ahead(
                lambda question: task.remote(VERSION, work, question).future(), questions, num_cores * workers.AHEAD
            )
        except RayTaskError as error:
            raise _told(place, error.cause) from None
        except RayError as error:
            raise DataError(
                f"--on {place}: the cluster failed ({one_line(error)}); give the same command again to go on"
            ) from None


def _answer(version: str, work: Callable[[Question], Answer], question: Question) -> Answer:
    """What a machine of the cluster does."""
    if version != VERSION:
        raise DataError(
            f"a machine of the cluster has figment {VERSION}, not {version}; there: pip install figment=={version}"
        )
    return work(question)


@contextmanager
def _joined(place: str) -> Iterator[None]:
    """Within a cluster; one that this process had joined before is left as it was."""
    import ray
    from ray.exceptions import RayError

    if ray.is_initialized():
        yield
        return
    started_here: dict[str, Any] = {"include_dashboard": False} if place == "ray" else {}
    address = None if place == "ray" else place
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with warnings.catch_warnings(action="ignore"):  # what goes wrong is an error, too
            ray.init(address, logging_level=logging.ERROR, log_to_driver=False, **started_here)
    except (OSError, RuntimeError, ValueError, RayError) as error:
        raise DataError(
            f"--on {place}: no cluster can be reached ({one_line(error)}); start one with: ray start --head;"
            " where it wants a token, set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN=TOKEN"
        ) from None
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put one of its own there
        yield
    finally:
        ray.shutdown()


def _told(place: str, cause: BaseException) -> BaseException:
    """What a task failed of, as a user's mistake where it is one."""
    said = str(cause).partition("\n")[0]  # below it is a traceback
    is_absent = "No module named" in said or "failed to import" in said
    if is_absent and not isinstance(cause, FigmentError):
        return DataError(
            f"--on {place}: a machine of the cluster cannot import what it needs ({said});"
            f" there: pip install figment=={VERSION}"
        )
    return cause
