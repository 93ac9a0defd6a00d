"""CLIP: what a network sees that learnt which caption belongs to which photograph.

Radford et al., "Learning Transferable Visual Models From Natural Language Supervision" (2021); used for scores by
Jayasumana et al., "Rethinking FID: Towards a Better Evaluation Metric for Image Generation" (2024), with ViT-L/14 at
336 pixels, the default. Ports of that paper differ in whether features are scaled to length 1, so it is a setting here
and part of the extractor's name. Needs the extra `hub`; fetched only with `--features.download`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torch.nn import functional as F

from figment.core.pretrained import digest_of
from figment.features._hub import pretrained
from figment.features._resize import bicubic, colour_bytes, standardised

if TYPE_CHECKING:
    from figment.data.store import Store

# Of CLIP's own training pictures; Radford et al.'s repository.
MEAN, DEVIATION = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Config:
    """Which model, and whether only the direction of its features counts."""

    argument: str = "openai/clip-vit-large-patch14-336"
    """A folder that transformers saved, or a name on the hub."""
    normalize: bool = True
    """Scale each picture's features to length 1."""
    download: bool = False
    """Fetch the model from the hub where it is not here."""


@dataclass(frozen=True)
class Clip:
    """The model of pictures alone, with its digest, made once."""

    network: Any
    normalize: bool
    digest: str

    @property
    def resize(self) -> str:
        return f"bicubic antialiased to {self.network.config.image_size}"

    @property
    def name(self) -> str:
        length = "length 1" if self.normalize else "as they are"
        return f"clip {self.digest[:8]}, projection, {self.network.config.projection_dim}, {length}, {self.resize}"

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D)"""
        pixels = bicubic(colour_bytes(images), self.network.config.image_size)
        embeds = self.network(pixel_values=standardised(pixels, MEAN, DEVIATION)).image_embeds
        return F.normalize(embeds, dim=1) if self.normalize else embeds


def load(config: Config, store: Store | None) -> Clip:
    """The vision half of the model, with its projection; `store` is not looked at.

    Raises MissingExtra without transformers, CheckpointError where there is no such model.
    """
    network = pretrained("clip", "CLIPVisionModelWithProjection", config.argument, download=config.download)
    return Clip(network, config.normalize, digest_of(network))
