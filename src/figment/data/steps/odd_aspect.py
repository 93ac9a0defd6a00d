"""Refuse pictures that are far longer than wide, or wider than long: banners, rules, strips.

Part of the data room. Off by default, because panoramas and scrolls are long and good. Of a long picture only the
middle is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 26
SUGGESTED = 4.0  # a dry run says what it would refuse


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    ratio: float | None = None
    """Refuse where the longer side is at least this many times the shorter; 4 is cautious."""

    def __post_init__(self):
        if self.ratio is not None:
            check_range("odd_aspect.ratio", self.ratio, 1, 1_000_000)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    if config.ratio is None:
        return record
    reason = judge(record.measured.looks, config.ratio)
    return Rejected(record.key, "odd_aspect", reason) if reason else record


def judge(looks: Mapping[str, Any], limit: float) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return f"odd aspect: its longer side is {looks['aspect']:g} times the shorter" if looks["aspect"] >= limit else None
