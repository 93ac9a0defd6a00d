"""The pixels themselves, reduced and standardised: what a score sees that knows nothing of pictures.

Each channel is measured in deviations from its mean over the dataset, where there is a dataset; pictures whose longer
side exceeds `side` are reduced to it by averaging areas. Good for finding exact and near copies, and as the plainest
comparison: what is nearest in pixels often looks quite different.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor
from torch.nn import functional as F

from figment.core.config import check_range
from figment.core.errors import ConfigError

if TYPE_CHECKING:
    from figment.data.store import Store


@dataclass(frozen=True)
class Config:
    """How much of a picture is kept."""

    argument: str = ""
    """Takes none."""
    side: int = 16
    """Longer side that larger pictures are reduced to; 0 leaves them as they are."""

    def __post_init__(self):
        if self.argument:
            raise ConfigError(f"pixels:{self.argument}: takes no argument; type --features pixels")
        check_range("features.side", self.side, 0, 4096)


@dataclass(frozen=True)
class Pixels:
    """Means and deviations are of values in [-1, 1], one a channel."""

    side: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"pixels {self.side} {self.mean} {self.deviation}".encode()).hexdigest()

    @property
    def resize(self) -> str:
        return f"area to {self.side}" if self.side else "native size"

    @property
    def name(self) -> str:
        return f"pixels {self.digest[:8]}, standardised, {self.resize}"

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C H' W')"""
        height, width = images.shape[2:]
        if self.side and max(height, width) > self.side:
            scale = self.side / max(height, width)
            images = F.interpolate(images, (max(1, round(height * scale)), max(1, round(width * scale))), mode="area")
        centre, spread = (images.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.deviation))
        return ((images - centre) / spread).flatten(1)


def load(config: Config, store: Store | None) -> Pixels:
    """Standardised by the dataset's own mean and deviation; without a dataset, pixels as they are."""
    if store is None:
        return Pixels(config.side, (0.0,), (1.0,))
    mean = tuple(value / 127.5 - 1 for value in store.card["mean"])
    deviation = tuple(max(value / 127.5, 1e-3) for value in store.card["deviation"])  # 0 where all pictures are flat
    return Pixels(config.side, mean, deviation)
