"""Perceptual distance of pictures (LPIPS): how far apart they look to a network that was trained to name things.

    d(x, y) = sum_l mean_hw  w_l . (f_l(x) - f_l(y))^2

f_l are the activations of a layer, scaled to unit length over channels; w_l were fitted to people's judgements. Zhang,
Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (2018),
equation 1. This is its version 0.1 on AlexNet ("alex"), whose two published weight files must be at hand; random ones
mean nothing.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.errors import CheckpointError

# torchvision's AlexNet and the authors' w_l, by name, with their SHA-256.
BACKBONE, HEADS = "alexnet-owt-7be5be79.pth", "alex.pth"
PUBLISHED = {
    BACKBONE: "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    HEADS: "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
}
_SOURCES = {
    BACKBONE: "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    HEADS: "https://github.com/richzhang/PerceptualSimilarity/raw/master/lpips/weights/v0.1/alex.pth",
}

# Mean and deviation of ImageNet's pictures, for values in [-1, 1].
_SHIFT = (-0.030, -0.088, -0.188)
_SCALE = (0.458, 0.448, 0.450)

# Pictures must leave a pixel after the last pooling.
SMALLEST = 31


class Perceptual(nn.Module):
    """The distance itself, differentiable in both pictures; its own weights never learn."""

    shift: Tensor
    scale: Tensor

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(  # places and keys as in torchvision's AlexNet
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1, bias=False) for width in (64, 192, 384, 256, 256))
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1], C = 1 or 3 and H, W >= SMALLEST, twice -> (B,) distances; 0: they look the same."""
        layers = zip(self.heads, self._layers(first), self._layers(second), strict=True)
        return torch.stack([head((f_x - f_y).square()).mean((1, 2, 3)) for head, f_x, f_y in layers]).sum(0)

    def _layers(self, images: Tensor) -> Iterator[Tensor]:
        """Activations behind each ReLU, of unit length over channels."""
        hidden = (images.expand(-1, 3, -1, -1) - self.shift) / self.scale
        for layer in self.features:
            hidden = layer(hidden)
            if isinstance(layer, nn.ReLU):
                # vector_norm, because the gradient of a root is infinite where every channel is silent
                yield hidden / (torch.linalg.vector_norm(hidden, dim=1, keepdim=True) + 1e-10)


def feature_distance(features: Callable[[Tensor], Tensor], first: Tensor, second: Tensor) -> Tensor:
    """|f(x) - f(y)|^2 of features of unit length, averaged over pictures: 0 to 4, differentiable in `first` alone.

    features: (B, C, H, W) -> (B, D), of a network that may have learnt anything: a judge's. The equation above with the
    last layer alone, all of its channels alike.
    """
    with torch.no_grad():
        wanted = F.normalize(features(second).float(), dim=1)
    return (F.normalize(features(first).float(), dim=1) - wanted).square().sum(1).mean()


def load_perceptual(folder: Path, digests: Mapping[str, str] | None = None) -> Perceptual:
    """The network with the weights of BACKBONE and HEADS, two files in `folder`.

    digests: the SHA-256 that each must have, those of PUBLISHED by default; checked before a byte is unpickled.
    Raises CheckpointError where a file is missing, is another one, or does not fit.
    """
    backbone, heads = (_read(folder / name, (digests or PUBLISHED)[name]) for name in (BACKBONE, HEADS))
    weights = {key: value for key, value in backbone.items() if key.startswith("features.")}
    weights |= {key.replace("lin", "heads.").replace(".model.1.", "."): value for key, value in heads.items()}
    network = Perceptual()
    try:
        network.load_state_dict(weights)
    except RuntimeError:
        raise CheckpointError(f"{folder}: {BACKBONE} and {HEADS} do not hold an AlexNet and its five heads") from None
    return network.eval()


def _read(path: Path, digest: str) -> dict[str, Tensor]:
    """The tensors of a published weight file, if it is that file."""
    fetch = f"fetch it from {_SOURCES[path.name]}"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); {fetch}") from None
    found = hashlib.sha256(data).hexdigest()
    if found != digest:
        raise CheckpointError(f"{path}: has the SHA-256 {found[:16]}..., expected {digest[:16]}...; {fetch}")
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
