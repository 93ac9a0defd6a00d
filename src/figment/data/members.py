"""The data room: what may come out of an archive, a zip or a tar alike, and what is refused and why."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from figment.data.layout import is_picture

MAX_MEMBERS = 5_000_000
MAX_MEMBER_BYTES = 256 * 2**20
MAX_RATIO = 500  # real pictures, even empty ones, do not shrink more; deflate ends at 1,032, xz near 7,000


@dataclass(frozen=True)
class Member:
    """One file of an archive. refusal: why it is not to be read. read: its bytes; ValueError where it is damaged."""

    key: str
    read: Callable[[], bytes]
    refusal: str | None = None


def member_key(name: str) -> str:
    """A member's name as a relative path that any database takes: bytes that are not UTF-8 are spelled with escapes."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return ("/" if name.startswith("/") else "") + "/".join(parts)


def is_candidate(key: str) -> bool:
    """Whether a member is named like a picture, or so hostile that it must be mentioned."""
    return refusal_of_name(key) is not None or is_picture(key.split("/"))


def refusal_of_name(key: str) -> str | None:
    """Why a member's path is refused; None for one that stays within the archive."""
    if key.startswith("/") or re.match(r"[A-Za-z]:", key):
        return "its path is absolute"
    if ".." in key and ".." in key.split("/"):
        return "its path leads out of the archive by '..'"
    return None


def refusal_of_size(num_bytes: int) -> str | None:
    """Why a member of so many unpacked bytes is refused; None for a sensible size."""
    return f"larger than {MAX_MEMBER_BYTES >> 20} MiB" if num_bytes > MAX_MEMBER_BYTES else None
