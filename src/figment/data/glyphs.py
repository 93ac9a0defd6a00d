"""The data room: which characters a font has, from its `cmap` table (OpenType 1.9, formats 4 and 12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

# (platform, encoding) that speak Unicode, the fullest first; (3, 0) are symbols that nothing else names.
_UNICODE = ((3, 10), (0, 6), (0, 4), (3, 1), (0, 3), (0, 2), (0, 1), (0, 0))


def characters(font: bytes) -> list[int]:
    """Code points that the first face of a TTF, OTF or TTC file has a glyph for, in order.

    Raises ValueError where the file is no such font or has no Unicode.
    """
    try:
        table = font[_table(font, b"cmap") :]
        (number,) = struct.unpack_from(">H", table, 2)
        subtables = {}
        for place in range(number):
            platform, encoding, offset = struct.unpack_from(">HHI", table, 4 + 8 * place)
            subtables[platform, encoding] = offset
        offset = next((subtables[kind] for kind in _UNICODE if kind in subtables), None)
        if offset is None:
            raise ValueError("says nothing of Unicode")
        form, read = struct.unpack_from(">H", table, offset)[0], {4: _segments, 12: _groups}
        if form not in read:
            raise ValueError(f"has a character table of format {form}; 4 and 12 are read")
        return sorted(set(read[form](table[offset:])))
    except struct.error:
        raise ValueError("ends in the middle of its tables") from None


def _table(font: bytes, tag: bytes) -> int:
    """Where a table begins."""
    start = struct.unpack_from(">I", font, 12)[0] if font[:4] == b"ttcf" else 0
    if font[start : start + 4] not in (b"\0\1\0\0", b"OTTO", b"true"):
        raise ValueError("is no TrueType or OpenType font")
    (number,) = struct.unpack_from(">H", font, start + 4)
    for place in range(number):
        name, _, offset, _ = struct.unpack_from(">4sIII", font, start + 12 + 16 * place)
        if name == tag:
            return offset
    raise ValueError("has no table of characters")


def _groups(table: bytes) -> Iterator[int]:
    """Format 12: runs of code points."""
    (number,) = struct.unpack_from(">I", table, 12)
    before = -1
    for place in range(number):
        first, last, glyph = struct.unpack_from(">III", table, 16 + 12 * place)
        if not before < first <= last <= 0x10FFFF:  # in order, or a small file could name more than there are
            raise ValueError("has a damaged table of characters")
        before = last
        yield from range(first + (glyph == 0), last + 1)


def _segments(table: bytes) -> Iterator[int]:
    """Format 4: segments of the first 65,536 code points, each with a shift or a list of glyphs; glyph 0 is none."""
    (twice,) = struct.unpack_from(">H", table, 6)
    number = twice // 2
    ends = struct.unpack_from(f">{number}H", table, 14)
    starts, shifts, offsets = (struct.unpack_from(f">{number}H", table, 16 + twice * row) for row in (1, 2, 3))
    if sum(max(0, last - first) for first, last in zip(starts, ends, strict=True)) > 0x10000:
        raise ValueError("has a damaged table of characters")
    for place, (first, last, shift, offset) in enumerate(zip(starts, ends, shifts, offsets, strict=True)):
        for code in range(first, min(last, 0xFFFE) + 1):
            glyph = code
            if offset:
                where = 16 + 3 * twice + 2 * place + offset + 2 * (code - first)
                (glyph,) = struct.unpack_from(">H", table, where)
            if (glyph + shift) % 65536 and (glyph or not offset):
                yield code
