"""DINOv2: what a network sees that taught itself on 142 million photographs, without labels.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision" (2023); proposed for scores by Stein et al.,
"Exposing Flaws of Generative Model Evaluation Metrics" (2023), whose setting is the default: ViT-L/14, 224 pixels,
the class token. Needs the extra `hub`. Give a folder, `dino:FOLDER`, or a name on the hub; it is fetched only with
`--features.download`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor

from figment.core.config import check_range
from figment.core.pretrained import digest_of
from figment.features._hub import pretrained
from figment.features._resize import bicubic, colour_bytes, standardised

if TYPE_CHECKING:
    from figment.data.store import Store

# Of ImageNet, as in the DINOv2 repository's evaluation.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Config:
    """Which model, and how large pictures are made for it."""

    argument: str = "facebook/dinov2-large"
    """A folder that transformers saved, or a name on the hub."""
    size: int = 224
    """Side that pictures are brought to, by bicubic antialiased resizing: a multiple of the model's patches."""
    download: bool = False
    """Fetch the model from the hub where it is not here."""

    def __post_init__(self):
        check_range("features.size", self.size, 14, 2048)


@dataclass(frozen=True)
class Dino:
    """The model with its digest, made once."""

    network: Any
    size: int
    digest: str

    @property
    def resize(self) -> str:
        return f"bicubic antialiased to {self.size}"

    @property
    def name(self) -> str:
        return f"dino {self.digest[:8]}, class token, {self.network.config.hidden_size}, {self.resize}"

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D)"""
        pixels = standardised(bicubic(colour_bytes(images), self.size), MEAN, DEVIATION)
        return self.network(pixel_values=pixels).pooler_output


def load(config: Config, store: Store | None) -> Dino:
    """The model of transformers; `store` is not looked at.

    Raises MissingExtra without transformers, CheckpointError where there is no such model.
    """
    network = pretrained("dino", "Dinov2Model", config.argument, download=config.download)
    return Dino(network, config.size, digest_of(network))
