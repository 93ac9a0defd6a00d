"""Crawling: against a real server on this machine, with pages that are slow, loop, lie, lead astray, or say no.

FIGMENT_KILLS=100 python -m pytest tests/unit/test_data_crawl.py -k random -rP      the long form, some minutes
"""

from __future__ import annotations

import datetime
import gzip
import itertools
import json
import os
import random
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path

import httpx
import pytest

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.build import build
from figment.data.index import Index
from figment.data.plan import BuildConfig
from figment.data.sources.crawl import Config, records
from figment.data.web_addresses import Forbidden, Gate, is_public, web_url
from figment.data.web_crawler import Bounds, Crawler
from figment.data.web_fetch import Fetcher, Unreachable
from figment.data.web_frontier import Frontier, Link
from figment.data.web_pages import kind_of, read_page, read_sitemap
from figment.data.web_robots import forbids_links, header_words, objection, rules
from tests.pictures import jpeg, png

KILLS = int(os.environ.get("FIGMENT_KILLS", "2"))

Route = tuple[int, dict[str, str], bytes] | Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server. routes: what it gives by path: (status, headers, body), or a function that writes the answer."""

    def __init__(self, **options: ssl.SSLContext):
        self.routes: dict[str, Route] = {}
        self.asked: list[tuple[str, float, httpx.Headers]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, time.monotonic(), httpx.Headers(list(self.headers.items()))))
                route = site.routes.get(self.path, (404, {}, b""))
                if callable(route):
                    return route(self)
                status, headers, body = route
                if headers.get("ETag") and headers["ETag"] == self.headers.get("If-None-Match"):
                    status, body = 304, b""
                return answer(self, status, {"Content-Length": str(len(body)), **headers}, body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                pass  # whoever asked has hung up

        self.server = Server(("127.0.0.1", 0), Handler)
        if context := options.get("context"):
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.place = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.place}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def page(self, path: str, body: str, **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.routes[path] = (200, {"Content-Type": "text/html", **named}, f"<html>{body}</html>".encode())

    def picture(self, path: str, seed: int = 0, **headers: str) -> None:
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.routes[path] = (200, {"Content-Type": "image/png", **named}, png(seed or len(self.routes) + 1))

    def move(self, path: str, target: str) -> None:
        self.routes[path] = (302, {"Location": target}, b"")

    @property
    def counts(self) -> Counter[str]:
        return Counter(path for path, _, _ in self.asked)


def answer(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes = b"") -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@pytest.fixture(autouse=True)
def _own_crawls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def fetcher(site: Site) -> Iterator[Fetcher]:
    with Fetcher(Gate((site.place,)), "figment/test", seconds=10) as made:
        yield made


def crawl(site: Site, start: str = "/", **settings: object) -> list[Record | Rejected]:
    config = {"allow_host": (site.place,), "delay": 0.0, **settings}
    return list(records(Config(" ".join(site.url + path for path in start.split()), **config)))


def taken(found: list[Record | Rejected], site: Site) -> list[str]:
    return [one.key.removeprefix(site.url) for one in found if isinstance(one, Record)]


def refused(found: list[Record | Rejected], site: Site) -> dict[str, str]:
    return {one.key.removeprefix(site.url): one.reason for one in found if isinstance(one, Rejected)}


# Addresses.


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "0.0.0.0", "255.255.255.255", "240.0.0.1"),
        *("169.254.169.254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.88.99.1", "224.0.0.251"),
        *("::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2001::1"),
        *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::"),
    ],
)
def test_addresses_that_are_not_the_internets(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07::1", "::ffff:93.184.215.14", "64:ff9b::808:808"]
)
def test_addresses_of_the_internet(address):
    assert is_public(address)


def _spellings(address: str) -> Iterator[str]:
    """Hosts of a URL that some program or other takes for this IPv4 address."""
    number = int(IPv4Address(address))
    parts = address.split(".")
    yield from (address, f"{address}.", str(number), hex(number), f"{parts[0]}.{number % 2**24}")
    yield ".".join(hex(int(part)) for part in parts)
    yield ".".join(f"0{int(part):o}" for part in parts)
    yield address.translate({ord(digit): ord(digit) - ord("0") + 0xFF10 for digit in "0123456789"})
    yield "".join(f"%{ord(letter):x}" for letter in address)
    yield from (f"a.example@{address}", f"{address}#@a.example", f"a.example\\@{address}")
    high, low = f"{number >> 16:x}", f"{number & 0xFFFF:x}"
    yield from (f"[::ffff:{address}]", f"[::{address}]", f"[64:ff9b::{address}]", f"[2002:{high}:{low}::]")
    yield from (f"[::ffff:{high}:{low}]", f"[::ffff:0:{high}:{low}]", f"[fe80::{high}:{low}]")


def _numbers_only(host: str, port: int) -> list[str]:
    """Addresses as the system spells and reads them, with nobody asked."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    return [str(one[4][0]) for one in found]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_a_private_address_is_let_through(scheme):
    addresses = ("127.0.0.1", "127.8.9.10", "10.0.0.1", "172.31.255.254", "192.168.1.1", "169.254.169.254", "0.0.0.0")
    urls = [f"{scheme}://{host}/a.png" for address in addresses for host in _spellings(address)]
    assert len(urls) > 120
    refusals = 0
    for url in filter(None, map(web_url, urls)):
        with pytest.raises((Forbidden, OSError)):  # no such host is as good
            Gate(resolve=_numbers_only).addresses(url)
        refusals += 1
    assert refusals > 60


