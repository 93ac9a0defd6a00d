"""Whole numbers as few bytes: arithmetic coding, with frequencies that are learnt from what has come so far.

An interval of whole numbers is narrowed by each symbol to its share; what names the last one is the file. Both sides
count alike, in whole numbers alone, so a file is read the same on every machine. Witten, Neal and Cleary 1987,
"Arithmetic Coding for Data Compression", figures 1 and 3.

A writer and a reader have the same method: `symbol(frequencies, symbol)` writes one and gives it back, or reads one and
takes no notice of what it is given. So one function describes a format for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

BITS = 32
WHOLE, HALF, QUARTER = 1 << BITS, 1 << (BITS - 1), 1 << (BITS - 2)
MOST = 1 << 16  # total of the frequencies of one symbol; far below QUARTER, so that none has an empty share
GAIN = 2  # what a symbol that was seen counts more, beside a 1 that it begins with (Krichevsky and Trofimov 1981)
LONGEST = 32  # bits of a number


class Frequencies:
    """How often each of some symbols may be expected: as often as so far.

    counts: what each begins with, 1 at least. gain: what one that was seen counts more.
    """

    def __init__(self, counts: Sequence[int], gain: int = GAIN):
        self.counts, self.gain = np.array(counts, np.int64), gain
        assert self.counts.min() > 0 and self.counts.sum() <= MOST, counts

    def share(self, symbol: int) -> tuple[int, int, int]:
        """Where the share of a symbol begins and ends, and the total of all."""
        ends = self.counts.cumsum()
        return int(ends[symbol] - self.counts[symbol]), int(ends[symbol]), int(ends[-1])

    def at(self, place: int) -> int:
        """The symbol whose share a place in [0, total) lies in."""
        return int(np.searchsorted(self.counts.cumsum(), place, side="right"))

    def saw(self, symbol: int) -> None:
        self.counts[symbol] += self.gain
        if self.counts.sum() > MOST:
            self.counts = (self.counts + 1) // 2


class Coder(Protocol):
    """A Writer or a Reader."""

    def symbol(self, frequencies: Frequencies, symbol: int) -> int: ...


class Writer:
    """Symbols to bytes."""

    def __init__(self):
        self.low, self.high, self.waiting = 0, WHOLE - 1, 0
        self.bits: list[int] = []

    def symbol(self, frequencies: Frequencies, symbol: int) -> int:
        begin, end, total = frequencies.share(symbol)
        width = self.high - self.low + 1
        self.low, self.high = self.low + width * begin // total, self.low + width * end // total - 1
        while (shift := _settled(self.low, self.high)) is not None:
            if shift == QUARTER:
                self.waiting += 1  # which half it will be is not known yet; the bit after it is
            else:
                self._bit(int(shift == HALF))
            self.low, self.high = 2 * (self.low - shift), 2 * (self.high - shift) + 1
        frequencies.saw(symbol)
        return symbol

    def _bit(self, bit: int) -> None:
        self.bits += [bit, *[1 - bit] * self.waiting]
        self.waiting = 0

    def finished(self) -> bytes:
        """All that was written. Zeros at the end are left out: a reader finds them anyway."""
        self.waiting += 1
        self._bit(int(self.low >= QUARTER))
        return np.packbits(np.array(self.bits, np.uint8)).tobytes().rstrip(b"\0")


class Reader:
    """Bytes to symbols. It cannot know where they end: past it there are zeros."""

    def __init__(self, data: bytes):
        self.low, self.high = 0, WHOLE - 1
        self.bits = np.unpackbits(np.frombuffer(data, np.uint8)).tolist()
        self.next = BITS
        self.value = int.from_bytes(data[: BITS // 8].ljust(BITS // 8, b"\0"), "big")

    def symbol(self, frequencies: Frequencies, symbol: int = 0) -> int:
        width = self.high - self.low + 1
        total = int(frequencies.counts.sum())
        symbol = frequencies.at(((self.value - self.low + 1) * total - 1) // width)
        begin, end, _ = frequencies.share(symbol)
        self.low, self.high = self.low + width * begin // total, self.low + width * end // total - 1
        while (shift := _settled(self.low, self.high)) is not None:
            self.low, self.high = 2 * (self.low - shift), 2 * (self.high - shift) + 1
            self.value = 2 * (self.value - shift) + (self.bits[self.next] if self.next < len(self.bits) else 0)
            self.next += 1
        frequencies.saw(symbol)
        return symbol


def _settled(low: int, high: int) -> int | None:
    """What both ends have beyond the half of the whole that they lie in together, so that they may be doubled."""
    if high < HALF:
        return 0
    if low >= HALF:
        return HALF
    return QUARTER if low >= QUARTER and high < HALF + QUARTER else None


class Integers:
    """Whole numbers, of which small ones are likely at first: how long each is, its sign, and its bits.

    The Elias gamma code (Elias 1975), with every bit's frequency learnt.
    """

    def __init__(self):
        self.frequencies: defaultdict[tuple[str, int, int], Frequencies] = defaultdict(lambda: Frequencies((1, 1)))

    def code(self, coder: Coder, value: int = 0) -> int:
        """Write a number of less than LONGEST bits and give it back, or read one."""
        size, length = abs(value), 0
        while length < LONGEST and coder.symbol(self.frequencies["longer", length, 0], int(size.bit_length() > length)):
            length += 1
        if not length:
            return 0
        found = 1
        for place in reversed(range(length - 1)):
            found = 2 * found + coder.symbol(self.frequencies["bit", length, place], size >> place & 1)
        return -found if coder.symbol(self.frequencies["sign", 0, 0], int(value < 0)) else found
