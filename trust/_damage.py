"""What disks, copies and downloads do to files: a bit, a block, an end, the content of another file."""

from __future__ import annotations

import random
from pathlib import Path

MOST_BLOCK = 512
MAY_BE_ABSENT = ("sampling.json",)  # of a model that was never tuned


def damage(path: Path, choose: random.Random, others: list[Path]) -> str:
    """Damage a file, or exchange it with one of some others; in words, what was done."""
    data = bytearray(path.read_bytes())
    way = choose.choice((_flip, _flip, _change, _cut, _zero, _exchange, _append, _replace))
    how = way(path, data, choose, others)
    if how is None:
        path.unlink()
        return "deleted"
    path.write_bytes(data)
    return how


def _place(data: bytearray, choose: random.Random) -> tuple[int, int]:
    """(first byte, number of bytes) of a block."""
    start = choose.randrange(max(1, len(data)))
    return start, choose.randint(1, MOST_BLOCK)


def _flip(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str:
    place, bit = choose.randrange(len(data)), choose.randrange(8)
    data[place] ^= 1 << bit
    return f"bit {bit} of byte {place} flipped"


def _change(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str:
    place, value = choose.randrange(len(data)), choose.randrange(256)
    data[place] = value
    return f"byte {place} set to {value}"


def _cut(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str:
    length = choose.randrange(len(data))
    del data[length:]
    return f"cut off after {length} bytes"


def _zero(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str:
    start, length = _place(data, choose)
    data[start : start + length] = bytes(len(data[start : start + length]))
    return f"{length} bytes from {start} zeroed"


def _exchange(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str:
    length = choose.randint(1, max(1, min(MOST_BLOCK, len(data) // 2)))
    first, second = (choose.randrange(len(data) // length) * length for _ in range(2))
    one, other = data[first : first + length], data[second : second + length]
    data[first : first + length], data[second : second + length] = other, one
    return f"{length} bytes at {first} and {second} exchanged"


def _append(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str:
    more = choose.randbytes(choose.randint(1, MOST_BLOCK))
    data += more
    return f"{len(more)} bytes added"


def _replace(path: Path, data: bytearray, choose: random.Random, others: list[Path]) -> str | None:
    """Emptied, deleted, or with the content of another file, preferably of the same name."""
    alike = [other for other in others if other.suffix == path.suffix] or others
    other = choose.choice(alike)
    how = choose.choice(("emptied", "deleted", f"replaced by {other.name}"))
    if how == "deleted" and path.name not in MAY_BE_ABSENT:
        return None
    data[:] = other.read_bytes() if how.startswith("replaced") else b""
    return how
