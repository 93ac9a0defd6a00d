"""Pictures of web sites, by the leave of those who own them: `crawl:https://example.org/gallery`.

Part of the data room. Needs the extra `crawl`. From the start page (or several, with spaces between), links are
followed on the hosts that are named, as deep as `--crawl.depth` says. robots.txt (RFC 9309) is obeyed before every
request, with its delays; what pages or servers mark as noai, noimageai, noml, noindex or by tdm-reservation is refused;
nothing private is asked (addresses of this machine and its network) unless `--crawl.allow-host` names it. Caption: the
text that the page gives for a picture; origin: URL, page, licence where the page or server names one.

What was fetched is kept below `~/.cache/figment/crawls` (XDG_CACHE_HOME moves it), so that a crawl which was killed
goes on where it was, and a second build fetches nothing. `--crawl.edition` with another word visits a site anew, and
fetches only what has changed. Delete the file there to forget a crawl.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from figment.core.config import check_range, to_json
from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.headers import one_line
from figment.data.web_addresses import Gate, host_of, web_url
from figment.data.web_crawler import Bounds, Crawler, looks_like_picture
from figment.data.web_fetch import Fetcher
from figment.data.web_frontier import FORMAT, Frontier, Link, Visit
from figment.data.web_robots import NAME
from figment.version import VERSION

_WANTED = "give a page, as in crawl:https://example.org/gallery"


@dataclass(frozen=True)
class Config:
    """Where a crawl starts, and how far it goes."""

    argument: str = ""
    """The page to start from, or several with spaces between them."""
    depth: int = 1
    """Links to follow from a start page; 0 reads that page alone."""
    hosts: tuple[str, ...] = ()
    """Hosts to take pages and pictures from, *.example.org for all below one; those of the start pages if none is
    named."""
    pages: int = 1000
    """Most pages to read."""
    images: int = 10_000
    """Most pictures to take."""
    delay: float = 1.0
    """Seconds between two requests to one host; robots.txt may ask for more."""
    sitemaps: bool = False
    """Start from the sitemaps that robots.txt names, too."""
    allow_host: tuple[str, ...] = ()
    """Hosts that may have private addresses, and ports other than 80 and 443, as in 192.168.0.7:8000."""
    contact: str = ""
    """Address by which the owners of sites can reach you; every request says it."""
    edition: str = ""
    """A word of yours; another one reads the same site again."""

    def __post_init__(self):
        if not self.argument.strip():
            raise ConfigError(f"crawl: {_WANTED}")
        for name in (*self.hosts, *self.allow_host):
            if "/" in name or not web_url(f"http://{name.removeprefix('*.')}"):
                raise ConfigError(f"--crawl: {name} is no host; give a name, as in example.org")
        if not self.contact.isascii() or not self.contact.isprintable():
            raise ConfigError("--crawl.contact: give an address in plain letters, as in https://example.org/about-me")
        check_range("crawl.depth", self.depth, 0, 100)
        check_range("crawl.pages", self.pages, 1)
        check_range("crawl.images", self.images, 1)
        check_range("crawl.delay", self.delay, 0, 3600)


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every picture as the bytes of its file, in the order in which they were fetched; key: its URL.

    Pictures and start pages that may not or cannot be fetched come as Rejected. Raises DataError where there is not one
    picture, and where what was fetched cannot be kept; ConfigError for what is no page.
    """
    words = config.argument.split()
    start = [url for word in words if (url := web_url(word))]
    if len(start) < len(words):
        raise ConfigError(f"crawl:{config.argument}: is no page of the web; {_WANTED}")
    hosts = tuple(map(_as_dns_spells, config.hosts)) or tuple(dict.fromkeys(map(host_of, start)))
    bounds = Bounds(hosts, config.depth, config.pages, config.images, config.delay, config.sitemaps)
    agent = f"{NAME}/{VERSION}" + (f" ({config.contact})" if config.contact else "")
    allowed = tuple(name.lower() for name in config.allow_host)
    path = _kept(start)
    is_empty = True
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Frontier(path, _digest(to_json(config))) as frontier, Fetcher(Gate(allowed), agent) as fetcher:
            frontier.add(Link(url, "page") for url in start)
            for visit in Crawler(bounds, frontier, fetcher).visits():
                if record := _record(visit):
                    is_empty = False
                    yield record
            if is_empty:
                raise DataError(_nothing(config.argument, frontier))
    except (OSError, sqlite3.Error) as error:
        raise DataError(
            f"{path}: cannot be used ({one_line(error)}); wait for another crawl of the same pages, or delete it"
        ) from None


def _as_dns_spells(name: str) -> str:
    every = "*." if name.startswith("*.") else ""
    return every + host_of(f"http://{name.removeprefix('*.')}")


def _kept(start: list[str]) -> Path:
    """The file of all crawls from these pages."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    name = f"{host_of(start[0]).replace(':', '_')}-{_digest(start)[:8]}.v{FORMAT}.sqlite"
    return cache / "figment/crawls" / name


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _record(visit: Visit) -> Record | Rejected | None:
    """What a visit gave, if it was to give a picture or to be the first."""
    link = visit.link
    if visit.outcome == "picture":
        origin = {"source": host_of(link.url), "url": link.url, "page": link.page, "robots": link.reason}
        origin["licence"] = link.licence
        return Record(
            image=visit.content,
            key=link.url,
            captions=(link.caption,) if link.caption else (),
            origin={name: text for name, text in origin.items() if text},
        )
    is_wanted = link.kind == "picture" or not link.page or looks_like_picture(link.url)
    return Rejected(link.url, "crawl", link.reason) if visit.outcome == "refused" and is_wanted else None


def _nothing(argument: str, frontier: Frontier) -> str:
    refused = "".join(f"; {number} times: {reason}" for reason, number in frontier.reasons())
    read = f"{argument}: not one picture on {frontier.counts['page']} pages{refused}"
    return f"{read}; give a page that shows pictures, --crawl.depth or --crawl.hosts"
