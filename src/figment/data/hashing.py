"""The data room: a 256-bit hash of what a picture looks like, and the search for hashes that are alike.

Two pictures that look the same have hashes that differ in few bits; unrelated ones differ in about half of them. The
hash is the signs of the low frequencies of a cosine transform, measured against their median, so that brightness and
contrast do not count (Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2,
with 256 bits in place of 64).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

import numpy as np

BITS = 256
CROP = 0.04  # share of each side: 2 % at either edge
_SIDE = 64  # the picture is brought to this size
_BAND = 16  # frequencies of each direction, from the lowest that is not constant

_PARTS = 16  # of the hash, 16 bits each
_VALUES = 1 << 16
_FLAT_BELOW = 8192  # hashes; for fewer, comparing all of them is quicker
_AT_ONCE = 1 << 21  # pairs compared at once: about 200 MB


def perceptual_hashes(grey: np.ndarray) -> tuple[bytes, bytes, bytes]:
    """uint8 (H, W) -> the hashes of a picture, of its mirror image, and of its inner part; BITS / 8 bytes each.

    The inner part is CROP narrower: a copy with its edges cut off has that hash or one near it.
    """
    bands = [_band(grey), _band(inner(grey))]
    # Mirroring changes the sign of every odd horizontal frequency, and nothing else.
    bands.insert(1, bands[0] * np.where(np.arange(1, _BAND + 1) % 2, -1, 1))
    plain, mirrored, cropped = (np.packbits(band > np.median(band)).tobytes() for band in bands)
    return plain, mirrored, cropped


def inner(picture: np.ndarray) -> np.ndarray:
    """(H, W, ...) -> what is left of it when CROP is cut off, half of it at either edge; of the same size."""
    import cv2

    height, width = picture.shape[:2]
    scale, centre = 1 / (1 - CROP), ((width - 1) / 2, (height - 1) / 2)
    matrix = np.array([[scale, 0, (1 - scale) * centre[0]], [0, scale, (1 - scale) * centre[1]]])
    zoomed = cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return zoomed.reshape(picture.shape)


def _band(grey: np.ndarray) -> np.ndarray:
    """float32 (_BAND, _BAND): the low frequencies, without those that are constant in a direction."""
    import cv2

    way = cv2.INTER_AREA if min(grey.shape) >= _SIDE else cv2.INTER_LINEAR
    small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=way).astype(np.float32)
    return cv2.dct(small)[1 : _BAND + 1, 1 : _BAND + 1]


def alike(queries: np.ndarray, hashes: np.ndarray, radius: int) -> Iterator[np.ndarray]:
    """Pairs of rows of `queries` and `hashes`, uint8 (N, 32) both, that differ in at most `radius` bits; all of them.

    Yields int64 (M, 3) arrays: row of queries, another row of hashes (a larger one, where queries is hashes), bits.
    """
    words = [np.ascontiguousarray(one).view(np.uint64) for one in (queries, hashes)]
    for pairs in _flat(len(hashes)) if len(hashes) < _FLAT_BELOW else _indexed(queries, hashes, radius):
        wanted = pairs[0] < pairs[1] if queries is hashes else pairs[0] != pairs[1]
        left, right = pairs[0][wanted], pairs[1][wanted]
        bits = np.bitwise_count(words[0][left] ^ words[1][right]).sum(1, dtype=np.int64)
        near = bits <= radius
        if near.any():
            yield np.stack([left[near], right[near], bits[near]], axis=1)


def _flat(number: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair of rows."""
    rows = max(1, _AT_ONCE // max(1, number))
    for start in range(0, number, rows):
        left, right = np.mgrid[start : min(start + rows, number), :number]
        yield left.ravel(), right.ravel()


def _indexed(queries: np.ndarray, hashes: np.ndarray, radius: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Every pair that can be near, each once, and some that are not.

    Hashes within `radius` bits of each other have a part of 16 bits in which they differ by radius // 16 at most
    (Norouzi, Punjani, Fleet 2012, "Fast search in Hamming space with multi-index hashing", proposition 1).
    """
    flips = radius // _PARTS
    left_parts, right_parts = _parts(queries), _parts(hashes)
    for part in range(_PARTS):
        order = np.argsort(right_parts[:, part], kind="stable")
        starts = np.searchsorted(right_parts[order, part], np.arange(_VALUES + 1))
        for mask in _masks(flips):
            wanted = left_parts[:, part] ^ np.uint16(mask)
            counts = starts[wanted.astype(np.int64) + 1] - starts[wanted]
            for rows in _slices(counts):
                number = counts[rows]
                left = np.repeat(np.arange(rows.start, rows.stop), number)
                within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
                right = order[starts[wanted[left]] + within]
                yield _found_here_first(left, right, left_parts, right_parts, part, flips)


def _found_here_first(
    left: np.ndarray, right: np.ndarray, left_parts: np.ndarray, right_parts: np.ndarray, part: int, flips: int
) -> tuple[np.ndarray, np.ndarray]:
    """The pairs that no earlier part has found."""
    earlier = np.bitwise_count(left_parts[left, :part] ^ right_parts[right, :part]) <= flips
    is_new = ~earlier.any(1)
    return left[is_new], right[is_new]


def _parts(hashes: np.ndarray) -> np.ndarray:
    """uint16 (N, 16): each part takes bits from all over the band, so that none is all low frequencies."""
    bits = np.unpackbits(hashes, axis=1).reshape(-1, _PARTS, BITS // _PARTS).swapaxes(1, 2)
    packed = np.packbits(np.ascontiguousarray(bits).reshape(-1, BITS), axis=1)
    return packed.view(np.uint16)


def _masks(flips: int) -> list[int]:
    """Every way to flip at most so many of 16 bits."""
    return [sum(1 << bit for bit in bits) for number in range(flips + 1) for bits in combinations(range(16), number)]


def _slices(counts: np.ndarray) -> Iterator[slice]:
    """Rows in a row whose counts come to about _AT_ONCE."""
    ends = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _AT_ONCE, side="right")))
        yield slice(start, stop)
        start = stop
