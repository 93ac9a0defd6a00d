"""Who may speak to the server, and how much: judged before any of a request is understood.

Host            a server of this machine answers to this machine's names only, so that no foreign name leads to it
Origin          pages of other sites are refused (Sec-Fetch-Site says the same for what has no Origin)
token           demanded where the address is public: a header, or a cookie that /?token= sets
body            of a known type, counted as it arrives, within a time, and within a budget over all requests
queue           where it is full, whoever wants something drawn is sent away before the body is understood
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from figment.serve.counters import Counters
from figment.serve.refusal import Refusal

MB = 1024 * 1024
BODY_SECONDS = 60.0
BUDGET_BYTES = 256 * MB  # of all bodies that are held at a time
PIECE_BYTES = MB  # of a body that is understood at a time
MOST_HEADER_BYTES = 64 * 1024  # with the address: h11 counts only what comes in pieces
COOKIE = "figment_token"

# The most that an address takes, by how its path begins; the first that fits.
CAPS = (("/v1/images/edits", 32 * MB), ("/v1/images/variations", 32 * MB), ("/api/edit", 64 * MB))
CAPS += (("/api/recipe", 32 * MB), ("/api/data/", 4 * MB), ("", MB))

DRAWING = ("/v1/images/", "/api/generate", "/api/edit", "/api/redraw", "/api/walk")  # what needs the models

_OPEN = ("/health", "/ready")  # to whoever watches over the server
_TYPES = ("application/json", "multipart/form-data", "image/png")
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_CONTENT_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Gate:
    """host: the address that is listened on. token: demanded of everybody, "" for nobody."""

    host: str = "127.0.0.1"
    token: str = ""

    @property
    def is_public(self) -> bool:
        return self.host not in _LOOPBACK

    @property
    def cookie(self) -> str:
        """What a browser keeps in the token's place."""
        return hashlib.sha256(b"figment cookie " + self.token.encode()).hexdigest()


class Guard:
    """Stands before the application. turned_away: what all are told who want something drawn, or None."""

    def __init__(self, app: ASGIApp, gate: Gate, counters: Counters, turned_away: Callable[[], Refusal | None]):
        self.app, self.gate, self.counters, self.turned_away = app, gate, counters, turned_away
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        answer = self._answering(send)
        held = [0]
        try:
            headers = Headers(scope=scope)
            self._admit_site(headers, scope)
            if greeting := self._admit_token(headers, scope):
                await greeting(scope, receive, answer)
                return
            body = await self._body(headers, scope, receive, held)
            if scope["method"] == "POST" and scope["path"].startswith(DRAWING) and (no := self.turned_away()):
                await no.response()(scope, receive, answer)
                return
            await self.app(scope, _replayed(body, receive), answer)
        except Refusal as refusal:
            response = refusal.response()
            response.headers["Connection"] = "close"  # what else it sends is not read
            await response(scope, receive, answer)
        finally:
            self._held -= held[0]

    def _answering(self, send: Send) -> Send:
        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
                self.counters.answered(message["status"])
            await send(message)

        return answer

    def _admit_site(self, headers: Headers, scope: Scope) -> None:
        """Raise a Refusal for a foreign Host, for what another site's page sent, and for endless headers."""
        size = sum(len(name) + len(value) + 4 for name, value in headers.items()) + len(scope["query_string"])
        if size > MOST_HEADER_BYTES:
            raise Refusal(400, "invalid_request", "the headers are too long")
        host = headers.get("host", "")
        name = _name(host)
        if name is None or (not self.gate.is_public and name not in _LOOPBACK):
            raise Refusal(403, "wrong_host", "this server does not answer to that Host")
        origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(403, "cross_site", "a page of another site sent this")
        is_visit = scope["path"] == "/" and headers.get("sec-fetch-mode") == "navigate"
        if site not in ("none", "same-origin") and not is_visit:
            raise Refusal(403, "cross_site", "a page of another site sent this")

    def _admit_token(self, headers: Headers, scope: Scope) -> Response | None:
        """Raise a Refusal without the token; the answer to one who brings it in the address for the first time."""
        if not self.gate.token or scope["path"] in _OPEN:
            return None
        given = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=100).get("token", [""])[0]
        if scope["path"] == "/" and _same(given, self.gate.token):
            greeting = RedirectResponse("/", 303)
            greeting.set_cookie(COOKIE, self.gate.cookie, httponly=True, samesite="strict")
            return greeting
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        if (kind.lower() == "bearer" and _same(bearer, self.gate.token)) or _same(_cookie(headers), self.gate.cookie):
            return None
        raise Refusal(401, "unauthorized", "send the token: Authorization: Bearer TOKEN, or open /?token=TOKEN")

    async def _body(self, headers: Headers, scope: Scope, receive: Receive, held: list[int]) -> bytes:
        """The whole body; `held` is how much of it counts against the budget.

        Raises a Refusal for one of another type, that is too large, or too slow.
        """
        cap = 0
        if scope["method"] in ("POST", "PUT", "PATCH"):
            cap = next(cap for path, cap in CAPS if scope["path"].startswith(path))
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind not in _TYPES or headers.get("content-encoding", "identity") != "identity":
                raise Refusal(415, "unsupported_type", f"send one of {', '.join(_TYPES)}, unpacked")
        if int(headers.get("content-length", "0")) > cap:  # h11 lets digits pass only
            raise _too_large(cap)
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refusal(400, "invalid_request", "the request ended before its body")
                    self._hold(message.get("body", b""), cap, held)
                    parts.append(message.get("body", b""))
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError:
            raise Refusal(408, "too_slow", f"the body did not arrive within {BODY_SECONDS:.0f} s") from None

    def _hold(self, part: bytes, cap: int, held: list[int]) -> None:
        held[0] += len(part)
        self._held += len(part)
        if held[0] > cap:
            raise _too_large(cap)
        if self._held > BUDGET_BYTES:
            raise Refusal(503, "busy", "too many bodies are under way; come again", retry_after=2)


def _too_large(cap: int) -> Refusal:
    return Refusal(413, "too_large", f"this address takes no more than {cap:,} bytes")


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A body that is here already, in pieces; then whatever else the connection tells: that it is gone."""
    pieces = iter(range(0, max(1, len(body)), PIECE_BYTES))

    async def again() -> Message:
        start = next(pieces, None)
        if start is None:
            return await receive()
        if start:
            await asyncio.sleep(0)  # a large form is understood between other requests, not before them
        end = start + PIECE_BYTES
        return {"type": "http.request", "body": body[start:end], "more_body": end < len(body)}

    return again


def _name(host: str) -> str | None:
    """The name in a Host header, in small letters; None where there is none."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?", host)
    return match[1].strip("[]").lower() if match else None


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _same(given: str, wanted: str) -> bool:
    """Compared in a time that tells nothing."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
