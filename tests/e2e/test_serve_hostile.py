"""Hostile requests: every one is refused with a fixed code, at once, and changes nothing.

The short form takes a few of each kind; FIGMENT_SERVE_HOSTILE=1 sends all of them.
"""

from __future__ import annotations

import io
import json
import os
import socket
import struct
import time
import zlib

import numpy as np
import pytest
from PIL import Image

from figment.core.images import encode_png
from tests.commands import contents

ALL = bool(os.environ.get("FIGMENT_SERVE_HOSTILE"))
JSON = {"Content-Type": "application/json"}
GENERATE, OPENAI, LABELS = "/api/generate", "/v1/images/generations", "/api/data/d0/labels"

PATHS = [
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e/%2e%2e/history.sqlite",
    "....//history.sqlite",
    "/etc/passwd",
]
PATHS += [
    "%00",
    "a%00.png",
    "..\\..\\x",
    "%252e%252e%252fx",
    "con",
    "~root",
    "file:///etc/passwd",
    "http://127.0.0.1:1/",
]
PATHS += [
    "x" * 3000,
    "%ff%fe",
    "💥",
    "%0d%0aSet-Cookie:x",
    "history.sqlite",
    "app.py",
    "..;/x",
    "$(id)",
    "'; drop table x",
]
PLACES = [
    "/api/runs/{}",
    "/api/runs/{}/log",
    "/api/runs/r0/samples/{}",
    "/api/jobs/{}/events",
    "/api/images/{}",
    "/studio/{}",
]
PLACES += ["/v1/models/{}", "/api/data/{}/images", "/api/data/d0/images/{}.png", "/api/runs/{}/scores", "/{}"]

WRONG = [None, True, -1, 1.5, 2**63, 2**200, "1", "", "../../x", [], [[1]], {}, {"a": {}}, ["x"], "\x00", "x" * 100_000]
FIELDS = ["run", "label", "caption", "seeds", "seed", "num", "settings", "preview"]
FINE = {  # values above that a field may have after all
    "label": [None, "1"],
    "caption": [None, ""],
    "seeds": [None],
    "settings": [{}],
    "preview": [True],
}


def bodies() -> list[tuple[str, str, dict]]:
    """(name, path, JSON body) with one thing wrong each."""
    found = []
    for field in FIELDS:
        for number, value in enumerate(WRONG):
            if not any(value is fine or (type(value) is type(fine) and value == fine) for fine in FINE.get(field, [])):
                found.append((f"{field}-{number}", GENERATE, {"run": "r0", field: value}))
    settings = [
        {"steps": 0},
        {"steps": 10**9},
        {"steps": "18"},
        {"steps": True},
        {"judge": "/etc"},
        {"guide": "runs/x"},
    ]
    settings += [{"sampler": "../heun"}, {"sampler": "os"}, {"guidance": 1e400}, {"__class__": 1}, {"steps": None}]
    settings += [
        {"schedule": "none"},
        {"guidance": [1]},
        {"x" * 5000: 1},
        {"judge_scale": 1},
        {"eta": 0.5},
        {"order": 2},
    ]
    found += [(f"setting-{n}", GENERATE, {"run": "r0", "settings": each}) for n, each in enumerate(settings)]
    openai = [
        {"n": 0},
        {"n": 11},
        {"n": "2"},
        {"size": "9x"},
        {"size": "99999x9"},
        {"size": "0x0"},
        {"model": ["flow"]},
    ]
    openai += [
        {"response_format": "url"},
        {"output_format": "svg"},
        {"stream": True},
        {"prompt": {"a": 1}},
        {"seed": -1},
    ]
    openai += [{"prompt": "http://127.0.0.1:1/x.png"}, {"model": "../gan"}, {"prompt": "x" * 5000}, {"seed": "0"}]
    found += [(f"openai-{n}", OPENAI, {"prompt": "", **each}) for n, each in enumerate(openai)]
    labels = [{}, [], [{}], [{"row": -1, "label": "1", "was": "1"}], [{"row": "0", "label": "1", "was": "1"}], "x"]
    labels += [[{"row": 0, "label": 5, "was": "0"}], [{"row": 0, "label": "", "was": "0"}], [{"row": 0, "label": "1"}]]
    labels += [[{"row": 0, "label": "x" * 300, "was": "0"}], [{"row": 10**12, "label": "1", "was": "0"}]]
    labels += [[{"row": 0, "label": "1", "was": "0", "key": "x"}], [{"row": 0, "label": "1", "was": "0"}] * 1001]
    found += [(f"labels-{n}", LABELS, {"changes": each}) for n, each in enumerate(labels)]
    reasons = [{}, [{"row": -1, "reason": "x", "was": None}], [{"row": 0, "reason": 5, "was": None}]]
    reasons += [[{"row": 0, "reason": "", "was": None}], [{"row": 0, "reason": "x"}]]
    reasons += [[{"row": 10**12, "reason": "x", "was": None}], [{"row": 0, "reason": "x" * 300, "was": None}]]
    found += [(f"reasons-{n}", "/api/data/d0/reasons", {"changes": each}) for n, each in enumerate(reasons)]
    walks = [{"t": 2}, {"seed_a": 1}, {"seed_a": 1, "seed_b": 2, "t": float("nan")}, {"seed": 1, "plane": [1]}, {}]
    found += [(f"walk-{n}", "/api/walk", {"run": "r1", **each}) for n, each in enumerate(walks)]
    found += [
        (f"rows-{n}", "/api/data/d0/restore", {"rows": each}) for n, each in enumerate([[], [-1], ["1"], [10**9]])
    ]
    return found


