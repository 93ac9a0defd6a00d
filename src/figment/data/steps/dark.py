"""Refuse pictures that are too dark to make anything out.

Part of the data room. Off by default, because nights, stars and X-rays are dark and good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 22
SUGGESTED = 20.0  # a dry run says what it would refuse


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    brightest: float | None = None
    """Refuse where 99 of 100 pixels are no brighter than this, of 255; 20 is cautious."""

    def __post_init__(self):
        if self.brightest is not None:
            check_range("dark.brightest", self.brightest, 0, 255)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    if config.brightest is None:
        return record
    reason = judge(record.measured.looks, config.brightest)
    return Rejected(record.key, "dark", reason) if reason else record


def judge(looks: Mapping[str, Any], limit: float) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return (
        f"dark: 99 of 100 pixels are at most {looks['brightness'][2]:g} of 255"
        if looks["brightness"][2] <= limit
        else None
    )