def test_one_private_address_among_public_ones_is_enough_to_refuse():
    gate = Gate(resolve=lambda host, port: ["93.184.215.14", "10.0.0.7"])
    with pytest.raises(Forbidden, match=r"a\.example has the address 10\.0\.0\.7"):
        gate.addresses("https://a.example/")


def test_ports_that_are_not_the_webs_must_be_named():
    gate = Gate(("a.example:8080", "b.example"), lambda host, port: ["10.0.0.7"])
    assert gate.addresses("http://a.example:8080/") == gate.addresses("http://b.example/") == ["10.0.0.7"]
    for url in ("http://a.example/", "http://b.example:22/"):
        with pytest.raises(Forbidden, match="allow-host"):
            gate.addresses(url)


def test_a_name_that_changes_its_meaning_is_connected_to_as_it_was_looked_at(site):
    answers = [["93.184.215.14"], ["127.0.0.1"]]  # the second one would lead here
    gate = Gate((f"a.example:{site.server.server_port}",), lambda host, port: answers.pop(0))
    reached = Gate(gate.allowed, lambda host, port: ["127.0.0.1"])
    url = f"http://a.example:{site.server.server_port}/"
    with Fetcher(gate, "figment") as fetcher, pytest.raises(ExceptionGroup) as caught:
        fetcher.fetch(url)
    assert str(caught.value.exceptions[0]).startswith("a test tried to reach 93.184.215.14")
    assert answers == [["127.0.0.1"]] and not site.asked
    with Fetcher(reached, "figment") as fetcher:
        assert fetcher.fetch(url).status == 404
    assert site.asked[0][2]["host"] == f"a.example:{site.server.server_port}"


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("HTTP://Example.ORG:80/a/./b/../c.png?x=1#top", "http://example.org/a/c.png?x=1"),
        ("https://example.org", "https://example.org/"),
        ("//b.example/x y.png", "http://b.example/x%20y.png"),
        ("../up.png", "http://a.example/up.png"),
        ("https://münchen.example/", "https://xn--mnchen-3ya.example/"),
        *(
            (link, None)
            for link in ("javascript:alert(1)", "data:image/png;base64,AA", "ftp://a/b", "http://u:p@a.example/")
        ),
        *((link, None) for link in ("http://[::1", "http://0177.0.0.1/", "/" + "a" * 3000)),
    ],
)
def test_a_link_is_one_url(link, url):
    assert web_url(link, "http://a.example/dir/page.html") == url


# Fetching.


def test_an_answer_that_dribbles_ends_at_the_deadline(site):
    def headers(handler: BaseHTTPRequestHandler) -> None:
        for _ in range(200):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-More: 1\r\n" if _ == 0 else b"X-More: 1\r\n")
            time.sleep(0.05)

    def body(handler: BaseHTTPRequestHandler) -> None:
        answer(handler, 200, {"Content-Type": "text/html"})
        for _ in range(200):
            handler.wfile.write(b" ")
            time.sleep(0.05)

    site.routes |= {"/headers": headers, "/body": body}
    for path in ("/headers", "/body"):
        start = time.monotonic()
        with (
            Fetcher(Gate((site.place,)), "figment/test", seconds=0.5) as impatient,
            pytest.raises(Unreachable, match=r"no whole answer within 0\.5 s"),
        ):
            impatient.fetch(site.url + path)
        assert time.monotonic() - start < 5


