"""The server on its socket: who may be listened to, until when, and how it ends."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvicorn

from figment.core.errors import ConfigError
from figment.serve.app import DRAIN_SECONDS, create_app
from figment.serve.connection import PromptProtocol
from figment.serve.context import Studio
from figment.serve.datasets import open_data
from figment.serve.guard import Gate
from figment.serve.history import History
from figment.serve.runs import read_runs

LEAST_TOKEN = 16  # signs
KEEP_ALIVE_SECONDS = 15
BACKLOG = 2048  # connections that may wait to be accepted


class Server(uvicorn.Server):
    """Begins to refuse new work with the first signal; a second one ends it at once."""

    def __init__(self, studio: Studio):
        self.studio = studio
        config = uvicorn.Config(
            create_app(studio),
            http=PromptProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            log_level=logging.ERROR,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=int(DRAIN_SECONDS),
            backlog=BACKLOG,
        )
        super().__init__(config)

    def handle_exit(self, sig: int, frame: Any) -> None:
        # Not uvicorn's own, which sends itself the signal again when all is done: then there would be no answer.
        self.force_exit = self.should_exit
        self.should_exit = self.studio.dispatcher.is_draining = True


def studio_of(runs: Sequence[Path], data: Sequence[Path], state: Path, gate: Gate) -> Studio:
    """Open all that is served.

    Raises FigmentError, naming the path, for what cannot be.
    """
    return Studio(read_runs(runs), open_data(data), History(state), gate)


def listening(host: str, port: int) -> socket.socket:
    """A socket on this address; port 0 takes any that is free.

    Raises ConfigError where the address is taken or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named asyncio knows that it is TCP, and lets nothing wait 40 ms for an acknowledgement.
    line = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        line.bind((host, port))
        line.listen(BACKLOG)
    except OSError as error:
        line.close()
        raise ConfigError(f"--host {host} --port {port}: {error.strerror or error}; give another one") from None
    return line


def gate_of(host: str, token: str) -> Gate:
    """Who may come in.

    Raises ConfigError for a public address without a token, or one that is easily guessed.
    """
    if host != "localhost":
        try:
            ipaddress.ip_address(host)
        except ValueError:
            raise ConfigError(f"--host {host}: give an address of this machine, such as 127.0.0.1") from None
    gate = Gate(host, token)
    if gate.is_public and not token:
        raise ConfigError(
            f"--host {host}: others can reach this address; give --token TEXT too, of {LEAST_TOKEN} signs"
        )
    if token and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise ConfigError(f"--token: give {LEAST_TOKEN} or more letters and digits, such as: openssl rand -hex 16")
    return gate
