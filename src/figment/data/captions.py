"""The data room: captions as models see them, a row of UTF-8 bytes each: any language, and no vocabulary."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

_SIDE = re.compile(r"\b(left|right)\b|[左右]", re.IGNORECASE)

MAX_BYTES = 256  # of a caption that a model sees; what is longer is cut


def encode_captions(texts: Sequence[str], length: int) -> np.ndarray:
    """N texts -> uint8 (N, length), padded with 0; a text that is too long is cut before a whole character.

    An empty text is a row of zeros, which means "not given".

    >>> encode_captions(["ab", "", "猫猫"], 4).tolist()
    [[97, 98, 0, 0], [0, 0, 0, 0], [231, 140, 171, 0]]
    """
    rows = [_cut(text.replace("\0", "").encode("utf-8", "replace"), length) for text in texts]
    return np.frombuffer(b"".join(row.ljust(length, b"\0") for row in rows), np.uint8).reshape(len(rows), length)


def decode_captions(rows: np.ndarray) -> list[str]:
    """uint8 (N, L) -> the texts that `encode_captions` was given, as far as they fitted.

    >>> decode_captions(encode_captions(["ab", ""], 4))
    ['ab', '']
    """
    return [row.tobytes().rstrip(b"\0").decode("utf-8", "replace") for row in np.ascontiguousarray(rows)]


def told_side(captions: Iterable[Sequence[str]]) -> str | None:
    """The first caption that speaks of left or right, which mirroring would make untrue; None where none does."""
    return next((text for texts in captions for text in texts if _SIDE.search(text)), None)


def _cut(content: bytes, length: int) -> bytes:
    """The first bytes of a text, at most `length`, that end with a whole character."""
    if len(content) > length:
        while length and content[length] & 0xC0 == 0x80:  # the byte after the cut continues a character
            length -= 1
    return content[:length]


@dataclass(frozen=True)
class CaptionTable:
    """The captions of many pictures, packed: those of picture i are rows starts[i] to starts[i + 1].

    rows: uint8 (captions, L). starts: int64 (N + 1,).
    """

    rows: np.ndarray
    starts: np.ndarray

    @classmethod
    def of(cls, captions: Sequence[Sequence[str]], length: int) -> CaptionTable:
        """captions: of each picture, maybe none."""
        starts = np.cumsum([0, *(len(texts) for texts in captions)], dtype=np.int64)
        return cls(encode_captions([text for texts in captions for text in texts], length), starts)

    def pick(self, pictures: np.ndarray, draw: np.ndarray) -> np.ndarray:
        """One caption of each picture, by a number in [0, 1); zeros for a picture that has none.

        pictures: (B,) integers. draw: (B,). Returns uint8 (B, L).
        """
        first, count = self.starts[pictures], np.diff(self.starts)[pictures]
        chosen = np.zeros((len(pictures), self.rows.shape[1]), np.uint8)
        is_told = count > 0
        chosen[is_told] = self.rows[(first + np.floor(draw * count).astype(np.int64))[is_told]]
        return chosen
