"""The data room: which URLs may be fetched, and which addresses a connection may go to.

A stranger's page must not send figment into the network that it runs in. A host's name is therefore resolved here and
nowhere else, every address of it must be public, and the connection goes to an address that was looked at: a name that
means something else a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

MAX_URL = 2_000  # characters; longer ones are traps, or carry a session

_WEB_PORTS = (80, 443)
_GLOBAL_UNICAST = IPv6Network("2000::/3")  # RFC 4291
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address
_SPECIAL = (  # which Python counts as public, or once did
    IPv4Network("168.63.129.16/32"),  # inside Azure the machine's own host
    IPv4Network("192.0.0.0/24"),  # RFC 6890; Oracle's cloud tells secrets there
    IPv4Network("192.88.99.0/24"),  # relays of 6to4, RFC 7526
)


class Forbidden(Exception):
    """What must not be fetched; the message is a reason that a person can act on."""


def web_url(link: str, page: str | None = None) -> str | None:
    """The one URL for a link, absolute or as it stands on a page; None where it is none of the web's.

    Host in lower case, no default port, no dot segments, no fragment; what is asked of a server is exactly this.

    >>> web_url("../b.png#top", "HTTP://Example.org:80/a/c/")
    'http://example.org/a/b.png'
    """
    try:
        url = httpx.URL(page).join(link.strip()) if page else httpx.URL(link.strip())
        if url.scheme not in ("http", "https") or not url.host or url.userinfo:
            return None
        text = str(url.copy_with(raw_path=url.raw_path, fragment=None))
    except (httpx.InvalidURL, ValueError):
        return None
    return text if len(text) <= MAX_URL else None


def host_of(url: str) -> str:
    """The name of a URL's host, as DNS spells it."""
    return httpx.URL(url).raw_host.decode("ascii")


def server_of(url: str) -> str:
    """What a URL begins with: scheme, host and port. Rules of robots.txt hold for one of these."""
    parts = httpx.URL(url)
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}"


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's, and not of this machine, its network or its cloud.

    An IPv4 address inside an IPv6 one (mapped, 6to4, NAT64) is what counts.

    >>> is_public("93.184.215.14"), is_public("127.0.0.1"), is_public("::ffff:10.0.0.1"), is_public("169.254.169.254")
    (True, False, False, False)
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour
        if ip in _NAT64:
            inner = IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
        return ip in _GLOBAL_UNICAST and ip.is_global
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL)


def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, as the system finds them.

    Raises OSError where there are none.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


@dataclass(frozen=True)
class Gate:
    """allowed: hosts that may have any address, as HOST, or as HOST:PORT for a port that is not the web's."""

    allowed: tuple[str, ...] = ()
    resolve: Callable[[str, int], Sequence[str]] = resolve

    def addresses(self, url: str) -> Sequence[str]:
        """Where a connection for this URL may go, one at least.

        Raises Forbidden, and OSError or UnicodeError where there is no such host.
        """
        parts = httpx.URL(url)
        host = host_of(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        if port not in _WEB_PORTS and place not in self.allowed:
            raise Forbidden(f"{place} is none of the web's ports; --crawl.allow-host {place} allows it")
        found = self.resolve(host, port)
        if host not in self.allowed and place not in self.allowed:
            for address in found:
                if not is_public(address):
                    raise Forbidden(
                        f"{host} has the address {address}, which is not public; --crawl.allow-host {host} allows it"
                    )
        return found
