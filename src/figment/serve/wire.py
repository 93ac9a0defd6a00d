"""What passes between the process that speaks HTTP and the one that draws: JSON and raw bytes, never pickle.

4 bytes   length of the header, big-endian
header    a JSON object; its "blobs" are the lengths of what follows
blobs     bytes
"""

from __future__ import annotations

import json
import struct
from asyncio import StreamReader
from collections.abc import Callable, Sequence
from typing import Any

_LENGTH = struct.Struct(">I")

Message = tuple[dict[str, Any], list[bytes]]


def packed(header: dict[str, Any], blobs: Sequence[bytes] = ()) -> bytes:
    """A message as it travels."""
    text = json.dumps(header | {"blobs": [len(blob) for blob in blobs]}).encode()
    return b"".join([_LENGTH.pack(len(text)), text, *blobs])


async def received(reader: StreamReader) -> Message:
    """The next message.

    Raises asyncio.IncompleteReadError where the other side has gone.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    header = json.loads(await reader.readexactly(length))
    return header, [await reader.readexactly(size) for size in header.pop("blobs")]


def read(exactly: Callable[[int], bytes]) -> Message:
    """The next message, by a function that waits for so many bytes."""
    (length,) = _LENGTH.unpack(exactly(_LENGTH.size))
    header = json.loads(exactly(length))
    return header, [exactly(size) for size in header.pop("blobs")]