RAW = {
    "no json": b"{",
    "nan": b'{"run": NaN}',
    "deep": b"[" * 200_000,
    "deep object": b'{"a":' * 100_000,
    "empty": b"",
    "not utf-8": b'{"run": "\xff\xfe"}',
    "list": b"[]",
    "number": b"1",
    "huge number": b'{"run":"r0","seed":' + b"9" * 9000 + b"}",
    "text": b'"x"',
    "twice": b'{"run":"r0"}{"run":"r0"}',
    "surrogate": b'{"run":"\\ud800"}',
    "pickle": b"\x80\x04\x95.",
}


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + chunk(b"IEND", b"")


def fine(size: int = 8) -> bytes:
    return encode_png(np.zeros((size, size, 1), np.uint8))


def animation() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.new("L", (8, 8), shade) for shade in (0, 255)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


PACKED = zlib.compress(bytes(10**8))
PICTURES = {
    "bomb": png(60_000, 60_000),
    "wide": png(2**31 - 1, 1),
    "large": png(5000, 5000, chunk(b"IDAT", PACKED)),
    "zero": png(0, 0),
    "cut off": fine()[:-30],
    "no pixels": png(8, 8),
    "text bomb": png(8, 8, chunk(b"zTXt", b"a\0\0" + PACKED)),
    "empty": b"",
    "text": b"hello",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "html": b"<script>1</script>",
    "pickle": b"\x80\x04cos\nsystem\n.",
    "zip": b"PK\x03\x04" + bytes(99),
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "pdf": b"%PDF-1.7\n",
    "animation": animation(),
    "damaged": fine()[:40] + b"\xff" * 9 + fine()[49:],
    "url": b"http://127.0.0.1:1/a.png",
}

REQUESTS = {
    "path": {"run": "../r0"},
    "edit": {"edit": "os"},
    "underscore": {"edit": "_walk"},
    "no such": {"edit": "../inpaint"},
    "setting": {"config": {"x": 1}},
    "file": {"edit": "compress", "config": {"open": "/x"}},
    "seeds": {"seeds": [*range(17)]},
    "no seed": {"seeds": []},
    "label": {"label": "cat"},
    "caption": {"caption": "x"},
    "more": {"x": 1},
    "judge": {"settings": {"judge": "x"}},
    "no mask": {},
    "text seed": {"seeds": ["0"]},
}


