"""Many more clients than a server can draw for: is anything lost or crossed, and how long does a refusal take?

    python benchmarks/serve.py RUN [--clients 1000] [--seconds 60] [--label 3]

Starts `figment serve RUN` and asks it for pictures of known seeds over OpenAI's endpoint, every client again as soon as
it has its answer, or as late as Retry-After says. Beside them one more asks for /health twenty times a second. Prints
one JSON object: answers, refusals, what was wrong or lost, and latencies in milliseconds. "own" is by how much a timer
of this program was late meanwhile: of so much every latency may be its own. Pictures are looked at when all is over.

Before that, for each run that is named: the pictures a second that 16 clients get, beside those of one; and the frames
a second of a slider between two seeds and, where the run can redraw, of a sheet that is drawn on. --clients 0 is only
that.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

SEEDS = 100  # whose pictures are known
ALONE_SECONDS = 5.0
BOUNDARY = "figment-benchmark"
RAMP_SECONDS = 10.0  # within which the clients arrive


class Line:
    """One connection that is kept open: the least of an HTTP client, so that a thousand of them cost little."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port
        self.streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(
        self, method: str, path: str, body: Any = None, kind: str = "application/json"
    ) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of the answer. body: bytes of this kind, or what is sent as JSON."""
        if self.streams is None:
            self.streams = await asyncio.open_connection(self.host, self.port, limit=1 << 24)
        reader, writer = self.streams
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
        head += f"Content-Type: {kind}\r\nContent-Length: {len(data)}\r\n\r\n" if data else "\r\n"
        writer.write(head.encode() + data)
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return int(first.split()[1]), headers, content

    def close(self) -> None:
        if self.streams:
            self.streams[1].close()
            self.streams = None


async def storm(
    url: str,
    *,
    clients: int,
    seconds: float,
    truth: Mapping[int, np.ndarray],
    num: int = 1,
    label: str = "3",
    ramp: float = 0.5,
) -> dict[str, Any]:
    """So many clients for so long, each asking for `num` pictures of known seeds.

    truth: the picture of each seed. ramp: seconds within which the clients arrive.
    """
    counts: Counter[str] = Counter()
    answers: list[tuple[int, bytes]] = []
    times: dict[str, list[float]] = {"refused": [], "health": [], "answered": [], "own": []}
    until = time.monotonic() + seconds

    async def client(number: int) -> None:
        line, turn = Line(url), number
        await asyncio.sleep(ramp * number / clients)
        while time.monotonic() < until:
            turn += 37
            seed = turn % (SEEDS - num + 1)
            asked = {"prompt": label, "seed": seed, "n": num}
            begun = time.monotonic()
            try:
                status, headers, content = await line.ask("POST", "/v1/images/generations", asked)
            except (OSError, asyncio.IncompleteReadError):
                counts["lost"] += 1
                line.close()
                continue
            took = time.monotonic() - begun
            if status in (429, 503):
                counts["refusals"] += 1
                times["refused"].append(took)
                line.close()  # a server closes what is idle for long
                await asyncio.sleep(max(0.0, min(float(headers["retry-after"]), until - time.monotonic())))
            elif status == 200:
                answers.append((seed, content))
                times["answered"].append(took)
            else:
                counts["lost"] += 1
        line.close()

    async def watcher() -> None:
        line = Line(url)
        while time.monotonic() < until:
            begun = time.monotonic()
            status, _, _ = await line.ask("GET", "/health")
            counts["lost"] += status != 200
            times["health"].append(time.monotonic() - begun)
            begun = time.monotonic()
            await asyncio.sleep(0.05)
            times["own"].append(time.monotonic() - begun - 0.05)
        line.close()

    await asyncio.gather(watcher(), *(client(number) for number in range(clients)))
    counts["answers"] = len(answers)
    counts["wrong"] = sum(not is_right(json.loads(content)["data"], seed, num, truth) for seed, content in answers)
    report = {name: counts[name] for name in ("answers", "refusals", "wrong", "lost")}
    return report | {"pictures": num * counts["answers"], **{f"{name}_ms": told(each) for name, each in times.items()}}


def is_right(data: list[dict[str, Any]], seed: int, num: int, truth: Mapping[int, np.ndarray]) -> bool:
    """Whether an answer holds the pictures of the seeds that were asked for, within 1 of 255."""
    if [one["seed"] for one in data] != list(range(seed, seed + num)):
        return False
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one["b64_json"]))), np.int16) for one in data]
    return all(np.abs(picture - truth[seed + place]).max() <= 1 for place, picture in enumerate(pictures))


def told(times: list[float]) -> dict[str, float]:
    if not times:
        return {}
    return {f"p{share}": round(1e3 * float(np.percentile(times, share)), 1) for share in (50, 99)}


async def alone_and_together(url: str, label: str) -> dict[str, float]:
    """Pictures a second of one client, and of 16 at once, each asking for one picture at a time."""

    async def client(number: int, until: float) -> int:
        line, done = Line(url), 0
        while time.monotonic() < until:
            status, _, _ = await line.ask("POST", "/v1/images/generations", {"prompt": label, "seed": number + done})
            assert status == 200, status
            done += 1
        line.close()
        return done

    found = {}
    for clients in (1, 16):
        until = time.monotonic() + ALONE_SECONDS
        done = await asyncio.gather(*(client(number, until) for number in range(clients)))
        found[str(clients)] = sum(done) / ALONE_SECONDS
    return found | {"ratio": found["16"] / found["1"]}


async def frames(url: str) -> dict[str, float]:
    """Frames a second that one client gets, each asked for when the last one is there, of the only run."""
    line = Line(url)
    (run,) = json.loads((await line.ask("GET", "/api/runs"))[2])["runs"]

    async def of(path: str, kind: str, body: Callable[[int], Any]) -> float:
        done, until = 0, time.monotonic() + ALONE_SECONDS
        while time.monotonic() < until:
            status, _, content = await line.ask("POST", path, body(done), kind)
            assert status == 200, content
            done += 1
        return done / ALONE_SECONDS

    def walk(number: int) -> dict[str, Any]:
        return {"run": run["id"], "seed_a": 0, "seed_b": 1, "t": number % 100 / 100}

    found = {"walk": await of("/api/walk", "application/json", walk)}
    if any(edit["name"] == "redraw" for edit in run["edits"]):
        form = f"multipart/form-data; boundary={BOUNDARY}"
        found["redraw"] = await of("/api/redraw", form, lambda number: sheet(run, number))
    line.close()
    return found


def sheet(run: Mapping[str, Any], number: int) -> bytes:
    """A form: a sheet of the run's size with a stroke somewhere, to be redrawn."""
    spec, buffer = run["spec"], io.BytesIO()
    picture = np.zeros((spec["height"], spec["width"], 3), np.uint8)
    picture[number % spec["height"]] = 255
    Image.fromarray(picture).save(buffer, "PNG")
    request = json.dumps({"run": run["id"], "edit": "redraw", "seeds": [0]}).encode()
    parts = [b'name="request"\r\n\r\n' + request]
    parts += [b'name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + buffer.getvalue()]
    edge = f"--{BOUNDARY}".encode()
    return (
        b"".join(edge + b"\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + edge + b"--\r\n"
    )


@contextlib.contextmanager
def served(run: Path, state: Path) -> Any:
    """A server over a run, by its address and its process."""
    words = [sys.executable, "-m", "figment", "serve", str(run), "--port", "0", "--state", str(state)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        url = process.stdout.readline().split()[0].rstrip("/")
        asyncio.run(ready(url))
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


async def ready(url: str) -> None:
    line = Line(url)
    while (await line.ask("GET", "/ready"))[0] != 200:
        await asyncio.sleep(0.1)
    line.close()


def drawn(run: Path, label: str, out: Path) -> dict[int, np.ndarray]:
    """The pictures of the known seeds, as the command line draws them."""
    words = ["sample", str(run), "--out", str(out), "--num", str(SEEDS), "--label", label]
    subprocess.run([sys.executable, "-m", "figment", *words], check=True, stdout=sys.stderr)
    return {int(file.stem): np.asarray(Image.open(file), np.int16) for file in out.rglob("*.png")}


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--label", default="3")
    parser.add_argument("--num", type=int, default=4)
    options = parser.parse_args()
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        truth = drawn(options.runs[0], options.label, Path(folder) / "drawn") if options.clients else {}
        for run in options.runs:
            with served(run, Path(folder) / "state") as (url, pid):
                report[f"{run}: clients"] = asyncio.run(alone_and_together(url, options.label))
                report[f"{run}: frames"] = asyncio.run(frames(url))
                if run == options.runs[0] and options.clients:
                    before = memory_mb(pid)
                    asked: dict[str, Any] = {"clients": options.clients, "seconds": options.seconds}
                    asked |= {"num": options.num, "label": options.label, "ramp": RAMP_SECONDS}
                    report["storm"] = asyncio.run(storm(url, truth=truth, **asked))
                    report["memory_mb"] = [round(before), round(memory_mb(pid))]
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
