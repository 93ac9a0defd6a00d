"""The data room: what sites ask of crawlers: robots.txt (RFC 9309), and the words that pages and servers attach.

The words are those of X-Robots-Tag and `<meta name="robots">`: `noai`, `noimageai`, `noml` and `noindex` among them say
that pictures are not to be collected, as does `tdm-reservation: 1` (W3C TDM Reservation Protocol).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import httpx
from protego import Protego

NAME = "figment"  # what a site calls figment by in its rules
MAX_ROBOTS_BYTES = 500 * 2**10  # RFC 9309, section 2.5: what follows need not be read
ROBOTS_SECONDS = 24 * 3600  # RFC 9309, section 2.4: no longer is a copy to be believed

TDM_RESERVATION = "tdm-reservation"

_KEEP_OUT = frozenset(("noai", "noimageai", "noml", "noindex", "noimageindex", "none", TDM_RESERVATION))
_NO_LINKS = frozenset(("nofollow", "none"))
_WITH_VALUES = ("max-snippet", "max-image-preview", "max-video-preview", "unavailable_after")


@dataclass(frozen=True)
class Rules:
    """What robots.txt of a server says. parsed: None where it says nothing. said: in words, for whoever asks later."""

    parsed: Protego | None
    said: str
    is_closed: bool = False

    def allow(self, url: str) -> bool:
        return not self.is_closed and (self.parsed is None or self.parsed.can_fetch(url, NAME))

    @property
    def delay(self) -> float:
        """Seconds between two requests: Crawl-delay, or as Request-rate has it."""
        if self.parsed is None:
            return 0.0
        rate = self.parsed.request_rate(NAME)
        return max(self.parsed.crawl_delay(NAME) or 0.0, rate.seconds / rate.requests if rate else 0.0)

    @property
    def sitemaps(self) -> Sequence[str]:
        return () if self.parsed is None else tuple(self.parsed.sitemaps)


def rules(status: int, content: bytes) -> Rules:
    """The rules in an answer to the question for robots.txt; status 0 stands for no answer.

    RFC 9309, section 2.3.1: 4xx means that nothing is asked, 5xx and silence that all is forbidden. So does 429 here: a
    server that asks for fewer requests is not one without wishes.
    """
    if 200 <= status < 300:
        return Rules(Protego.parse(content.decode("utf-8", "replace")), "allowed by robots.txt")
    if 400 <= status < 500 and status != 429:
        return Rules(None, f"no robots.txt ({status})")
    what = f"answers {status}" if status else "does not answer"
    return Rules(None, f"robots.txt {what}, which forbids all", is_closed=True)


def header_words(headers: httpx.Headers) -> frozenset[str]:
    """What a server says of one answer, to everybody or to figment."""
    words = {word for line in headers.get_list("x-robots-tag") for word in _for_us(line)}
    return frozenset(words | ({TDM_RESERVATION} if headers.get(TDM_RESERVATION, "").strip() == "1" else set()))


def split_words(text: str) -> Iterable[str]:
    """The words of a list with commas, in lower case."""
    return (word.strip().lower() for word in text.split(","))


def _for_us(line: str) -> Iterable[str]:
    """Of "noai, otherbot: noindex, nofollow" the words before the other's name, which holds to the end of the line."""
    agent = NAME
    for word in split_words(line):
        before, colon, after = (part.strip() for part in word.partition(":"))
        is_agent = bool(colon) and before not in _WITH_VALUES
        agent = before if is_agent else agent
        if agent in (NAME, "*"):
            yield after if is_agent else word


def objection(words: frozenset[str]) -> str | None:
    """The word by which pictures are not to be taken, if there is one."""
    return min(words & _KEEP_OUT, default=None)


def forbids_links(words: frozenset[str]) -> bool:
    """Whether the links of a page are not to be followed."""
    return bool(words & _NO_LINKS)
