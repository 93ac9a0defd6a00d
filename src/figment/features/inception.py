"""The original Inception network of FID: its 2048 features, its 1008 classes and the places of its sixth block.

Heusel et al., "GANs Trained by a Two Time-Scale Update Rule" (2017). Only in these features is a Fréchet distance
called FID. The weights are not part of figment: give the file `pt_inception-2015-12-05-6726825d.pth` (96 MB) by its
path, as in `inception:FILE`, name it in the environment variable FIGMENT_INCEPTION, leave it where pytorch-fid keeps
it, or have it fetched with `--features.download`. Its SHA-256 is compared before a byte of it is unpickled.

Numbers of other papers were made with other resizes: `tf1` for those of TensorFlow and ADM, `torch` for pytorch-fid,
`clean` for clean-fid. A processor core sees about five pictures a second; what was seen of a dataset is kept.
"""

from __future__ import annotations

import hashlib
import io
import os
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from figment.core.errors import ConfigError, DataError
from figment.features._inception_net import WIDTH, InceptionNet
from figment.features._resize import Resize, colour_bytes, resized

if TYPE_CHECKING:
    from figment.data.store import Store

SIZE = 299
FILE = "pt_inception-2015-12-05-6726825d.pth"
DIGEST = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
ADDRESS = f"https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/{FILE}"
VARIABLE = "FIGMENT_INCEPTION"


@dataclass(frozen=True)
class Config:
    """Where the weights lie, and how pictures are brought to 299 x 299."""

    argument: str = ""
    """The file of weights; where it is not named, those places are searched that tools keep it in."""
    resize: Resize = "tf1"
    """tf1 as in the FID paper, torch as in pytorch-fid, clean as in clean-fid."""
    download: bool = False
    """Fetch the weights, 96 MB, where they are not found."""

    def __post_init__(self):
        if self.resize not in ("tf1", "torch", "clean"):
            raise ConfigError(f"--features.resize {self.resize}: give tf1, torch or clean")


@dataclass(frozen=True)
class Inception:
    """The network behind one of the resizes."""

    network: InceptionNet
    digest: str
    resize: Resize
    _seen: dict[str, tuple[Tensor, ...]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def name(self) -> str:
        return f"inception {self.digest[:8]}, pool3, {WIDTH}, resize {self.resize}"

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2048)"""
        return self._look(images)[0]

    def classify(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 1008)"""
        return self.network.logits(self._look(images)[0])

    def spatial(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 2023): 7 channels of 17 x 17 places."""
        return self._look(images)[1]

    def _look(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What the network makes of these pictures; it looks once, however much of that is then asked for."""
        if "images" not in self._seen or self._seen["images"][0] is not images:
            self._seen["images"] = (images,)
            self._seen["outputs"] = self.network(resized(colour_bytes(images), SIZE, self.resize))
        features, places = self._seen["outputs"]
        return features, places


def load(config: Config, store: Store | None) -> Inception:
    """The network with its published weights; `store` is not looked at.

    Raises ConfigError where the weights are not found, DataError where the file is not the published one.
    """
    path = _found(config)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != DIGEST:
        raise DataError(
            f"{path}: is not {FILE}: its SHA-256 begins with {digest[:8]}, not {DIGEST[:8]}; fetch it again"
        )
    weights = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    return Inception(network_of(weights), digest, config.resize)


def network_of(weights: dict[str, Tensor]) -> InceptionNet:
    """The network with these weights, ready to look."""
    network = InceptionNet()
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def _found(config: Config) -> Path:
    named = config.argument or os.environ.get(VARIABLE, "")
    if named and not Path(named).is_file():
        raise ConfigError(f"inception: {named}: no such file; give the path of {FILE}")
    if named:
        return Path(named)
    cache = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
    ours, theirs = cache / "figment/weights" / FILE, cache / "torch/hub/checkpoints" / FILE
    for place in (ours, theirs):
        if place.is_file():
            return place
    if not config.download:
        raise ConfigError(
            f"inception: {FILE} is neither in {ours.parent} nor in {theirs.parent}; give its path, --features "
            "inception:FILE, or have it fetched, 96 MB: --features.download"
        )
    return _fetched(ours)


def _fetched(place: Path) -> Path:
    """The published file, downloaded; a reader finds the whole of it or nothing."""
    place.parent.mkdir(parents=True, exist_ok=True)
    fresh = place.with_suffix(f".{os.getpid()}.tmp")
    try:
        with urllib.request.urlopen(ADDRESS, timeout=60) as answer:
            fresh.write_bytes(answer.read())
        fresh.replace(place)
    except urllib.error.URLError as error:
        raise ConfigError(f"{ADDRESS}: {error.reason}; fetch it elsewhere and give its path: inception:FILE") from None
    finally:
        fresh.unlink(missing_ok=True)
    return place
