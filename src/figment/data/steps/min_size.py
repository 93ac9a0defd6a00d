"""Refuse pictures that are too small to show anything: thumbnails, spacers and tracking pixels.

Part of the data room.
"""

from __future__ import annotations

from dataclasses import dataclass

from figment.core.config import check_range
from figment.core.types import Record, Rejected

ORDER = 20


@dataclass(frozen=True)
class Config:
    """What counts as too small."""

    pixels: int = 8
    """Smallest length of the shorter side."""

    def __post_init__(self):
        check_range("min_size.pixels", self.pixels, 1)


def mend(record: Record, config: Config) -> Record | Rejected:
    """The record as it is, where both sides of its image, uint8 (H, W, C) or (T, H, W, C), are long enough."""
    height, width = record.image.shape[-3:-1]  # type: ignore[union-attr]
    if min(height, width) < config.pixels:
        return Rejected(record.key, "min_size", f"{height}x{width} is smaller than {config.pixels} pixels")
    return record