def few(cases: list, most: int) -> list:
    return cases if ALL else cases[:: max(1, len(cases) // most)]


@pytest.fixture(scope="module", autouse=True)
def _without_effect(served):
    """Whatever is asked here: no picture is drawn, no label changed, no file written."""
    before = (
        served.studio.counters.value("jobs"),
        served.get("/api/history")["total"],
        contents(served.studio.history.folder / "images"),
    )
    labels = served.get("/api/data")
    yield
    assert (served.studio.counters.value("jobs"), served.get("/api/history")["total"]) == before[:2]
    assert contents(served.studio.history.folder / "images") == before[2]
    assert served.get("/api/data") == labels
    assert served.http.get("/ready").status_code == 200


def refused(answer, *statuses: int) -> str:
    """The fixed code of a refusal in its one shape, which tells no path and no trace."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.elapsed.total_seconds() < 5
    error = answer.json()["error"]
    assert error.keys() == {"code", "message", "type", "param"} and error["code"]
    for secret in ("Traceback", "/tmp/", "site-packages"):
        assert secret not in answer.text
    return error["code"]


@pytest.mark.parametrize(("place", "path"), few([(place, path) for place in PLACES for path in PATHS], 30))
def test_no_path_leads_anywhere(served, place, path):
    assert refused(served.http.get(place.format(path)), 400, 404) in ("not_found", "invalid_request")


@pytest.mark.parametrize(
    ("name", "path", "body"), few(bodies(), 40), ids=lambda value: value if isinstance(value, str) else ""
)
def test_no_body_is_taken_for_what_it_is_not(served, name, path, body):
    content = json.dumps(body).encode()
    answer = served.http.post(path, content=content, headers=JSON)
    assert refused(answer, 400, 404) in ("invalid_request", "cannot", "not_found")


@pytest.mark.parametrize("body", RAW.values(), ids=RAW)
def test_no_bytes_are_taken_for_json(served, body):
    assert refused(served.http.post(GENERATE, content=body, headers=JSON), 400, 404) in ("invalid_request", "not_found")


@pytest.mark.parametrize("name", few(list(PICTURES), 10))
def test_no_bytes_are_taken_for_a_picture(served, name):
    files = {"image": ("a.png", PICTURES[name]), "request": (None, json.dumps({"run": "r0", "edit": "redraw"}))}
    assert refused(served.http.post("/api/edit", files=files), 400) == "invalid_image"
    if ALL:
        files = {"image": ("a.png", PICTURES[name]), "prompt": (None, "1")}
        for path in ("/v1/images/edits", "/v1/images/variations"):
            assert refused(served.http.post(path, files=files), 400) == "invalid_image"
        answer = served.http.post("/api/recipe", content=PICTURES[name], headers={"Content-Type": "image/png"})
        assert refused(answer, 400) == "invalid_image"


@pytest.mark.parametrize("name", few(list(REQUESTS), 8))
def test_no_edit_is_done_that_cannot_be(served, name):
    asked = {"run": "r0", "edit": "inpaint"} | REQUESTS[name]
    files = {"image": ("a.png", fine()), "request": (None, json.dumps(asked))}
    assert refused(served.http.post("/api/edit", files=files), 400, 404)


FORMS = {
    "no request": {"image": ("a.png", fine())},
    "text for a file": {"image": (None, "x"), "request": (None, '{"run": "r0", "edit": "redraw"}')},
    "file for a text": {"image": ("a.png", fine()), "request": ("x.json", b'{"run": "r0", "edit": "redraw"}')},
    "list": {"image": ("a.png", fine()), "request": (None, "[]")},
    "deep": {"image": ("a.png", fine()), "request": (None, "[" * 50_000)},
    "large field": {"image": ("a.png", fine()), "request": (None, "x" * 100_000)},
    "mask of another size": {
        "image": ("a.png", fine()),
        "mask": ("m.png", fine(9)),
        "request": (None, '{"run": "r0", "edit": "inpaint"}'),
    },
}


@pytest.mark.parametrize("files", FORMS.values(), ids=FORMS)
def test_no_form_is_taken_for_what_it_is_not(served, files):
    for path in ("/api/edit", "/api/redraw"):
        assert refused(served.http.post(path, files=files), 400) == "invalid_request"


def test_a_form_of_a_thousand_parts_is_refused(served):
    parts = [("image", (f"{n}.png", b"x")) for n in range(1000)]
    assert refused(served.http.post("/api/edit", files=parts), 400) == "invalid_request"


SITES = {
    "rebinding": ({"Host": "evil.example"}, "wrong_host"),
    "rebinding with port": ({"Host": "evil.example:8000"}, "wrong_host"),
    "like ours": ({"Host": "127.0.0.1.evil.example"}, "wrong_host"),
    "user": ({"Host": "127.0.0.1@evil.example"}, "wrong_host"),
    "empty": ({"Host": ""}, "wrong_host"),
    "origin": ({"Origin": "https://evil.example"}, "cross_site"),
    "null": ({"Origin": "null"}, "cross_site"),
    "port": ({"Origin": "http://127.0.0.1:1"}, "cross_site"),
    "fetch": ({"Sec-Fetch-Site": "cross-site"}, "cross_site"),
    "same site": ({"Sec-Fetch-Site": "same-site"}, "cross_site"),
    "image": ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, "cross_site"),
}


@pytest.mark.parametrize(("headers", "code"), SITES.values(), ids=SITES)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_other_site_may_ask(served, method, headers, code):
    path = GENERATE if method == "POST" else "/api/history"
    answer = served.http.request(method, path, json={"run": "r0"} if method == "POST" else None, headers=headers)
    assert refused(answer, 403) == code


TYPES = [
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/octet-stream",
    "",
    "text/html",
    "application/xml",
]


@pytest.mark.parametrize("kind", TYPES)
def test_no_other_kind_of_body_is_read(served, kind):
    answer = served.http.post(GENERATE, content=b'{"run": "r0"}', headers={"Content-Type": kind})
    assert refused(answer, 415) == "unsupported_type"


def test_no_packed_body_is_read(served):
    packed = zlib.compress(b" " * 10**6)
    answer = served.http.post(GENERATE, content=packed, headers=JSON | {"Content-Encoding": "gzip"})
    assert refused(answer, 415) == "unsupported_type"


def raw(served, request: bytes, more: bytes = b"", seconds: float = 5.0) -> tuple[int, dict]:
    """(status, error) of what stands on the wire."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=seconds) as line:
        line.sendall(request.replace(b"HOST", b"Host: 127.0.0.1"))
        answer = b""
        try:
            for _ in range(200):
                if more:
                    line.sendall(more)
                line.settimeout(0.01 if more else seconds)
                try:
                    part = line.recv(65536)
                except TimeoutError:
                    continue
                answer += part
                if not part or b"}}" in answer:
                    break
        except OSError:  # it was cut while we went on sending
            pass
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body)["error"]) if head else (0, {"code": "cut"})


