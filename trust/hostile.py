"""Hostile files: whatever a stranger's file holds, it is read or refused in one line, and nothing of it is executed.

Valid files of every kind are spoilt and given to what reads them, in a process of its own under caps of memory and
time. An audit hook in there notes what no file may bring about. A reader that is as bad as can be comes first: a
campaign that does not notice it proves nothing.
"""

from __future__ import annotations

import pickle
import random
import resource
import signal
import time
from pathlib import Path

from trust import _ways_of_data, _ways_of_runs
from trust._child import End, call
from trust._mutations import STRANGERS, Trap, spoilt
from trust._tally import Tally
from trust._watch import Watch
from trust._ways_of_data import Read, Way, picture

PROMISE = "A damaged or hostile file is read or refused in one line; it crashes nothing and nothing of it is executed."
METHOD = (
    "Files of every kind that figment reads are mutated and read in a child process under an audit hook, with 2 GiB of "
    "memory and 10 s of the processor for each."
)
SHORT, LONG = 240, 120_000

PICTURES = 5 / 6  # of all trials
LEAST = 5  # trials of a way that is tried at all
AT_ONCE = 1000  # trials in one process
STRANGE = 0.2  # share of files that are not spoilt: valid ones, and ones of another kind altogether
MEMORY, MOST_MEMORY = 2 << 30, 3 << 20  # bytes of address space; KiB that a process may ever have held
SECONDS = 10.0  # for one file


class TooSlow(BaseException):
    """A file that keeps its reader busy; no reader can catch it by accident."""


def _spies(folder: Path) -> tuple[list[bytes], Read]:
    """A reader as bad as can be: it unpickles, raises what nobody expects, and never comes to an end."""

    def read(content: bytes) -> None:
        if content == b"code":
            pickle.loads(pickle.dumps(Trap()))
        elif content == b"error":
            raise KeyError(content)
        elif content == b"time":
            while True:
                pass
        (folder.parent / "elsewhere").write_bytes(content)

    return [b"code", b"error", b"time", b"place"], read


WAYS: dict[str, Way] = {"pictures": picture, **_ways_of_data.WAYS, **_ways_of_runs.WAYS}


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    """So many files in all, most of them pictures."""
    failures = [f"the harness did not notice a bad reader: {missed}" for missed in _unnoticed(folder)]
    numbers, slowest, most = _shares(trials, seed), 0.0, 0
    for name, number in numbers.items():
        for first in range(0, number, AT_ONCE):
            count = min(AT_ONCE, number - first)
            end = _attack(name, folder, seed, first, count)
            if end.fault:
                failures.append(f"{name}: the process {end.fault}")
                continue
            found, seconds, memory = end.value
            failures += found
            slowest, most = max(slowest, seconds), max(most, memory)
    made = sum(numbers.values())
    others = f"{made - numbers['pictures']:,} files of {len(numbers) - 1} other kinds"
    note = f"{numbers['pictures']:,} pictures and {others}; slowest {slowest:.1f} s, most memory {most >> 10:,} MiB"
    return Tally(made, tuple(failures), note)


def _shares(trials: int, seed: int) -> dict[str, int]:
    """Trials of each way; where there are few, of some ways only, because each takes time to prepare."""
    pictures = round(trials * PICTURES)
    names = [name for name in WAYS if name != "pictures"]
    some = random.Random(seed).sample(names, min(len(names), max(1, (trials - pictures) // LEAST)))
    return {"pictures": pictures} | {name: -(-(trials - pictures) // len(some)) for name in some}


def _attack(name: str, folder: Path, seed: int, first: int, count: int) -> End:
    place = folder / f"{name.replace(' ', '-')}-{first}"
    place.mkdir()
    return call(attack, name, place, seed, first, count, seconds=120 + count / 2, memory=MEMORY)


def _unnoticed(folder: Path) -> list[str]:
    (folder / "spies").mkdir()
    end = call(spy, folder / "spies", seconds=60)
    return [end.fault] if end.fault else end.value


def spy(folder: Path) -> list[str]:
    """Which faults of the bad reader are not noticed; runs in a process of its own."""
    examples, read = _spies(folder)
    watch = Watch(folder)
    return [content.decode() for content in examples if not _fault(read, content, watch, seconds=0.2)]


def attack(name: str, folder: Path, seed: int, first: int, count: int) -> tuple[list[str], float, int]:
    """(faults, seconds of the slowest, KiB of memory at most) of a way's trials; runs in a process of its own."""
    examples, read = WAYS[name](folder)
    choose = random.Random(f"{seed} {name} {first}")
    for example in examples:  # whatever is imported at first sight
        _fault(read, example, None)
    watch, faults, slowest = Watch(folder), list[str](), 0.0
    for number in range(first, first + count):
        if choose.random() < STRANGE:
            content = choose.choice([*examples, *STRANGERS])
        else:
            content = spoilt(choose.choice(examples) or b"\0", choose)
        began = time.process_time()
        if fault := _fault(read, content, watch):
            faults.append(f"{name} {number}: {fault} ({content[:60]!r}, {len(content)} bytes)")
        slowest = max(slowest, time.process_time() - began)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if memory > MOST_MEMORY:
        faults.append(f"{name} {first}: {memory >> 10:,} MiB of memory")
    return faults, slowest, memory


def _fault(read: Read, content: bytes, watch: Watch | None, seconds: float = SECONDS) -> str:
    """What is wrong with how a file is taken; "" where it is read, or refused by an error that is meant for people."""
    signal.signal(signal.SIGPROF, _too_slow)
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of the processor: others may keep it busy
    said = ""
    if watch:
        watch.seen.clear()
        watch.is_on = True
    try:
        read(content)
    except TooSlow:
        said = f"takes longer than {seconds:g} s"
    except Exception as error:
        said = "" if _is_meant(error) else f"{type(error).__name__}: {error}"[:300]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        if watch:
            watch.is_on = False
    return "; ".join([said, *watch.seen] if said else watch.seen) if watch else said


def _is_meant(error: Exception) -> bool:
    """Whether an error says to people, in one line, what is wrong with a file."""
    from starlette.exceptions import HTTPException

    from figment.core.errors import FigmentError
    from figment.data.web_addresses import Forbidden
    from figment.data.web_fetch import Unreachable

    text = str(error.detail) if isinstance(error, HTTPException) else str(error)
    return isinstance(error, FigmentError | HTTPException | Forbidden | Unreachable) and "\n" not in text


def _too_slow(number: int, frame: object) -> None:
    raise TooSlow
