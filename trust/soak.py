"""Serving and training for a long time, side by side: what they hold at the end is what they held soon after the start.

A server answers clients that never pause, good requests and bad ones; a training steps, saves, validates and draws. The
first part of the time is for caches to fill. Then their memory is watched, and open files, threads and processes are
counted before and after, each time while the clients are silent.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import multiprocessing.forkserver
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from figment.serve import jobs
from tests.commands import FIXED, done, figment
from tests.serving import serving
from trust._child import call, started
from trust._tally import Tally

PROMISE = "Serving and training under load take no more memory, files, threads or processes than at first."
METHOD = "Two clients and a training without pause, beside each other; what all processes hold is read from /proc."
SHORT, LONG = 5, 3600  # seconds

WARM_UP = 0.3  # share of the time
MOST_GROWTH = 0.01
PERIOD = 0.1  # seconds between two looks at the memory
SILENCE = 1.0  # seconds until what a request left behind is gone
PATIENCE = 60.0


@dataclass(frozen=True)
class Held:
    """What a process holds: bytes of memory, open files, threads."""

    memory: int
    files: int
    threads: int


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    """So many seconds."""
    end = call(prepare, folder, seconds=120)
    if end.fault:
        return Tally(0, (f"nothing to serve: {end.fault}",))
    # What became of a job is told for ten minutes. In a shorter soak that must be less, or memory would still fill up.
    jobs.KEPT_SECONDS = min(jobs.KEPT_SECONDS, WARM_UP * trials)
    with serving([folder / "run"], [], folder / "state") as server, started(train, folder):
        server.wait_ready()
        _wait((folder / "training" / "checkpoints" / "00000050").exists)
        load = Load(server.port)
        load.run(WARM_UP * trials)
        before = _at_rest()
        seen = load.run((1 - WARM_UP) * trials)
        after = _at_rest()
    failures = [*load.faults, *_leaks(before, after), *_growth(seen)]
    if not load.pictures or len(after) < 3:
        failures.append(f"{load.pictures} pictures by {len(after)} processes: there was no load")
    steps = json.loads((folder / "training" / "log.jsonl").read_text().splitlines()[-1])["step"]
    note = f"seconds: {load.answers:,} answers, {load.pictures:,} with a picture, beside {steps:,} steps of training"
    return Tally(trials, tuple(failures), f"{note}; {sum(held.memory for held in after.values()) >> 20:,} MiB in all")


def prepare(folder: Path) -> None:
    """A dataset and a run; in a process of its own."""
    done("data", "build", "digits:", "--out", folder / "digits")
    done("train", "flow", "--data", folder / "digits", "--out", folder / "run", "--steps", 2, "--scale", "tiny", *FIXED)


def train(folder: Path) -> None:
    """A training without an end, which saves, validates, draws and logs often."""
    often = [f"--train.{what}-every={number}" for what, number in OFTEN.items()]
    place = ("--data", folder / "digits", "--out", folder / "training")
    figment("train", "vae", *place, "--scale", "tiny", *FIXED, *often, "--steps", 10**8)


OFTEN = {"save": 50, "validate": 50, "sample": 200, "log": 10}


class Load:
    """Clients that ask as fast as they are answered."""

    def __init__(self, port: int):
        self.port, self.answers, self.pictures, self.faults = port, 0, 0, list[str]()

    def run(self, seconds: float) -> dict[int, list[int]]:
        """Ask for so long; the memory of each process meanwhile."""
        until = time.monotonic() + seconds
        clients = [threading.Thread(target=self._ask_until, args=(until, requests)) for requests in (GOOD, MIXED)]
        for client in clients:
            client.start()
        seen: dict[int, list[int]] = {}
        while time.monotonic() < until:
            for pid, held in _held().items():
                seen.setdefault(pid, []).append(held.memory)
            time.sleep(PERIOD)
        for client in clients:
            client.join()
        return seen

    def _ask_until(self, until: float, requests: tuple[tuple[str, str, bytes], ...]) -> None:
        number = 0
        while time.monotonic() < until:
            method, path, body = requests[number % len(requests)]
            number += 1
            status = self._ask(method, path, body)
            self.answers += 1
            self.pictures += (status, path) == (200, DRAW)
            if not 200 <= status < 500:
                self.faults.append(f"{method} {path} was answered with {status}")

    def _ask(self, method: str, path: str, body: bytes) -> int:
        """The status; 0 where nobody answers."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as line:
            try:
                line.request(method, path, body or None, {"Content-Type": "application/json"} if body else {})
                answer = line.getresponse()
                answer.read()
                return answer.status
            except OSError:
                return 0


DRAW = "/v1/images/generations"
GOOD = (("POST", DRAW, b'{"prompt": "", "n": 2}'),)
MIXED = (*GOOD, ("GET", "/api/runs/none", b""), ("POST", "/api/generate", b"{"), ("GET", "/metrics", b""))


def _held() -> dict[int, Held]:
    """What this process, the models' and the training's hold; a server of processes has started those two."""
    parent = multiprocessing.forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found: dict[int, Held] = {}
    for pid in (os.getpid(), *map(int, children)):
        with contextlib.suppress(OSError):  # it has just ended
            memory = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            found[pid] = Held(memory, *(len(os.listdir(f"/proc/{pid}/{name}")) for name in ("fd", "task")))
    return found


def _at_rest() -> dict[int, Held]:
    """The same while no client asks; a training opens files now and then, so the least of some looks counts."""
    time.sleep(SILENCE)
    looks = []
    for _ in range(10):
        looks.append(_held())
        time.sleep(PERIOD / 2)
    least: dict[int, Held] = {}
    for pid, held in looks[-1].items():
        of_pid = [look[pid] for look in looks if pid in look]
        least[pid] = Held(held.memory, min(one.files for one in of_pid), min(one.threads for one in of_pid))
    return least


def _leaks(before: dict[int, Held], after: dict[int, Held]) -> Iterator[str]:
    if before.keys() != after.keys():
        yield f"processes {sorted(before)} became {sorted(after)}"
    for pid in before.keys() & after.keys():
        for name in ("files", "threads"):
            first, last = getattr(before[pid], name), getattr(after[pid], name)
            if last > first:
                yield f"process {pid}: {first} {name} became {last}"


def _growth(seen: dict[int, list[int]]) -> Iterator[str]:
    """Processes whose memory is larger in the last quarter than it was in the first."""
    for pid, memory in seen.items():
        quarter = max(1, len(memory) // 4)
        first, last = statistics.median(memory[:quarter]), statistics.median(memory[-quarter:])
        if last > (1 + MOST_GROWTH) * first:
            yield f"process {pid}: {first / 2**20:.1f} MiB became {last / 2**20:.1f}, {last / first - 1:.2%} more"


def _wait(happens: Callable[[], bool]) -> None:
    late = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < late, "it did not begin in time"
        time.sleep(0.05)