ENDLESS = b"10000\r\n" + b" " * 65536 + b"\r\n"
ODD, FOREIGN, LARGE = (400, "invalid_request"), (403, "wrong_host"), (413, "too_large")
POST = b"POST /api/generate HTTP/1.1\r\nHOST\r\nContent-Type: application/json\r\n"
WIRE = {
    "ten gigabytes declared": (POST + b"Content-Length: 10737418240\r\n\r\n", b"", LARGE),
    "chunks without end": (POST + b"Transfer-Encoding: chunked\r\n\r\n", ENDLESS, LARGE),
    "a body for a GET": (b"GET /health HTTP/1.1\r\nHOST\r\nContent-Length: 5\r\n\r\nhello", b"", LARGE),
    "no host": (b"GET /api/runs HTTP/1.0\r\n\r\n", b"", FOREIGN),
    "two hosts": (b"GET / HTTP/1.1\r\nHOST\r\nHost: evil\r\n\r\n", b"", ODD),
    "no http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"", ODD),
    "long headers": (b"GET / HTTP/1.1\r\nHOST\r\nX: " + b"a" * 100_000 + b"\r\n\r\n", b"", ODD),
    "many headers": (b"GET / HTTP/1.1\r\nHOST\r\n" + b"X: a\r\n" * 20_000 + b"\r\n", b"", ODD),
    "smuggled": (POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /", b"", ODD),
    "two lengths": (POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", b"", ODD),
    "negative length": (POST + b"Content-Length: -1\r\n\r\n", b"", ODD),
    "folded": (b"GET / HTTP/1.1\r\nHOST\r\n X: a\r\nY\x00: b\r\n\r\n", b"", ODD),
    "absolute": (b"GET http://evil.example/api/runs HTTP/1.1\r\nHOST\r\n\r\n", b"", (404, "not_found")),
    "connect": (b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHOST\r\n\r\n", b"", (404, "not_found")),
    "another method": (
        POST.replace(b"POST /api/generate", b"PUT /api/runs") + b"Content-Length: 0\r\n\r\n",
        b"",
        (405, "method_not_allowed"),
    ),
}


@pytest.mark.parametrize(("request_", "more", "wanted"), WIRE.values(), ids=WIRE)
def test_nothing_odd_on_the_wire_is_obeyed(served, request_, more, wanted):
    status, error = raw(served, request_, more)
    assert (status, error["code"]) == wanted or (more and status == 0)


def test_slow_headers_are_cut(served, monkeypatch):
    monkeypatch.setattr("figment.serve.connection.HEADER_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", served.port), timeout=5) as line:
        begun = time.monotonic()
        line.sendall(b"GET /health HTTP/1.1\r\n")
        line.settimeout(0.1)
        while time.monotonic() - begun < 4:
            try:
                if not line.recv(100):
                    break
            except TimeoutError:
                line.sendall(b"X: a\r\n")
            except OSError:
                break
        assert 0.4 < time.monotonic() - begun < 3
    assert served.http.get("/health").status_code == 200


def test_a_slow_body_is_cut(served, monkeypatch):
    monkeypatch.setattr("figment.serve.guard.BODY_SECONDS", 0.3)
    status, error = raw(served, POST + b"Content-Length: 50\r\n\r\n{")
    assert (status, error["code"]) == (408, "too_slow")


def test_all_bodies_together_have_a_budget(served, monkeypatch):
    monkeypatch.setattr("figment.serve.guard.BUDGET_BYTES", 1000)
    answer = served.http.post(GENERATE, content=b" " * 2000, headers=JSON)
    assert refused(answer, 503) == "busy" and answer.headers["retry-after"]
    assert refused(served.http.post(GENERATE, content=b"{}", headers=JSON), 400) == "invalid_request"
