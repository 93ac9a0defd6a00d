"""The data room: the memory of a crawl, one SQLite file: what was found, what was visited, and what the visits gave.

Every visit is one transaction: a crawl that is killed has either not made it, or has all of it. Visits are numbered in
the order in which they were made, and are read again in that order, from the file, as often as they are wanted.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from figment.data.web_addresses import host_of

Kind = Literal["page", "picture", "sitemap"]
Outcome = Literal["page", "picture", "moved", "refused"]

FORMAT = 1  # of the file

_SCHEMA = """
create table if not exists links (
    crawl text not null,            -- the settings, as a digest: other settings make another crawl
    place integer not null,         -- in the order of finding
    url text not null,
    host text not null,
    kind text not null,             -- what it should be by the place where it was found
    depth integer not null,         -- links between it and a start page
    hops integer not null,          -- redirects between it and a link
    page text not null,             -- where it was found; empty for a start page
    caption text not null,
    licence text not null,
    reason text not null,           -- why it is refused, if it is
    visit integer,                  -- in the order of the visits, from 0; null before
    outcome text,
    digest text,                    -- of the picture
    primary key (crawl, place),
    unique (crawl, url),
    unique (crawl, visit)
);
create index if not exists waiting on links (crawl, depth, host, place) where visit is null;
create index if not exists visited on links (crawl, host, visit);
create table if not exists copies (url text primary key, etag text, modified text, type text, words text, licence text,
    digest text not null);          -- what was fetched last, to be asked for again only if it has changed
