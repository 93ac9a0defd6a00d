"""The data room: one crawl: the links of a frontier, visited one after the other, as a guest behaves.

Each visit is allowed by robots.txt, comes no sooner than the host likes, and goes to no host that was not named. A
redirect is no more than a link that was found, so all of that holds for where it leads, too.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import httpx

from figment.core.errors import DataError
from figment.data.layout import PICTURE_SUFFIXES
from figment.data.web_addresses import Forbidden, host_of, server_of, web_url
from figment.data.web_fetch import MAX_BYTES, Answer, Fetcher, Unreachable, gunzip
from figment.data.web_frontier import Copy, Frontier, Link, Visit
from figment.data.web_pages import MAX_PAGE_BYTES, kind_of, read_page, read_sitemap
from figment.data.web_robots import (
    MAX_ROBOTS_BYTES,
    ROBOTS_SECONDS,
    Rules,
    forbids_links,
    header_words,
    objection,
    rules,
)

MAX_HOPS = 5  # RFC 9309, section 2.3.1.2, of robots.txt; enough for anything else
MAX_DELAY = 300.0  # seconds; a host that wants to be left alone for longer is left alone
ATTEMPTS = 3
SILENCES = 3  # links of a host in a row without an answer, after which it is asked no more

_REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (429, 500, 502, 503, 504)
_LICENCE = re.compile(r"<([^<>]*)>\s*;\s*rel\s*=\s*\"?license\b")  # in a Link header, RFC 8288


@dataclass(frozen=True)
class Bounds:
    """How far a crawl goes. hosts: names, or *.NAME for all below one. delay: seconds between requests to a host."""

    hosts: tuple[str, ...]
    depth: int
    pages: int
    images: int
    delay: float
    sitemaps: bool

    def include(self, url: str) -> bool:
        """Whether a URL's host is named."""
        host = host_of(url)
        return any(host.endswith(name[1:]) if name.startswith("*.") else host == name for name in self.hosts)


def looks_like_picture(url: str) -> bool:
    """Whether the path of a URL ends as files of pictures do."""
    return httpx.URL(url).path.lower().endswith(PICTURE_SUFFIXES)


