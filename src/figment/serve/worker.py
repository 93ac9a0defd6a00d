"""The process of the models: it loads them, and draws or edits what it is sent, one batch at a time.

in    {kind: "draw", batch, run, settings, preview, rows}
      {kind: "edit", batch, run, settings, edit, config, rows, ...} + pictures
      {kind: "stop", batch}: nobody wants that batch any more
out   {kind: "ready"}   {kind: "steps", done, total}   {kind: "preview"} + a PNG a row
      {kind: "pictures", pieces} + PNGs   {kind: "failed", code, message}   {kind: "done", figures}
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from figment.core.checkpoint import LoadedModel, load_model
from figment.core.config import from_json
from figment.core.errors import CapabilityError, ConfigError, is_out_of_memory
from figment.core.images import encode_png, to_uint8
from figment.serve.changing import change
from figment.serve.drawing import as_seen, draw
from figment.serve.wire import packed, read

TELL_SECONDS = 0.15  # between two reports of how far a batch is

_NICENESS = 5  # behind the process that speaks HTTP, so that a refusal does not wait for a picture


class Stopped(Exception):
    """Nobody wants the batch that is being drawn any more."""


def main(line: socket.socket, runs: Mapping[str, str]) -> None:
    """Serve the other end of `line` until it closes. runs: folders by id."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all; the other process decides
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    Worker(line, {id: load_model(Path(path)) for id, path in runs.items()}).serve()


class Worker:
    """Holds the models; the next message is read when the last one is answered."""

    def __init__(self, line: socket.socket, runs: Mapping[str, LoadedModel]):
        self.line, self.runs = line, runs

    def serve(self) -> None:
        self.tell({"kind": "ready"})
        try:
            while True:
                asked, blobs = read(self._exactly)
                if asked["kind"] != "stop":  # one that came too late
                    self.answer(asked, blobs)
        except (EOFError, BrokenPipeError, ConnectionResetError):  # the other process has gone
            pass

    def answer(self, asked: dict[str, Any], blobs: Sequence[bytes]) -> None:
        """Do what is asked, and say how it ended."""
        try:
            self.tell({"kind": "done", "figures": self._do(asked, blobs)})
        except Stopped:
            self.tell({"kind": "failed", "code": "cancelled", "message": "called off"})
        except (ConfigError, CapabilityError) as error:
            self.tell({"kind": "failed", "code": "cannot", "message": " ".join(str(error).split())})
        except (EOFError, OSError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                told = "not enough memory; ask for fewer or smaller"
                self.tell({"kind": "failed", "code": "cannot", "message": told})
                return
            traceback.print_exc(file=sys.stderr)
            self.tell({"kind": "failed", "code": "internal", "message": "a bug of figment's"})

    def _do(self, asked: dict[str, Any], blobs: Sequence[bytes]) -> dict[str, float]:
        loaded = self.runs[asked["run"]]
        settings = _settings(loaded, asked["settings"])
        watcher = Onlooker(self, loaded, asked["batch"], len(asked["rows"]) if asked.get("preview") else 0)
        if asked["kind"] == "edit":
            pieces, figures = change(loaded, asked, blobs, settings, watcher)
            self.tell({"kind": "pictures", "pieces": [facts for facts, _ in pieces]}, [data for _, data in pieces])
            return figures
        pictures = draw(loaded, asked["rows"], settings, watcher)
        self.tell({"kind": "pictures", "pieces": [{"at": at} for at in range(len(pictures))]}, pictures)
        return {}

    def tell(self, header: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
        self.line.sendall(packed(header, blobs))

    def is_unwanted(self, batch: int) -> bool:
        """Whether a message says that this batch is wanted no more."""
        while select.select([self.line], [], [], 0)[0]:
            asked, _ = read(self._exactly)
            if asked["kind"] == "stop" and asked["batch"] == batch:
                return True
        return False

    def _exactly(self, size: int) -> bytes:
        """So many bytes of the line, and none ahead of them, so that `select` tells the truth."""
        data = bytearray()
        while len(data) < size:
            part = self.line.recv(min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)


class Onlooker:
    """Tells how far a batch is, shows what it looks like, and ends it where nobody wants it."""

    def __init__(self, worker: Worker, loaded: LoadedModel, batch: int, num_previews: int):
        self.worker, self.loaded, self.batch, self.num_previews = worker, loaded, batch, num_previews
        self._last = time.monotonic()

    def step(self, done: int, total: int, clean: Tensor | None) -> None:
        if self.worker.is_unwanted(self.batch):
            raise Stopped
        if time.monotonic() - self._last < TELL_SECONDS:
            return
        self._last = time.monotonic()
        if total:
            self.worker.tell({"kind": "steps", "done": done, "total": total})
        if clean is not None and self.num_previews:
            pictures = to_uint8(as_seen(self.loaded.model, clean[: self.num_previews]).clamp(-1, 1))
            self.worker.tell({"kind": "preview"}, [encode_png(picture) for picture in pictures])


def _settings(loaded: LoadedModel, values: dict[str, Any] | None) -> Any:
    """The family's settings as the other process checked them."""
    sampling = loaded.sampling_type
    return None if sampling is None or values is None else from_json(sampling, values, "settings")
