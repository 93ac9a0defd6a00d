"""Refuse pictures that show nothing: all of one value.

Part of the data room. On by default, because nothing can be learnt from such a picture, and no picture that shows
something is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 21


@dataclass(frozen=True)
class Config:
    """What counts as blank."""

    range: int = 2
    """Refuse where no channel's darkest and brightest pixel differ by more than this, of 255."""

    def __post_init__(self):
        check_range("blank.range", self.range, 0, 255)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    reason = judge(record.measured.looks, config.range)
    return Rejected(record.key, "blank", reason) if reason else record


def judge(looks: Mapping[str, Any], most: int) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return f"blank: its values differ by {looks['range']} of 255 at most" if looks["range"] <= most else None
