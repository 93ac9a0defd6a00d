"""The data room: what a web server gave, by its content: a picture, or a page or sitemap with links in it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from selectolax.lexbor import LexborHTMLParser, LexborNode

from figment.data.web_addresses import web_url
from figment.data.web_robots import NAME, TDM_RESERVATION, split_words

Content = Literal["picture", "page", "sitemap", "other"]

MAX_PAGE_BYTES = 8 * 2**20
MAX_LINKS = 10_000  # of one page, and as many pictures
MAX_ENTRIES = 50_000  # of one sitemap, as sitemaps.org has it
MAX_CAPTION = 1_000  # characters

_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
_HTML = re.compile(rb"<(!doctype html|html|head|body|title|script|div|table|h1|p|a|br)\b")
_CHARSET = re.compile(rb"""<meta[^>]+charset\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE)
# Patterns that read what strangers wrote must not be able to go back and forth in it.
_LOCATION = re.compile(rb"<(image:)?loc>\s*(?:<!\[CDATA\[)?([^<]{1,4000})")
_SIZE = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)[wx]")  # "640w" and "2x" in a srcset

_CHARSETS = ("utf", "iso", "latin", "windows", "cp", "gb", "big5", "shift", "euc", "koi", "mac", "ks_c")
_LICENCES = ("license", "licence", "dcterms.license", "dcterms.rights", "dc.rights", "rights", "copyright")


@dataclass(frozen=True)
class Page:
    """links, pictures: URLs in the order of the page; pictures with what the page says that they show.

    words: what the page says to crawlers.
    """

    links: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...] = ()
    licence: str | None = None
    words: frozenset[str] = frozenset()


def kind_of(content: bytes, declared: str = "") -> Content:
    """What an answer is: its first bytes say, and the declared content type only for HTML without a beginning."""
    if content.startswith(_PICTURES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP"):
        return "picture"
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<urlset" in head or b"<sitemapindex" in head:
        return "sitemap"
    is_html = head.startswith(b"<") and _HTML.search(head)
    return "page" if is_html or "html" in declared.lower() else "other"


def read_page(content: bytes, url: str, declared: str = "") -> Page:
    """What an HTML page says. declared: its content type, for the charset."""
    charset = re.search(r"charset\s*=\s*[\"']?([\w-]+)", declared) or _CHARSET.search(content[:1024])
    name = charset[1] if charset else "utf-8"
    tree = LexborHTMLParser(_utf8(content, name if isinstance(name, str) else name.decode("ascii")))
    base = tree.css_first("base[href]")
    url = (web_url(_attribute(base, "href"), url) if base else None) or url
    pictures: dict[str, str] = {}
    for node in tree.css("img")[:MAX_LINKS]:
        if picture := web_url(_source(node), url):
            pictures.setdefault(picture, " ".join(_attribute(node, "alt").split())[:MAX_CAPTION])
    links = (
        web_url(_attribute(node, "href"), url)
        for node in tree.css("a[href], area[href]")[:MAX_LINKS]
        if "nofollow" not in _attribute(node, "rel").lower().split()
    )
    return Page(
        tuple(dict.fromkeys(link for link in links if link)), tuple(pictures.items()), _licence(tree, url), _words(tree)
    )


def read_sitemap(content: bytes) -> tuple[bool, Page]:
    """(whether it lists sitemaps, what it lists) of a sitemap, by sitemaps.org and Google's extension for images.

    Read by a pattern: an XML parser would have to be kept from what XML can do to it.
    """
    links: dict[str, str] = {}
    pictures: dict[str, str] = {}
    for found in islice(_LOCATION.finditer(content), MAX_ENTRIES):
        if url := web_url(html.unescape(found[2].decode("utf-8", "replace").strip().removesuffix("]]>"))):
            (pictures if found[1] else links)[url] = ""
    return b"<sitemapindex" in content[:1024].lower(), Page(tuple(links), tuple(pictures.items()))


def _utf8(content: bytes, charset: str) -> bytes:
    """The same text in UTF-8; what no charset of the web's is, or cannot be read in it, is taken for that already."""
    if charset.lower().startswith(_CHARSETS):
        with suppress(LookupError, UnicodeError):
            return content.decode(charset, "replace").encode("utf-8", "replace")
    return content


def _attribute(node: LexborNode, name: str) -> str:
    return node.attributes.get(name) or ""


def _source(node: LexborNode) -> str:
    """The largest file of an `<img>`, also of one that a script is to load when it is seen."""
    sizes = _sizes(_attribute(node, "srcset") or _attribute(node, "data-srcset"))
    return max(sizes, key=sizes.__getitem__, default="") or _attribute(node, "data-src") or _attribute(node, "src")


def _sizes(srcset: str) -> dict[str, float]:
    """Size of each file in "a.jpg 1x, b.jpg 2x", in whatever unit."""
    sizes: dict[str, float] = {}
    url = ""
    for part in srcset.split():
        size, _, rest = part.partition(",") if url else ("", "", part)
        if url:
            number = _SIZE.fullmatch(size)
            sizes[url] = float(number[1]) if number else 1.0
        url = "" if rest.endswith(",") else rest
        if rest.endswith(","):
            sizes[rest.rstrip(",")] = 1.0
    return sizes | ({url: 1.0} if url else {})


def _licence(tree: LexborHTMLParser, url: str) -> str | None:
    """The address of the licence that a page names, or what it says of rights."""
    for node in tree.css("a[rel~=license], link[rel~=license]"):
        if address := web_url(_attribute(node, "href"), url):
            return address
    for node in tree.css("meta[name][content]"):
        if _attribute(node, "name").lower() in _LICENCES:
            return _attribute(node, "content")[:MAX_CAPTION]
    return None


def _words(tree: LexborHTMLParser) -> frozenset[str]:
    return frozenset(word for node in tree.css("meta[name][content]") for word in _meta_words(node))


def _meta_words(node: LexborNode) -> Iterator[str]:
    name, content = _attribute(node, "name").lower(), _attribute(node, "content")
    if name in ("robots", NAME):
        yield from split_words(content)
    if name == TDM_RESERVATION and content.strip() == "1":
        yield TDM_RESERVATION
