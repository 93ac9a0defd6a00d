"""Refuse pictures that plain bars surround: screenshots, letter-boxed films, scans on a bed.

Part of the data room. Off by default, because objects on a plain ground have such borders, and digits always do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 27
SUGGESTED = 0.5  # a dry run says what it would refuse


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    share: float | None = None
    """Refuse where plain bars at the edges take at least this share of the area; 0.5 is cautious."""

    def __post_init__(self):
        if self.share is not None:
            check_range("borders.share", self.share, 0, 1)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    if config.share is None:
        return record
    reason = judge(record.measured.looks, config.share)
    return Rejected(record.key, "borders", reason) if reason else record


def judge(looks: Mapping[str, Any], limit: float) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return f"borders: plain bars take {looks['border']:.0%} of it" if looks["border"] >= limit else None
