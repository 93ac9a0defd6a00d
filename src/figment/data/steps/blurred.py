"""Refuse pictures without a sharp edge: out of focus, shaken, or enlarged from a thumbnail.

Part of the data room. Off by default, because fog, skies and soft drawings have none either. Sharpness is the variance
of the Laplacian over that of the brightness, at a longest side of 256, so that neither size nor contrast counts.
Pictures with a side below 64 are not judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 24
SUGGESTED = 0.003  # a dry run says what it would refuse
SMALLEST_SIDE = 64  # in smaller ones, sharp and blurred hardly differ


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    sharpness: float | None = None
    """Refuse where the sharpness is at most this; 0.003 is cautious."""

    def __post_init__(self):
        if self.sharpness is not None:
            check_range("blurred.sharpness", self.sharpness, 0, 100)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, or why it is refused."""
    if config.sharpness is None:
        return record
    reason = judge(record.measured.looks, config.sharpness)
    return Rejected(record.key, "blurred", reason) if reason else record


def judge(looks: Mapping[str, Any], limit: float) -> str | None:
    """Why a picture of these looks (`figment.data.figures`) is refused, or None."""
    return (
        f"blurred: a sharpness of {looks['sharpness']:g}"
        if looks["side"] >= SMALLEST_SIDE and looks["sharpness"] <= limit
        else None
    )
