"""Open the studio, a page to look, paint and label, and an HTTP API over trained runs.

Without --host only this machine can reach it. The API speaks the shape of OpenAI's images beside its own.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core.config import check_range
from figment.core.errors import ConfigError, MissingExtra


@dataclass(frozen=True)
class Serve:
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run folders."""
    data: tuple[Path, ...] = ()
    """Datasets to look through and label."""
    port: int = 8000
    """Port to listen on; 0 takes any that is free."""
    host: str = "127.0.0.1"
    """Address to listen on; one that others can reach demands --token."""
    token: str = ""
    """What clients must send, as Authorization: Bearer TOKEN, and a browser once, as /?token=TOKEN."""
    state: Path | None = None
    """Folder for the history of pictures; a cache folder of yours otherwise."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Serve, argv, verb="serve", about=__doc__ or "")
    if not args.runs and not args.data:
        raise ConfigError("name a run, or a dataset to label: figment serve RUN --data DATASET")
    check_range("port", args.port, 0, 65535)
    try:
        import fastapi  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("'serve'", "serve") from None
    from figment.serve.server import Server, gate_of, listening, studio_of

    gate = gate_of(args.host, args.token)
    studio = studio_of(args.runs, args.data, args.state or _state(), gate)
    gc.collect()
    gc.freeze()  # what torch brought stays: going through it again would hold every answer for a tenth of a second
    with listening(args.host, args.port) as line:
        host, port = line.getsockname()[:2]
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        console.say(f"{address}{'?token=...' if args.token else ''}   Ctrl-C ends it")
        Server(studio).run(sockets=[line])
    return {"address": address, "pictures": studio.counters.value("pictures")}


def _state() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "figment" / "studio"