def test_what_is_packed_is_counted_as_it_is_unpacked(site, fetcher):
    bomb = gzip.compress(bytes(64 * 2**20))
    site.routes["/bomb"] = (200, {"Content-Encoding": "gzip", "Content-Length": str(len(bomb))}, bomb)
    tracemalloc.start()
    got = fetcher.fetch(site.url + "/bomb", most=2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (got.is_whole, len(got.content)) == (False, 2**20)
    assert peak < 8 * 2**20


def test_an_endless_answer_is_cut(site, fetcher):
    def endless(handler: BaseHTTPRequestHandler, first: bytes = b"", **headers: str) -> None:
        answer(handler, 200, headers, first)
        while True:
            handler.wfile.write(bytes(65536))

    site.routes["/plain"] = endless
    # What follows the end of a gzip stream unpacks to nothing.
    site.routes["/packed"] = lambda handler: endless(handler, gzip.compress(b"end"), **{"Content-Encoding": "gzip"})
    assert fetcher.fetch(site.url + "/plain", most=2**20).is_whole is False
    assert fetcher.fetch(site.url + "/packed", most=2**20).is_whole is False


def test_answers_that_are_not_what_they_say(site, fetcher):
    site.routes["/short"] = (200, {"Content-Length": "1000"}, b"too short")
    site.routes["/coding"] = (200, {"Content-Encoding": "br"}, b"x")
    site.routes["/damaged"] = (200, {"Content-Encoding": "gzip"}, b"no gzip")
    for path, error in (("/short", Unreachable), ("/coding", Forbidden), ("/damaged", Unreachable)):
        with pytest.raises(error):
            fetcher.fetch(site.url + path)


def test_questions_carry_a_name_and_nothing_else(site, fetcher):
    site.routes["/"] = (200, {"Set-Cookie": "who=you"}, b"")
    fetcher.fetch(site.url + "/")
    fetcher.fetch(site.url + "/")
    *_, headers = site.asked[1]
    assert dict(headers) == {
        "host": site.place,
        "user-agent": "figment/test",
        "accept": "*/*",
        "accept-encoding": "gzip",
        "connection": "close",
    }


def _certificate(folder: Path, name: str) -> Path:
    """A key and a certificate of its own for a host's name, in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(1)).not_valid_after(now + datetime.timedelta(1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(
        key, hashes.SHA256()
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "host.pem").write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return folder / "host.pem"


def test_a_server_must_prove_to_be_the_host_although_it_is_asked_by_address(tmp_path):
    file = _certificate(tmp_path, "pictures.example")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    site = Site(context=context)
    site.routes["/"] = (200, {}, b"hello")
    trust = ssl.create_default_context(cafile=str(file))
    port = site.server.server_port
    gate = Gate((f"pictures.example:{port}", f"other.example:{port}"), lambda host, port: ["127.0.0.1"])
    with Fetcher(gate, "figment", trust=trust) as fetcher:
        assert fetcher.fetch(f"https://pictures.example:{port}/").content == b"hello"
        with pytest.raises(Unreachable, match=r"other\.example"):
            fetcher.fetch(f"https://other.example:{port}/")
    site.server.shutdown()
    site.server.server_close()


# What sites ask for.


@pytest.mark.parametrize(
    ("status", "allows"), [(200, False), (404, True), (403, True), (429, False), (500, False), (503, False), (0, False)]
)
def test_robots_by_status(status, allows):
    found = rules(status, b"User-agent: *\nDisallow: /private\nAllow: /private/yes\nCrawl-delay: 2\n")
    assert found.allow("http://a.example/private/x") is allows
    if status == 200:
        assert found.allow("http://a.example/private/yes") and found.allow("http://a.example/") and found.delay == 2


def test_rules_for_figment_come_before_those_for_all():
    found = rules(200, b"User-agent: *\nDisallow: /\n\nUser-agent: Figment\nDisallow: /no\nRequest-rate: 1/5\n")
    assert found.allow("http://a.example/") and not found.allow("http://a.example/no.png") and found.delay == 5


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        (["noai"], "noai"),
        (["max-snippet: 5, NoImageAI"], "noimageai"),
        (["otherbot: noindex, noai"], None),
        (["otherbot: nofollow", "figment: noindex"], "noindex"),
        (["nofollow"], None),
        (["none"], "none"),
    ],
)
def test_words_of_a_server(lines, word):
    words = header_words(httpx.Headers([("X-Robots-Tag", line) for line in lines]))
    assert objection(words) == word
    assert forbids_links(words) is (lines in (["nofollow"], ["none"]))


def test_a_reservation_of_text_and_data_mining_is_an_objection():
    assert objection(header_words(httpx.Headers({"TDM-Reservation": "1"}))) == "tdm-reservation"
    assert objection(header_words(httpx.Headers({"TDM-Reservation": "0"}))) is None


# Pages.


def test_what_a_page_says():
    page = read_page(
        """<html><head><base href="/art/"><meta name="robots" content="NoAI, nofollow">
        <link rel="license" href="https://creativecommons.org/licenses/by/4.0/"></head>
        <img src="a.jpg" alt=" a  café "><img src="small.jpg" srcset="s.jpg 320w,m.jpg 640w, l.jpg 1280w, x.jpg">
        <img data-src="lazy.jpg" src="data:image/gif;base64,AAAA"><img src="a.jpg" alt="again">
        <a href="next.html">n</a><a href="next.html#2">n</a><a rel="ugc nofollow" href="bad.html">b</a>
        <a href="mailto:me@a.example">m</a></html>""".encode("latin-1"),
        "http://a.example/index.html",
        "text/html; charset=iso-8859-1",
    )
    art = "http://a.example/art"
    assert page.pictures == ((f"{art}/a.jpg", "a café"), (f"{art}/l.jpg", ""), (f"{art}/lazy.jpg", ""))
    assert page.links == (f"{art}/next.html",)
    assert page.licence == "https://creativecommons.org/licenses/by/4.0/"
    assert objection(page.words) == "noai" and forbids_links(page.words)


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"<img src=", b"<meta charset=undefined><img src=//[>", b"<a" * 10000]
)
def test_a_page_may_be_anything(content):
    assert read_page(content, "http://a.example/", "text/html; charset=hex").links == ()


@pytest.mark.parametrize("charset", ["hex", "unicode_escape", "utf-7", "punycode", "no-such", "utf-16"])
def test_a_charset_may_be_anything(charset):
    content = b"\\ud800 +2AA- <img src=a.png alt='\xff'>"
    read_page(content, "http://a.example/", f"text/html; charset={charset}")


@pytest.mark.parametrize("attribute", ["srcset", "loc"])
def test_long_texts_are_read_in_good_time(attribute):
    text = "a," * 200_000 + " " * 200_000
    start = time.monotonic()
    if attribute == "srcset":
        read_page(f'<img srcset="{text}x 1.2.3w">'.encode(), "http://a.example/")
    else:
        read_sitemap(b"<urlset><loc>" + b" " * 400_000 + b"<loc>" * 100_000)
    assert time.monotonic() - start < 5


def test_sitemaps_list_pages_or_sitemaps():
    text = b"<?xml version='1.0'?><urlset><url><loc> http://a.example/?a=1&amp;b=2 </loc><image:image>"
    text += b"<image:loc><![CDATA[http://a.example/1.png]]></image:loc></image:image></url></urlset>"
    is_list, page = read_sitemap(text)
    assert (is_list, page.links, page.pictures) == (
        False,
        ("http://a.example/?a=1&b=2",),
        (("http://a.example/1.png", ""),),
    )
    assert read_sitemap(b"<sitemapindex><sitemap><loc>http://a.example/s.xml</loc>") == (
        True,
        read_sitemap(b"<loc>http://a.example/s.xml")[1],
    )


@pytest.mark.parametrize(
    ("content", "declared", "kind"),
    [
        (jpeg(1), "text/html", "picture"),
        (b"\n<!DOCTYPE html><html>", "image/png", "page"),
        (b"just text", "text/html", "page"),
        (b"<?xml version='1.0'?><urlset>", "text/xml", "sitemap"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml", "other"),
        (b"", "", "other"),
    ],
)
def test_content_decides_what_an_answer_is(content, declared, kind):
    assert kind_of(content, declared) == kind


# Crawls.


def test_hosts_take_turns_and_what_is_near_comes_first(tmp_path):
    with Frontier(tmp_path / "frontier.sqlite", "one") as frontier:
        frontier.add(Link(f"http://a.example/{number}", "page", depth=1) for number in range(3))
        frontier.add(Link(f"http://b.example/{number}", "page", depth=1) for number in range(2))
        frontier.add([Link("http://a.example/0", "page"), Link("http://c.example/near", "page", depth=0)])
        order = []
        while link := frontier.next(with_pages=True):
            frontier.finish(link, "page")
            order.append(link.url.removeprefix("http://").replace(".example", ""))
    assert order == ["c/near", "a/0", "b/0", "a/1", "b/1", "a/2"]


def test_pictures_come_with_caption_licence_and_origin(site):
    site.page("/", '<a rel="license" href="/cc-by">CC</a><img src="1.png" alt="a cat"><a href="2.png">full size</a>')
    site.picture("/1.png")
    site.picture("/2.png", Link='<https://example.org/own>; rel="license"')
    first, second = crawl(site)
    assert (first.key, first.captions) == (f"{site.url}/1.png", ("a cat",))
    assert first.image == site.routes["/1.png"][2]
    assert first.origin == {
        "source": "127.0.0.1",
        "url": f"{site.url}/1.png",
        "page": f"{site.url}/",
        "robots": "no robots.txt (404)",
        "licence": f"{site.url}/cc-by",
    }
    assert second.origin["licence"] == "https://example.org/own"
    assert site.asked[0][0] == "/robots.txt"


def test_links_are_followed_as_deep_as_asked_nearest_first(site):
    for depth in range(4):
        site.page(f"/{depth}", f'<a href="/{depth + 1}">deeper</a><a href="/">up</a><img src="/{depth}.png">')
        site.picture(f"/{depth}.png")
    site.page("/", '<a href="/1">one</a><a href="/0">nought</a><img src="/start.png">')
    site.picture("/start.png")
    assert taken(crawl(site, depth=0), site) == ["/start.png"]
    assert taken(crawl(site, depth=1), site) == ["/start.png", "/1.png", "/0.png"]
    assert taken(crawl(site, depth=2), site) == ["/start.png", "/1.png", "/0.png", "/2.png"]
    assert taken(crawl(site, depth=3, images=2), site) == ["/start.png", "/1.png"]
    assert taken(crawl(site, depth=3, pages=1), site) == ["/start.png"]


def test_what_robots_and_words_forbid_is_not_taken(site):
    site.routes["/robots.txt"] = (200, {}, b"User-agent: *\nDisallow: /private\n")
    site.page(
        "/",
        '<img src="/private/1.png"><img src="/own.png"><img src="/no.png"><a href="/noai"></a><a href="/private/"></a>',
    )
    site.page("/noai", '<img src="/2.png"><a href="/after"></a>', X_Robots_Tag="noai")
    site.page("/after", '<meta name="robots" content="nofollow"><img src="/3.png"><a href="/never"></a>')
    site.picture("/no.png", X_Robots_Tag="noimageai")
    for path in ("/private/1.png", "/own.png", "/2.png", "/3.png"):
        site.picture(path)
    found = crawl(site, depth=5)
    assert taken(found, site) == ["/own.png", "/3.png"]
    assert refused(found, site) == {
        "/private/1.png": "robots.txt of 127.0.0.1 forbids it",
        "/no.png": "its server says noimageai",
        "/2.png": "its page says noai",
    }
    assert not {"/private/1.png", "/private/", "/2.png", "/never"} & set(site.counts)


def test_robots_that_cannot_be_read_forbid_all(site):
    site.page("/", '<img src="/1.png">')
    site.routes["/robots.txt"] = (503, {}, b"")
    assert refused(crawl(site), site) == {"/": "robots.txt answers 503, which forbids all"}
    assert set(site.counts) == {"/robots.txt"}


def test_robots_are_followed_where_they_have_moved(site):
    site.page("/", '<img src="/1.png"><img src="/2.png">')
    site.move("/robots.txt", "/rules")
    site.routes["/rules"] = (200, {}, b"User-agent: figment\nDisallow: /1\n")
    site.picture("/2.png")
    assert taken(crawl(site), site) == ["/2.png"]


def test_a_host_is_left_alone_between_two_requests(site):
    site.routes["/robots.txt"] = (200, {}, b"User-agent: *\nCrawl-delay: 0.2\n")
    site.page("/", '<img src="/1.png">')
    site.picture("/1.png")
    crawl(site)
    times = [when for _, when, _ in site.asked[1:]]
    assert min(after - before for before, after in itertools.pairwise(times)) > 0.19


def test_other_hosts_must_be_named(site):
    site.page("/", '<img src="http://other.example/1.png"><a href="http://other.example/"></a><img src="/1.png">')
    site.picture("/1.png")
    found = crawl(site)
    assert taken(found, site) == ["/1.png"]
    assert refused(found, site) == {
        "http://other.example/1.png": "lies on other.example, which --crawl.hosts does not name"
    }
    bounds = Bounds(("a.example", "*.b.example"), 1, 1, 1, 0, False)
    assert [bounds.include(f"http://{host}/") for host in ("a.example", "x.b.example", "b.example", "xb.example")] == [
        True,
        True,
        False,
        False,
    ]


def test_redirects_are_looked_at_like_any_link(site):
    inner = Site()  # another port of this machine, which nobody allowed
    inner.picture("/secret.png")
    pictures = ("/moved.png", "/in.png", "/port.png", "/loop.png", "/file.png", "/long/0.png")
    site.page("/", "".join(f'<img src="{path}">' for path in pictures))
    site.move("/moved.png", "/1.png")
    site.picture("/1.png")
    site.move("/in.png", "http://10.0.0.1/latest/meta-data")
    site.move("/port.png", f"{inner.url}/secret.png")
    site.move("/loop.png", "/loop2.png")
    site.move("/loop2.png", "/loop.png")
    site.move("/file.png", "file:///etc/passwd")
    for number in range(8):
        site.move(f"/long/{number}.png", f"/long/{number + 1}.png")
    found = crawl(site, hosts=("127.0.0.1", "10.0.0.1"))
    assert taken(found, site) == ["/1.png"]
    assert refused(found, site) == {
        "http://10.0.0.1/latest/meta-data": (
            "10.0.0.1 has the address 10.0.0.1, which is not public; --crawl.allow-host 10.0.0.1 allows it"
        ),
        f"{inner.url}/secret.png": (
            f"{inner.place} is none of the web's ports; --crawl.allow-host {inner.place} allows it"
        ),
        "/file.png": "leads to no page of the web",
        "/long/5.png": "leads from one redirect to the next",
    }
    assert not inner.asked and site.counts["/loop.png"] == 1
    inner.server.shutdown()
    inner.server.server_close()


def test_what_answers_are_not_is_said(site):
    site.page(
        "/", "".join(f'<img src="/{name}">' for name in ("gone", "html", "text", "good")) + '<a href="/wiki.jpg"></a>'
    )
    site.page("/html", "not a picture")
    site.page("/wiki.jpg", 'a page about a picture <img src="/good">')
    site.routes["/text"] = (200, {"Content-Type": "image/png"}, b"hello")
    site.routes["/good"] = (200, {"Content-Type": "text/plain"}, png(1))
    found = crawl(site)
    assert taken(found, site) == ["/good"]
    assert refused(found, site) == {
        "/gone": "answers 404",
        "/html": "is no picture, but a page",
        "/text": "is neither a picture nor a page",
    }


def test_a_server_that_is_busy_is_asked_again(site):
    def busy(handler: BaseHTTPRequestHandler) -> None:
        if site.counts["/1.png"] < 3:
            return answer(handler, 503, {"Retry-After": "0", "Content-Length": "0"})
        return answer(handler, 200, {"Content-Length": str(len(png(1)))}, png(1))

    site.page("/", '<img src="/1.png">')
    site.routes["/1.png"] = busy
    assert taken(crawl(site), site) == ["/1.png"]


def test_a_host_that_does_not_answer_is_given_up(site, fetcher, tmp_path):
    enough = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        enough.wait(30)

    with Fetcher(Gate((site.place,)), "figment", seconds=0.5) as impatient, Frontier(tmp_path / "f", "c") as frontier:
        site.routes |= {f"/{number}.png": silent for number in range(6)}
        frontier.add(Link(f"{site.url}/{number}.png", "picture") for number in range(6))
        visits = list(Crawler(Bounds(("127.0.0.1",), 0, 1, 9, 0, False), frontier, impatient).visits())
        enough.set()
    assert [visit.link.reason[:24] for visit in visits] == ["no whole answer within 0"] * 3 + [
        "127.0.0.1 has not answer"
    ] * 3
    assert site.counts["/2.png"] == 3 and not site.counts["/3.png"]


def test_without_a_network_links_wait(site):
    down = False

    def flickering(handler: BaseHTTPRequestHandler) -> None:
        if not down:
            answer(handler, 200, {"Content-Length": str(len(png(1)))}, png(1))

    site.page("/", '<img src="/0.png"><img src="/1.png"><img src="/2.png">')
    site.routes |= {f"/{number}.png": flickering for number in range(3)}
    config = Config(site.url, allow_host=(site.place,), delay=0.0)
    visits = records(config)
    first = next(visits)
    down = True
    site.routes["/robots.txt"] = flickering
    with pytest.raises(DataError, match=r"the answer failed .*; give the same command again to go on from here"):
        next(visits)
    down = False
    assert taken([first], site) == ["/0.png"]
    assert taken(list(records(config)), site) == ["/0.png", "/1.png", "/2.png"]
    assert site.counts["/0.png"] == 1
    down = True
    with pytest.raises(DataError, match="give the same command again"):
        list(records(Config(site.url, allow_host=(site.place,), delay=0.0, edition="2")))


def test_sitemaps_are_read_where_asked_for_packed_ones_too(site):
    site.routes["/robots.txt"] = (200, {}, f"Sitemap: {site.url}/index.xml\n".encode())
    site.routes["/index.xml"] = (200, {}, f"<sitemapindex><loc>{site.url}/map.xml.gz</loc>".encode())
    urls = f"<urlset><url><loc>{site.url}/hidden</loc></url><url><loc>http://other.example/</loc></url></urlset>"
    site.routes["/map.xml.gz"] = (200, {"Content-Type": "application/gzip"}, gzip.compress(urls.encode()))
    site.page("/", '<img src="/1.png">')
    site.page("/hidden", '<img src="/2.png">')
    for number in (1, 2):
        site.picture(f"/{number}.png")
    assert taken(crawl(site, depth=0), site) == ["/1.png"]
    assert sorted(taken(crawl(site, depth=0, sitemaps=True), site)) == ["/1.png", "/2.png"]


def test_a_packed_sitemap_that_is_a_bomb_is_unpacked_in_part(site, monkeypatch):
    site.routes["/"] = (200, {}, gzip.compress(b"<urlset><loc>" + bytes(64 * 2**20)))
    tracemalloc.start()
    with pytest.raises(DataError, match="not one picture on 1 pages"):
        crawl(site)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80 * 2**20


def test_a_finished_crawl_asks_nothing_again(site):
    site.page("/", '<img src="/1.png"><img src="/gone.png">')
    site.picture("/1.png")
    first = crawl(site)
    asked = len(site.asked)
    assert crawl(site) == first
    assert len(site.asked) == asked


def test_another_edition_takes_over_only_what_has_changed(site):
    site.page("/", '<img src="/1.png"><img src="/2.png"><img src="/3.png">', ETag='"page"')
    site.picture("/1.png", seed=1, ETag='"one"')
    site.picture("/3.png", seed=4, ETag='"d\xe9j\xe0"')  # which cannot be sent back
    site.picture("/2.png", seed=2, ETag='"two"')
    before = crawl(site)
    site.picture("/2.png", seed=3, ETag='"new"')
    after = crawl(site, edition="2")
    assert [one.image for one in after] == [png(1), png(3), png(4)]
    told = {path: headers.get("if-none-match") for path, _, headers in site.asked[5:]}
    assert told == {"/": '"page"', "/1.png": '"one"', "/2.png": '"two"', "/3.png": None}
    assert crawl(site) == before  # what the first edition is, it stays


def test_two_crawls_of_one_site_at_once_are_refused(site):
    site.page("/", '<img src="/1.png"><img src="/2.png">')
    site.picture("/1.png")
    site.picture("/2.png")
    config = Config(site.url, allow_host=(site.place,), delay=0.0)
    first = records(config)
    next(first)
    start = time.monotonic()
    with pytest.raises(DataError, match="wait for another crawl of the same pages"):
        next(records(config))
    assert time.monotonic() - start < 10
    first.close()


CHILD = """
import json, sys
from figment.data.sources.crawl import Config, records
url, place = sys.argv[1:]
for record in records(Config(url, allow_host=(place,), delay=0.0)):
    print(json.dumps(record.key), flush=True)
"""


def test_a_crawl_that_is_killed_loses_and_repeats_nothing(site, tmp_path):
    numbers = range(12)
    site.page("/", "".join(f'<a href="/page{number}"></a>' for number in range(3)))
    for number in range(3):
        site.page(f"/page{number}", "".join(f'<img src="/{one}.png">' for one in numbers[number::3]))
    children: list[subprocess.Popen] = []
    deadly = {7, 10, 14}  # requests in whose middle the crawl is killed

    def guarded(body: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
        def send(handler: BaseHTTPRequestHandler) -> None:
            answer(handler, 200, {"Content-Length": str(len(body))}, body[:20])
            if len(site.asked) in deadly:
                os.kill(children[-1].pid, signal.SIGKILL)
            handler.wfile.write(body[20:])

        return send

    for number in numbers:
        site.routes[f"/{number}.png"] = guarded(png(number + 1))
    for _ in range(len(deadly) + 1):
        command = [sys.executable, "-c", CHILD, site.url, site.place]
        children.append(subprocess.Popen(command, stdout=subprocess.PIPE))
        printed, _ = children[-1].communicate(timeout=60)
    assert [child.returncode for child in children] == [-signal.SIGKILL] * len(deadly) + [0]
    keys = [json.loads(line) for line in printed.splitlines()]
    assert sorted(keys) == sorted(f"{site.url}/{number}.png" for number in numbers)
    again = [path for path, number in site.counts.items() if number > 1]
    assert len(again) == len(deadly) and sum(site.counts.values()) == 1 + 4 + len(numbers) + len(deadly)


BUILD = """
import sys
import figment.data.build as building
building.GROUP_PICTURES, building.CHUNK_PICTURES = 3, 1
url, place, out = sys.argv[1:]
config = building.BuildConfig(sources={"crawl": {"allow_host": [place], "delay": 0.0}})
building.build([f"crawl:{url}"], out, config)
"""


def slowly(route: Route) -> Callable[[BaseHTTPRequestHandler], None]:
    assert isinstance(route, tuple)

    def send(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.02)
        answer(handler, route[0], {"Content-Length": str(len(route[2])), **route[1]}, route[2])

    return send


def test_a_build_of_a_crawl_that_is_killed_at_random_moments_ends_the_same(site, tmp_path):
    for number in range(3):
        site.page(f"/page{number}", "".join(f'<img src="/{one}.png">' for one in range(number, 12, 3)))
    site.page("/", "".join(f'<a href="/page{number}"></a>' for number in range(3)))
    for number in range(12):
        site.picture(f"/{number}.png", seed=number + 1)
    site.routes = {path: slowly(route) for path, route in site.routes.items()}

    def start(out: Path) -> subprocess.Popen:
        environment = os.environ | {"XDG_CACHE_HOME": str(out.with_suffix(".cache")), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen([sys.executable, "-c", BUILD, site.url, site.place, out], env=environment)

    def rows(out: Path) -> list:
        with Index(out / "index.sqlite") as index:
            return list(index.rows())

    whole = tmp_path / "whole"
    assert start(whole).wait() == 0
    asked, choose, kills, trials = len(site.asked), random.Random(0), 0, 0
    while kills < KILLS:
        out, code, before = tmp_path / f"killed-{trials}", -signal.SIGKILL, len(site.asked)
        while code == -signal.SIGKILL:
            process, first = start(out), len(site.asked)
            while kills < KILLS and process.poll() is None and len(site.asked) == first:
                time.sleep(0.002)  # until it has asked for something: before that there is nothing to lose
            if kills < KILLS and process.poll() is None:
                time.sleep(choose.uniform(0, 0.5))
                process.kill()
            code = process.wait()
            kills += code == -signal.SIGKILL
            assert len(site.asked) - before <= asked + kills
        assert code == 0 and rows(out) == rows(whole)
        trials += 1
    print(f"{kills} kills, {trials} datasets")  # python -m pytest -rP shows it


def test_a_dataset_is_built_of_a_crawl(site, tmp_path):
    site.page("/", "".join(f'<img src="/{number}.png" alt="number {number}">' for number in range(8)))
    for number in range(7):
        site.picture(f"/{number}.png", seed=number + 1)
    settings = BuildConfig(sources={"crawl": {"allow_host": [site.place], "delay": 0.0}})
    store = build([f"crawl:{site.url}/"], tmp_path / "out", settings)
    assert sum(store.counts.values()) == 7
    assert [(one.key, one.reason) for one in store.rejected()] == [(f"{site.url}/7.png", "answers 404")]
    with Index(tmp_path / "out/index.sqlite") as index:
        (row,) = index.rows("key = ?", f"{site.url}/3.png")
    assert row.captions == ("number 3",) and row.origin["page"] == f"{site.url}/"
    assert max(site.counts.values()) == 1  # the build reads its sources twice
    assert store.card["recipe"]["sources"] == [f"crawl:{site.url}/"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"argument": ""}, "give a page, as in crawl:https://"),
        ({"argument": "example.org"}, "give a page"),
        ({"argument": "file:///etc/passwd"}, "give a page"),
        ({"depth": -1}, "--crawl.depth -1: give a number between 0 and 100"),
        ({"hosts": ("http://a.example",)}, "--crawl: http://a.example is no host"),
        ({"contact": "a\nb: c"}, "--crawl.contact"),
    ],
)
def test_settings_that_cannot_be_are_answered(settings, message):
    with pytest.raises(ConfigError, match=message):
        next(records(Config(**{"argument": "http://a.example/", **settings})))


def test_a_site_without_pictures_is_answered(site):
    site.page("/", "nothing here")
    with pytest.raises(DataError, match=r"not one picture on 1 pages; give a page that shows pictures"):
        crawl(site)
