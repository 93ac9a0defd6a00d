"""Ways by which strangers' bytes come into a run or a server: each with valid files, and what figment does with one."""

from __future__ import annotations

import asyncio
import hashlib
import json
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from figment.core import plugins
from figment.core.checkpoint import load_model, verify, write_checkpoint, write_model
from figment.core.config import TrainConfig
from figment.core.engine import Engine, seeded
from figment.core.images import encode_png
from figment.core.types import ImageSpec
from figment.edits import compress
from figment.evaluate.cache import remembered
from figment.train.run import DataPin, RunConfig, open_run, read_run, write_run
from figment.train.runlog import RunLog
from tests.pictures import pixels
from trust._ways_of_data import Read, Way

SPEC = ImageSpec(1, 8, 8, classes=("a", "b"))


def _built(family: str) -> tuple[Any, Any]:
    """(a tiny objective, its settings)"""
    module = plugins.load("families", family)
    settings = module.Config.preset("tiny")
    with seeded(0):
        return module.build(settings, SPEC), settings


def _run(folder: Path) -> RunConfig:
    settings, pin = _built("vae")[1], DataPin("data", "00", "11")
    run = RunConfig("vae", settings, SPEC, pin, TrainConfig(batch_size=8), steps=2, engine=Engine(), slices=1)
    folder.mkdir(exist_ok=True)
    write_run(folder, run)
    return run


def config(folder: Path) -> tuple[list[bytes], Read]:
    """config.json of a run."""
    asked = _run(folder)

    def read(content: bytes) -> None:
        (folder / "config.json").write_bytes(content)
        read_run(folder)
        open_run(folder, asked)

    return [(folder / "config.json").read_bytes()], read


def log(folder: Path) -> tuple[list[bytes], Read]:
    """log.jsonl of a run that goes on."""

    def read(content: bytes) -> None:
        (folder / "log.jsonl").write_bytes(content)
        RunLog(folder, 1).close()

    return [b'{"kind": "train", "step": 1, "loss": 0.5}\n{"kind": "train", "step": 2}\n'], read


def manifest(folder: Path) -> tuple[list[bytes], Read]:
    """The manifest of a checkpoint."""
    checkpoint = write_checkpoint(folder, 3, {"objective": {"w": torch.zeros(3)}}, {"seen_images": 3})
    file = checkpoint / "manifest.json"

    def read(content: bytes) -> None:
        file.write_bytes(content)
        found = verify(checkpoint)
        found.read("objective")

    return [file.read_bytes()], read


