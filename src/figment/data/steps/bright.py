"""Refuse pictures that are overexposed: almost all white.

Part of the data room. Off by default, because snow, paper and products on white are bright and good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 23
SUGGESTED = 235.0  # a dry run says what it would refuse


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    darkest: float | None = None
    """Refuse where 99 of 100 pixels are no darker than this, of 255; 235 is cautious."""

    def __post_init__(self):
        if self.darkest is not None:
            check_range("bright.darkest", self.darkest, 0, 255)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    if config.darkest is None:
        return record
    reason = judge(record.measured.looks, config.darkest)
    return Rejected(record.key, "bright", reason) if reason else record


def judge(looks: Mapping[str, Any], limit: float) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return (
        f"bright: 99 of 100 pixels are at least {looks['brightness'][0]:g} of 255"
        if looks["brightness"][0] >= limit
        else None
    )
