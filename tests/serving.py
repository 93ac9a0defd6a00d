"""A figment server as tests use it: in this process on a free port of its own, or as a command that is killed."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from figment.serve.context import Studio
from figment.serve.guard import Gate
from figment.serve.server import Server, listening, studio_of
from tests.commands import FIXED, done

PATIENCE = 60.0  # seconds that anything may take on a busy machine


class Served:
    """A server under way, and a client of it."""

    def __init__(self, studio: Studio, port: int):
        self.studio, self.port = studio, port
        self.url = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {studio.gate.token}"} if studio.gate.token else {}
        self.http = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, trust_env=False)

    def wait_ready(self) -> None:
        until(lambda: self.http.get("/ready").status_code == 200)

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, status: int = 200) -> Any:
        answer = self.http.post(path, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def events(self, job: str, **headers: str) -> list[tuple[str, dict[str, Any]]]:
        """All events of a job, to the last."""
        found, name = [], ""
        with self.http.stream("GET", f"/api/jobs/{job}/events", headers=headers) as stream:
            assert stream.status_code == 200
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    found.append((name, json.loads(line.removeprefix("data: "))))
        return found

    def drawn(self, **asked: Any) -> list[dict[str, Any]]:
        """The pictures of a job, as its events tell them."""
        events = self.events(self.post("/api/generate", asked, 202)["job"])
        assert events[-1][0] == "done", events[-1]
        return [data for name, data in events if name == "image"]


def until(happens: Any, seconds: float = PATIENCE) -> None:
    """Wait until something holds."""
    late = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < late, "it did not happen in time"
        time.sleep(0.02)


@contextlib.contextmanager
def serving(runs: list[Path], data: list[Path], state: Path, gate: Gate | None = None) -> Iterator[Served]:
    """A server within this process."""
    studio = studio_of(runs, data, state, gate or Gate())
    with listening("127.0.0.1", 0) as line:
        server = Server(studio)
        thread = threading.Thread(target=server.run, args=([line],))
        thread.start()
        served = Served(studio, line.getsockname()[1])
        try:
            until(lambda: server.started)
            yield served
        finally:
            served.http.close()
            server.handle_exit(15, None)
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the server did not end"


def tiny_runs(folder: Path, data: Path) -> list[Path]:
    """A flow and a gan of digits, trained for a moment."""
    runs = [folder / "flow", folder / "gan"]
    for run in runs:
        scale = ("--scale", "tiny", "--train.batch-size", 16, "--train.sample-every", 2, "--train.log-every", 1)
        done("train", run.name, "--data", data, "--out", run, "--steps", 4, *FIXED, *scale)
    return runs