def weights(folder: Path) -> tuple[list[bytes], Read]:
    """Weights with the right digest: whoever changed them changed that too."""
    objective, settings = _built("vae")
    write_model(folder, objective.model.state_dict(), "vae", settings, SPEC, {"step": 1})
    told = json.loads((folder / "config.json").read_bytes())

    def read(content: bytes) -> None:
        (folder / "model.safetensors").write_bytes(content)
        (folder / "config.json").write_text(json.dumps(told | {"sha256": hashlib.sha256(content).hexdigest()}))
        load_model(folder)

    small = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    vast = json.dumps({"w": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode()
    made = [struct.pack("<Q", len(head)) + head + bytes(4) for head in (small, vast)]
    return [(folder / "model.safetensors").read_bytes(), *made, struct.pack("<Q", 2**63) + b"{}"], read


def model(folder: Path) -> tuple[list[bytes], Read]:
    """config.json of a model."""
    objective, settings = _built("vae")
    write_model(folder, objective.model.state_dict(), "vae", settings, SPEC, {"step": 1})

    def read(content: bytes) -> None:
        (folder / "config.json").write_bytes(content)
        load_model(folder)

    return [(folder / "config.json").read_bytes()], read


def features(folder: Path) -> tuple[list[bytes], Read]:
    """What is kept of a dataset's features; what is damaged is made anew."""
    from figment.core.types import Sample

    sample = Sample(torch.zeros(3, 2).numpy())
    remembered(folder, {"a": 1}, lambda: sample)
    (file,) = folder.glob("*.safetensors")

    def read(content: bytes) -> None:
        file.write_bytes(content)
        found = remembered(folder, {"a": 1}, lambda: sample)
        assert (found.features == sample.features).all(), "features that nobody measured"

    return [file.read_bytes()], read


def _compressed(family: str) -> Way:
    def way(folder: Path) -> tuple[list[bytes], Read]:
        model = _built(family)[0].model.eval()
        image = torch.from_numpy(pixels(1, 12, 20, 1)).permute(2, 0, 1)[None] / 127.5 - 1

        def read(content: bytes) -> None:
            compress.decompress(model, SPEC, content)
            body = content[:-4] if len(content) > 4 else content
            compress.decompress(model, SPEC, body + struct.pack(">I", zlib.crc32(body)))

        made = compress.compress(model, SPEC, image)
        # A picture of 65,535 pixels a side in a file of some bytes.
        vast = made[:7] + struct.pack(">HH", 0xFFFF, 0xFFFF) + made[11:-4]
        return [made, vast + struct.pack(">I", zlib.crc32(vast))], read

    return way


def _posted(app: Any, path: str, kind: str, content: bytes) -> tuple[int, bytes]:
    """What an application answers: (status, body)."""
    heads = {"host": "127.0.0.1", "content-type": kind, "content-length": str(len(content))}
    scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http"}
    scope |= {"path": path, "raw_path": path.encode(), "query_string": b"", "root_path": ""}
    scope |= {"client": ("127.0.0.1", 9), "server": ("127.0.0.1", 80)}
    scope["headers"] = [(name.encode(), value.encode()) for name, value in heads.items()]
    return asyncio.run(_answer(app, scope, content))


async def _answer(app: Any, scope: Any, content: bytes) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.request", "body": content, "more_body": False}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return messages.pop(0) if len(messages) > 1 else messages[0]

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent)


def _bodies(path: str, kind: str, examples: Callable[[], list[bytes]]) -> Way:
    """Bodies of HTTP requests, as the server's whole application takes them; its models are not asked to draw."""

    def way(folder: Path) -> tuple[list[bytes], Read]:
        from figment.serve.app import create_app
        from figment.serve.guard import Gate
        from figment.serve.server import studio_of

        objective, settings = _built("vae")
        facts = {"step": 1, "data": {"path": "x", "pixel_digest": "", "label_digest": ""}}
        write_run(folder / "run", replace(_run(folder / "run"), steps=1))
        write_model(folder / "run" / "model", objective.model.state_dict(), "vae", settings, SPEC, facts)
        apps: list[Any] = []

        def read(content: bytes) -> None:
            if not apps:
                studio = studio_of([folder / "run"], [], folder / "state", Gate())
                studio.dispatcher.workshop.is_ready = True
                apps.append(create_app(studio))
            status, body = _posted(apps[0], path, kind, content)
            if status < 300:
                apps.clear()  # it has work now, and nobody to do it
                return
            assert status < 500 or status == 503, f"{status} {body[:200]!r}"
            assert json.loads(body)["error"]["code"], body[:200]

        return examples(), read

    return way


def _generating() -> list[bytes]:
    asked: dict[str, Any] = {"run": "r0", "label": "a", "seeds": ["1", "2"], "settings": {}, "preview": False}
    return [json.dumps(asked).encode(), b'{"run": "r0", "num": 2, "seed": "5"}']


def _form() -> list[bytes]:
    def part(name: str, content: bytes, file: str = "") -> bytes:
        named = f'; filename="{file}"'.encode() if file else b""
        return b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % (name.encode(), named, content)

    picture, asked = encode_png(pixels(1, 8, 8, 1)), b'{"run": "r0", "edit": "reconstruct", "seeds": ["1"]}'
    return [part("image", picture, "a.png") + part("request", asked) + b"--b--\r\n"]


def _recipes() -> list[bytes]:
    return [encode_png(pixels(1, 8, 8, 1), {"run": "r0", "seed": 3})]


WAYS: dict[str, Way] = {
    "run configs": config,
    "run logs": log,
    "checkpoint manifests": manifest,
    "weights": weights,
    "model configs": model,
    "kept features": features,
    "compressed latents": _compressed("vae"),
    "compressed codes": _compressed("vqvae"),
    "HTTP requests": _bodies("/api/generate", "application/json", _generating),
    "HTTP forms": _bodies("/api/edit", "multipart/form-data; boundary=b", _form),
    "HTTP recipes": _bodies("/api/recipe", "image/png", _recipes),
}
