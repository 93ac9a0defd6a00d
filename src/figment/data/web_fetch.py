"""The data room: one answer of a web server, with a limit on everything that a server could draw out.

No redirect is followed, no cookie kept and no proxy asked. The connection goes to the address that the gate looked at,
while the server is told the host's name, and must prove by its certificate that it is that host.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import httpx

from figment.data.headers import one_line
from figment.data.web_addresses import Forbidden, Gate, host_of

MAX_BYTES = 32 * 2**20  # of one answer, unpacked
SECONDS = 60.0  # from asking to the last byte, so that a server which dribbles holds nobody up
_SILENCE_SECONDS = 15.0

_GZIP = 16 + zlib.MAX_WBITS


class Unreachable(Exception):
    """A server that does not answer now, and may do so later; the message says what went wrong."""


@dataclass(frozen=True)
class Answer:
    """content: unpacked; its first bytes where is_whole is False, because there was more than asked for."""

    status: int
    headers: httpx.Headers
    content: bytes
    is_whole: bool


class Fetcher:
    """Asks one question at a time, and says who asks.

    seconds: for a whole answer. trust: whose certificates are believed; the usual authorities' where it is not said.
    """

    def __init__(self, gate: Gate, agent: str, seconds: float = SECONDS, trust: ssl.SSLContext | None = None):
        self._gate, self._seconds = gate, seconds
        self._client = httpx.AsyncClient(
            headers={"User-Agent": agent, "Accept-Encoding": "gzip", "Connection": "close"},
            verify=trust or True,
            trust_env=False,
            timeout=_SILENCE_SECONDS,
            # A connection is to an address, and another host at that address must not be asked over it.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        # asyncio, because nothing else ends a whole exchange at a deadline; in a thread of its own, because in a
        # notebook a loop is running already.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def __enter__(self) -> Fetcher:
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def fetch(self, url: str, headers: Mapping[str, str] | None = None, most: int = MAX_BYTES) -> Answer:
        """What a server answers, of which at most so many bytes are read and unpacked.

        Raises Forbidden where it must not be asked or answers in a form that was not asked for, and Unreachable.
        """
        try:
            addresses = self._gate.addresses(url)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"there is no host {host_of(url)} ({one_line(error)})") from None
        question = asyncio.run_coroutine_threadsafe(self._ask(url, addresses, headers or {}, most), self._loop)
        try:
            return question.result()
        except TimeoutError:
            raise Unreachable(f"no whole answer within {self._seconds:g} s") from None
        except (httpx.HTTPError, OSError, zlib.error) as error:
            raise Unreachable(f"the answer failed ({one_line(error)})") from None
        finally:
            question.cancel()

    async def _ask(self, url: str, addresses: Sequence[str], headers: Mapping[str, str], most: int) -> Answer:
        async with asyncio.timeout(self._seconds):
            response = await self._open(httpx.URL(url), addresses, headers)
            self._client.cookies.clear()
            try:
                return Answer(response.status_code, response.headers, *await _read(response, most))
            finally:
                await response.aclose()

    async def _open(self, url: httpx.URL, addresses: Sequence[str], headers: Mapping[str, str]) -> httpx.Response:
        """The beginning of the answer, from the first address that takes a connection."""
        failure: httpx.TransportError = httpx.ConnectError("it has no address")
        for address in addresses:
            request = self._client.build_request(
                "GET",
                url.copy_with(host=address),
                headers={**headers, "Host": url.netloc.decode("ascii")},
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                return await self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure


async def _read(response: httpx.Response, most: int) -> tuple[bytes, bool]:
    """(the first bytes of an answer's content, unpacked; whether that is all)"""
    unpack = _unpacking(response.headers.get("content-encoding", "identity").strip().lower())
    content, received = bytearray(), 0
    async for piece in response.aiter_raw():
        received += len(piece)  # counted too, because what follows a finished gzip stream unpacks to nothing
        content += unpack(piece, most + 1 - len(content))
        if max(received, len(content)) > most:
            return bytes(content[:most]), False
    return bytes(content), True


def _unpacking(coding: str) -> Callable[[bytes, int], bytes]:
    """unpack(piece, most): never more than `most` bytes come out, whatever is packed into the piece."""
    if coding in ("identity", ""):
        return lambda piece, most: piece[:most]
    if coding not in ("gzip", "x-gzip"):
        raise Forbidden(f"answers in the encoding '{coding[:40]}', which was not asked for")
    return zlib.decompressobj(_GZIP).decompress


def gunzip(content: bytes, most: int = MAX_BYTES) -> bytes:
    """The first bytes of what a gzip file holds.

    Raises Unreachable where it is damaged.
    """
    try:
        return zlib.decompressobj(_GZIP).decompress(content, most)
    except zlib.error as error:
        raise Unreachable(f"the answer is damaged ({one_line(error)})") from None