create table if not exists contents (digest text primary key, content blob not null);
create table if not exists robots (server text primary key, status integer, content blob, seconds real);
"""

_LINK = "place, url, kind, depth, hops, page, caption, licence, reason"


@dataclass(frozen=True)
class Link:
    """A URL to visit. reason: why it is refused without a visit; empty for all others."""

    url: str
    kind: Kind
    depth: int = 0
    hops: int = 0
    page: str = ""
    caption: str = ""
    licence: str = ""
    reason: str = ""
    place: int = -1


@dataclass(frozen=True)
class Copy:
    """What a server gave for a URL, with what it said of it."""

    content: bytes
    etag: str = ""
    modified: str = ""
    type: str = ""
    words: frozenset[str] = frozenset()
    licence: str = ""


@dataclass(frozen=True)
class Visit:
    """What came of a link. content: of a picture; empty for all others."""

    link: Link
    outcome: Outcome
    content: bytes = b""


class Frontier:
    """The links of one crawl. Use as a context; until it is left, the file is closed to every other process.

    Raises sqlite3.Error where the file cannot be used, or is being used.
    """

    def __init__(self, path: Path, crawl: str):
        self._crawl = crawl
        # Whoever has the file now keeps it for long, so there is little use in waiting.
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0.5)
        try:
            self._connection.execute("pragma locking_mode = exclusive")
            # The dataset that is built from it must never know of a visit that a power cut takes from here.
            self._connection.execute("pragma synchronous = full")
            self._connection.executescript(_SCHEMA)
            self._connection.execute("begin immediate")
            self._connection.execute("commit")
            found = self._connection.execute(
                "select outcome, count(*) from links where crawl = ? and visit is not null group by outcome", (crawl,)
            )
            self.counts: Counter[str] = Counter(dict(found))
        except BaseException:
            self._connection.close()
            raise

    def __enter__(self) -> Frontier:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def add(self, links: Iterable[Link]) -> None:
        """Put links behind those that wait; one that was found before stays as it is."""
        self._execute_together(self._insertion(link) for link in links)

    def next(self, *, with_pages: bool) -> Link | None:
        """The link to visit next: the nearest to a start page, hosts taking turns."""
        unwanted = "" if with_pages else "and (kind = 'picture' or reason != '')"
        row = self._one(
            f"""select {_LINK} from links where crawl = :crawl and place = (
                select min(place) from links
                where crawl = :crawl and visit is null {unwanted} and depth = (
                    select min(depth) from links where crawl = :crawl and visit is null {unwanted})
                group by host
                order by (select max(visit) from links as earlier where crawl = :crawl and earlier.host = links.host)
                limit 1)"""
        )
        return _link(row) if row else None

    def finish(
        self, link: Link, outcome: Outcome, *, reason: str = "", copy: Copy | None = None, found: Iterable[Link] = ()
    ) -> None:
        """Write down a visit: what came of it, what was given, and the links that were found; all of it or nothing."""
        digest = hashlib.sha256(copy.content).hexdigest() if copy else None
        statements: list[tuple[str, tuple]] = [
            (
                "update links set outcome = ?, reason = ?, licence = ?, digest = ?, visit ="
                " (select coalesce(max(visit) + 1, 0) from links where crawl = ?) where crawl = ? and place = ?",
                (outcome, reason, link.licence, digest, self._crawl, self._crawl, link.place),
            )
        ]
        if copy:
            about = (copy.etag, copy.modified, copy.type, " ".join(sorted(copy.words)), copy.licence)
            statements += [
                ("insert or ignore into contents values (?, ?)", (digest, copy.content)),
                ("insert or replace into copies values (?, ?, ?, ?, ?, ?, ?)", (link.url, *about, digest)),
            ]
        self._execute_together([*statements, *(self._insertion(one) for one in found)])
        self.counts[outcome] += 1

    def visit(self, number: int) -> Visit | None:
        """A visit by its number; None where there have not been so many."""
        row = self._one(
            f"select {_LINK}, outcome, content from links left join contents"
            " on contents.digest = links.digest and outcome = 'picture' where crawl = :crawl and visit = :number",
            number=number,
        )
        return Visit(_link(row[:-2]), row[-2], row[-1] or b"") if row else None

    def copy(self, url: str) -> Copy | None:
        """What a server gave for a URL the last time, in whatever crawl."""
        row = self._one(
            "select content, etag, modified, type, words, licence from copies join contents using (digest)"
            " where url = :url",
            url=url,
        )
        return replace(Copy(*row), words=frozenset(row[4].split())) if row else None

    def robots(self, server: str, seconds: float) -> tuple[int, bytes] | None:
        """The answer of a server for robots.txt, if it was given no longer ago than so many seconds."""
        return self._one(
            "select status, content from robots where server = :server and seconds between :since and :now",
            server=server,
            since=time.time() - seconds,
            now=time.time(),
        )

    def keep_robots(self, server: str, status: int, content: bytes) -> None:
        values = (server, status, content, time.time())
        self._connection.execute("insert or replace into robots values (?, ?, ?, ?)", values)

    def last_server(self) -> str | None:
        """The server that gave its robots.txt last."""
        row = self._one("select server from robots order by seconds desc limit 1")
        return row[0] if row else None

    def reasons(self, most: int = 3) -> list[tuple[str, int]]:
        """The commonest reasons for which links were refused, with how many."""
        return self._connection.execute(
            "select reason, count(*) from links where crawl = ? and outcome = 'refused' group by reason"
            " order by count(*) desc, min(visit) limit ?",
            (self._crawl, most),
        ).fetchall()

    def _insertion(self, link: Link) -> tuple[str, tuple]:
        return (
            "insert or ignore into links (crawl, place, url, host, kind, depth, hops, page, caption, licence, reason)"
            " values (?, (select coalesce(max(place) + 1, 0) from links where crawl = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                self._crawl,
                self._crawl,
                link.url,
                host_of(link.url),
                *(link.kind, link.depth, link.hops, link.page, link.caption, link.licence, link.reason),
            ),
        )

    def _execute_together(self, statements: Iterable[tuple[str, tuple]]) -> None:
        self._connection.execute("begin immediate")
        try:
            for statement, values in statements:
                self._connection.execute(statement, values)
        except BaseException:
            self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    def _one(self, statement: str, **values: object) -> tuple | None:
        return self._connection.execute(statement, {"crawl": self._crawl, **values}).fetchone()


def _link(row: tuple) -> Link:
    place, *others = row
    return Link(*others, place=place)
