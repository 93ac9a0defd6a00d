"""Every single call on a file fails, in every way that a disk has of failing."""

from __future__ import annotations

import errno
import random
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.cli._main import told
from figment.core.errors import FigmentError
from trust._calls import Call
from trust._commits import Prepared, prepared
from trust._disk import watched
from trust._tally import Tally

PROMISE = "A disk that fails while something is saved costs nothing that was saved before."
METHOD = (
    "Each open, write, sync, rename and removal of eight commits (checkpoints, a model, a run, a dataset, its labels "
    "and its card, a sealed file) fails in turn with EIO, ENOSPC or a short write, once and from then on, and with "
    "EINTR once. Then the old or the new state must be whole, an error must be one line that says what to do, and "
    "trying again must succeed. And each commit runs under a rain of signals."
)
SHORT = 40
LONG = 100_000  # there are fewer: all are tried

MOST_CALLS = 10_000
RAIN_SECONDS = 0.0002
RAINS = 5
WAYS = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC, "EINTR": errno.EINTR, "short write": errno.ENOSPC}


@dataclass(frozen=True)
class Fault:
    """The n-th call fails; where it is sticky, so do all later ones. A short write lets half of the bytes through."""

    number: int
    way: str
    is_sticky: bool

    def __str__(self) -> str:
        return f"{self.way} at call {self.number}{' and after' if self.is_sticky else ''}"


class Disk:
    """Counts calls, and fails where it is told to."""

    def __init__(self, fault: Fault | None = None):
        self.calls: list[Call] = []
        self._fault = fault

    def through(self, call: Call, act: Callable[..., Any]) -> Any:
        self.calls.append(call)
        number, fault = len(self.calls), self._fault
        assert number < MOST_CALLS, f"a commit that never ends: {call}"
        if fault is None or number < fault.number or (number > fault.number and not fault.is_sticky):
            return act()
        if fault.way == "short write" and call.data:
            written = act(call.data[: len(call.data) // 2])
            if not fault.is_sticky and ".sqlite" not in call.path.name:
                return written  # whoever writes must go on with the rest; SQLite does so below this layer
        raise OSError(WAYS[fault.way], f"[{fault.way}]", str(call.path))


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    everything = prepared(folder / "prepared")
    attacks = [(name, fault) for name, one in everything.items() for fault in faults_of(one, folder / "trial")]
    rains = [(name, None) for name in everything for _ in range(RAINS)]
    chosen = [*rains, *attacks]
    if trials < len(chosen):
        chosen = random.Random(seed).sample(chosen, trials)
    failures = []
    for name, fault in chosen:
        attack = _rained if fault is None else failed
        if wrong := attack(everything[name], folder / "trial", fault):
            failures.append(f"{name}: {fault or 'rain'}: {wrong}")
    calls = len({(name, fault.number) for name, fault in attacks})
    return Tally(len(chosen), tuple(failures), f"{calls} calls of {len(everything)} commits")


def faults_of(one: Prepared, trial: Path) -> Iterator[Fault]:
    """All that can go wrong with a commit."""
    disk = Disk()
    one.copy(trial)
    with watched(trial, disk.through):
        one.commit.make(trial)
    for number, call in enumerate(disk.calls, 1):
        for way in WAYS:
            for is_sticky in (False, True):
                is_endless = way == "EINTR" and is_sticky  # whoever writes tries again, for ever
                if not is_endless and (way != "short write" or call.kind == "write"):
                    yield Fault(number, way, is_sticky)


def failed(one: Prepared, trial: Path, fault: Fault) -> str:
    """What is wrong after a fault; empty where all is well."""
    one.copy(trial)
    wrong = ""
    with watched(trial, Disk(fault).through):
        try:
            one.commit.make(trial)
        except (FigmentError, OSError, sqlite3.Error) as error:
            wrong = _untold(error, fault)
    return wrong or _lost(one, trial)


def _untold(error: Exception, fault: Fault) -> str:
    """What is wrong with how a user is told. Python and SQLite try again after a real EINTR, so that none is told."""
    if fault.way == "EINTR":
        return ""
    try:
        _, line = told(error)
    except Exception:
        return f"a user would see a traceback: {error!r}"
    return "" if line and "\n" not in line else f"told in several lines: {line}"


def _lost(one: Prepared, trial: Path) -> str:
    """What is wrong with what a reader finds, now and after another try."""
    try:
        found = one.commit.found(trial)
        if found not in (one.old, one.new):
            return "neither the old state nor the new one"
        one.commit.make(trial)
        found = one.commit.found(trial)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if found == one.new else "trying again did not lead to the new state"


def _rained(one: Prepared, trial: Path, _: None) -> str:
    one.copy(trial)
    try:
        with _rain():
            one.commit.make(trial)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "" if one.commit.found(trial) == one.new else "not the new state"


@contextmanager
def _rain() -> Iterator[None]:
    """Signals that interrupt whatever the system is doing for this process, thousands a second."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, RAIN_SECONDS, RAIN_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
