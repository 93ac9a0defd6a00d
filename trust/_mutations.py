"""Valid files, spoilt: by a few bytes, by one value of their JSON, or replaced by something else altogether."""

from __future__ import annotations

import gzip
import io
import json
import math
import os
import pickle
import random
import zipfile
from typing import Any

from tests.e2e.test_hostile import MUTATIONS

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**31, 2**63, 10**30, math.inf, math.nan, -0.0),
    *("", "x", "x" * 5000, "../../x", "/etc/passwd", "\0", "a\nb", "\ud800", "9" * 5000, "1e400"),
    *([], [[]], [1, "x"], {}, {"a": {}}, [[1]] * 3),
)


class Trap:
    """Runs a program as soon as it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def _packed() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Trap()))
    return buffer.getvalue()


# What is given to every reader as it is, whatever it expects.
STRANGERS: tuple[bytes, ...] = (
    *(b"", b"\0", b"\xff" * 64, b"[" * 100_000, b'{"a":' * 100_000, b"{}", b"[]", b"null", b"1e999", b'"x"'),
    *(pickle.dumps(Trap(), protocol) for protocol in (0, 2, 5)),
    *(gzip.compress(bytes(1 << 22)), gzip.compress(pickle.dumps(Trap())), _packed()),
    *(b"<html><script>alert(1)</script></html>", b"MZ" + bytes(200), b"\x7fELF" + bytes(200), b"%PDF-1.7\n"),
)


def spoilt(content: bytes, choose: random.Random) -> bytes:
    """A file with one to three mutations; where it is JSON, half the time with one odd value."""
    if content[:1] in (b"{", b"[") and choose.random() < 0.5:
        return _with_odd_value(content, choose)
    for mutate in choose.choices(MUTATIONS, k=choose.choice((1, 1, 2, 3))):
        content = mutate(content, choose) or b"\0"
    return content


def _with_odd_value(content: bytes, choose: random.Random) -> bytes:
    """JSON, or lines of it, in which one value is replaced or left out."""
    lines = content.decode().splitlines() if b"\n{" in content else [content.decode()]
    place = choose.randrange(len(lines))
    value = [json.loads(lines[place])]
    holders = list(_holders(value))
    holder = choose.choice(holders)
    key = choose.choice(list(holder) if isinstance(holder, dict) else range(len(holder)))
    if choose.random() < 0.2 and holder is not value:
        del holder[key]
    else:
        holder[key] = choose.choice(ODD)
    lines[place] = json.dumps(value[0])
    return "\n".join(lines).encode()


def _holders(value: Any) -> Any:
    """Every list and object in a JSON value that holds something."""
    if isinstance(value, dict | list) and value:
        yield value
        for one in value.values() if isinstance(value, dict) else value:
            yield from _holders(one)
