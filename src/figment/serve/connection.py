"""A connection has a limited time for its headers, however often it sends another byte of them.

uvicorn's own limits are for idle time, and what the application sees begins when the headers are whole.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 10.0
MOST_CONNECTIONS = 4096


class PromptProtocol(H11Protocol):
    """HTTP/1.1 that cuts whoever does not finish the headers in time, and answers in JSON what it cannot read."""

    _cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            self._say(b"503 Service Unavailable", "busy", "too many connections are open")
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:  # the headers of a request are whole
            self._disarm()

    def on_response_complete(self) -> None:
        self._await_headers(self.timeout_keep_alive)  # super() may find the next request, which disarms
        super().on_response_complete()

    def send_400_response(self, msg: str) -> None:
        self._say(b"400 Bad Request", "invalid_request", "this is no HTTP request that can be understood")

    def _say(self, status: bytes, code: str, message: str) -> None:
        error = {"code": code, "message": message, "type": "invalid_request_error", "param": None}
        body = json.dumps({"error": error}).encode()
        head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n" % status
        self.transport.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.transport.close()

    def _await_headers(self, more: float = 0.0) -> None:
        self._disarm()
        self._cut = self.loop.call_later(HEADER_SECONDS + more, self.transport.close)

    def _disarm(self) -> None:
        if self._cut:
            self._cut.cancel()
            self._cut = None
