"""Refuse pictures of few values: placeholders, plain logos, empty pages.

Part of the data room. Off by default, because drawings, glyphs and digits have few values too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 25
SUGGESTED = 1.0  # a dry run says what it would refuse


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    bits: float | None = None
    """Refuse where the entropy of the histogram of brightness is at most this, in bits of 8; 1 is cautious."""

    def __post_init__(self):
        if self.bits is not None:
            check_range("low_entropy.bits", self.bits, 0, 8)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    if config.bits is None:
        return record
    reason = judge(record.measured.looks, config.bits)
    return Rejected(record.key, "low_entropy", reason) if reason else record


def judge(looks: Mapping[str, Any], limit: float) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return f"low entropy: {looks['entropy']:g} bits" if looks["entropy"] <= limit else None