class Crawler:
    """Visits what waits in a frontier, until nothing does or the bounds are reached."""

    def __init__(self, bounds: Bounds, frontier: Frontier, fetcher: Fetcher):
        self._bounds, self._frontier, self._fetcher = bounds, frontier, fetcher
        self._rules: dict[str, tuple[float, Rules]] = {}  # of a server, with the time until which they hold
        self._due: dict[str, float] = {}  # when a host may be asked again
        self._silences: Counter[str] = Counter()

    def visits(self) -> Iterator[Visit]:
        """Every visit in its order: those that were made before, as they were written down, and then new ones.

        Raises DataError where there is no network.
        """
        number = 0
        while True:
            if visit := self._frontier.visit(number):
                yield visit
                number += 1
            elif not self._go_on():
                return

    def _go_on(self) -> bool:
        """Visit the next link; False where there is none."""
        counts = self._frontier.counts
        if counts["picture"] >= self._bounds.images:
            return False
        link = self._frontier.next(with_pages=counts["page"] < self._bounds.pages)
        if link is None:
            return False
        try:
            if link.reason:
                raise Forbidden(link.reason)
            asked = self._rules_of(link.url)
            self._take(link, self._ask(link, asked), asked)
        except Unreachable as error:
            self._require_network(error)
            self._frontier.finish(link, "refused", reason=str(error))
        except Forbidden as error:
            self._frontier.finish(link, "refused", reason=str(error))
        return True

    def _require_network(self, failure: Unreachable) -> None:
        """Raise DataError where not even the server answers that did so last: links wait until there is a network."""
        server = self._frontier.last_server()
        try:
            if server is None:
                raise failure
            self._wait(host_of(server))
            self._fetcher.fetch(f"{server}/robots.txt", most=MAX_ROBOTS_BYTES)
        except (Forbidden, Unreachable):
            raise DataError(f"{failure}; give the same command again to go on from here") from None

    def _wait(self, host: str) -> None:
        time.sleep(max(0.0, self._due.get(host, 0.0) - time.monotonic()))

    def _ask(self, link: Link, asked: Rules) -> Answer:
        if not asked.allow(link.url):
            raise Forbidden(asked.said if asked.is_closed else f"robots.txt of {host_of(link.url)} forbids it")
        if asked.delay > MAX_DELAY:
            raise Forbidden(f"robots.txt of {host_of(link.url)} allows one request in {asked.delay:g} s only")
        known = self._frontier.copy(link.url)
        told = {"If-None-Match": known.etag, "If-Modified-Since": known.modified} if known else {}
        return self._fetch(link.url, {name: value for name, value in told.items() if value}, asked.delay)

    def _fetch(self, url: str, headers: Mapping[str, str], delay: float, most: int = MAX_BYTES) -> Answer:
        """The answer for a URL, or the last one of several where a server wants to be asked later.

        Raises Forbidden and Unreachable.
        """
        host = host_of(url)
        if self._silences[host] >= SILENCES:
            raise Forbidden(f"{host} has not answered several times in a row")
        answer: Answer | None = None
        failure = Unreachable()
        for attempt in range(ATTEMPTS):
            self._wait(host)
            try:
                answer = self._fetcher.fetch(url, headers, most)
            except Unreachable as error:
                answer, failure = None, error
            finally:
                pause = max(max(self._bounds.delay, delay) * 2**attempt, _retry_after(answer))
                self._due[host] = time.monotonic() + pause
            if answer and answer.status not in _LATER:
                break
        if answer is None:
            self._silences[host] += 1
            raise failure
        self._silences[host] = 0
        return answer

    def _rules_of(self, url: str) -> Rules:
        """What robots.txt says about a URL's server, asked for once a day."""
        server = server_of(url)
        until, asked = self._rules.get(server, (0.0, None))
        if asked is None or until < time.monotonic():
            # Half of the time on disk and half of it here, so that no copy is believed for longer than the whole.
            kept = self._frontier.robots(server, ROBOTS_SECONDS / 2)
            asked = rules(*(kept or self._fetch_robots(server)))
            self._rules[server] = (time.monotonic() + ROBOTS_SECONDS / 2, asked)
            if self._bounds.sitemaps:
                urls = (web_url(text, server) for text in asked.sitemaps)
                self._frontier.add(Link(one, "sitemap") for one in urls if one and self._bounds.include(one))
        return asked

    def _fetch_robots(self, server: str) -> tuple[int, bytes]:
        """(status, content); status 0 where there is no answer."""
        url = f"{server}/robots.txt"
        status, content = 404, b""  # RFC 9309, section 2.3.1.2: after too many redirects as if there were none
        for _ in range(MAX_HOPS + 1):
            try:
                answer = self._fetch(url, {}, 0.0, MAX_ROBOTS_BYTES)
            except Unreachable as error:
                self._require_network(error)
                return 0, b""
            target = web_url(answer.headers.get("location", ""), url) if answer.status in _REDIRECTS else None
            if target is None:
                status, content = answer.status, answer.content
                break
            url = target
        if status in range(200, 500) and status not in _LATER:
            self._frontier.keep_robots(server, status, content)
        return status, content

    def _take(self, link: Link, answer: Answer, asked: Rules) -> None:
        """Write down what an answer comes to.

        Raises Forbidden where it cannot be used.
        """
        if answer.status in _REDIRECTS:
            return self._move(link, web_url(answer.headers.get("location", ""), link.url))
        copy = self._copy(link, answer)
        content = gunzip(copy.content) if copy.content.startswith(b"\x1f\x8b") else copy.content
        kind = kind_of(content, copy.type)
        if kind == "picture":
            if word := objection(copy.words):
                raise Forbidden(f"its server says {word}")
            link = replace(link, licence=copy.licence or link.licence)
            self._frontier.finish(link, "picture", reason=asked.said, copy=copy)
        elif kind == "page" and link.kind == "page":
            self._frontier.finish(link, "page", copy=copy, found=self._links_of_page(link, copy))
        elif kind == "sitemap" and not link.page:
            self._frontier.finish(link, "page", copy=copy, found=self._links_of_sitemap(link, content))
        else:
            raise Forbidden(f"is no picture, but a {kind}" if kind != "other" else "is neither a picture nor a page")
        return None

    def _move(self, link: Link, target: str | None) -> None:
        if target is None or link.hops >= MAX_HOPS:
            raise Forbidden("leads from one redirect to the next" if target else "leads to no page of the web")
        self._frontier.finish(link, "moved", found=[self._bound(replace(link, url=target, hops=link.hops + 1))])

    def _copy(self, link: Link, answer: Answer) -> Copy:
        """What was given, or was given before where it has not changed since."""
        words = header_words(answer.headers)
        known = self._frontier.copy(link.url)
        if answer.status == 304 and known:
            return replace(known, words=words or known.words)
        if answer.status != 200:
            raise Forbidden(f"answers {answer.status}")
        if not answer.is_whole:
            raise Forbidden(f"larger than {MAX_BYTES >> 20} MiB")
        licence = _LICENCE.search(answer.headers.get("link", "")[:4096])
        return Copy(
            answer.content,
            _plain(answer.headers.get("etag", "")),
            _plain(answer.headers.get("last-modified", "")),
            answer.headers.get("content-type", ""),
            words,
            (web_url(licence[1], link.url) or "") if licence else "",
        )

    def _links_of_page(self, link: Link, copy: Copy) -> Iterator[Link]:
        """What a page shows and links to, as far as it is wanted; pictures that are not, too, with the reason."""
        if link.depth > self._bounds.depth:
            raise Forbidden("is a page beyond --crawl.depth")
        if len(copy.content) > MAX_PAGE_BYTES:
            raise Forbidden(f"a page larger than {MAX_PAGE_BYTES >> 20} MiB")
        page = read_page(copy.content, link.url, copy.type)
        words = page.words | copy.words
        word = objection(words)
        reason = f"its page says {word}" if word else ""
        found = Link("", "page", link.depth, page=link.url, licence=page.licence or copy.licence)
        for url, caption in page.pictures:
            yield self._bound(replace(found, url=url, kind="picture", caption=caption, reason=reason))
        found = replace(found, depth=link.depth + 1)
        for url in page.links if not forbids_links(words) else ():
            if looks_like_picture(url):
                yield self._bound(replace(found, url=url, reason=reason))
            elif link.depth < self._bounds.depth and self._bounds.include(url):
                yield replace(found, url=url)

    def _links_of_sitemap(self, link: Link, content: bytes) -> Iterator[Link]:
        is_list, page = read_sitemap(content)
        if is_list and link.hops >= MAX_HOPS:
            raise Forbidden("leads from one sitemap to the next")
        for url, _ in page.pictures:
            yield self._bound(Link(url, "picture", page=link.url))
        for url in page.links:
            if self._bounds.include(url):
                yield Link(url, "sitemap", hops=link.hops + 1) if is_list else Link(url, "page", page=link.url)

    def _bound(self, link: Link) -> Link:
        """The link, with a reason against it where its host is not named."""
        if link.reason or self._bounds.include(link.url):
            return link
        return replace(link, reason=f"lies on {host_of(link.url)}, which --crawl.hosts does not name")


def _plain(text: str) -> str:
    """A header that can be sent back; nothing of one that cannot."""
    return text if text.isascii() and text.isprintable() else ""


def _retry_after(answer: Answer | None) -> float:
    """Seconds for which a server wants to be left alone, as far as it is done."""
    text = answer.headers.get("retry-after", "") if answer and answer.status in _LATER else ""
    return min(float(text), MAX_DELAY) if text.isascii() and text.isdigit() else 0.0
