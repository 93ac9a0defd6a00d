"""The nouns that every room shares: records, specs, conditions, batches, losses, phases, samples and capabilities.

Shape letters, used everywhere: B batch, C channels, H W pixels, T frames, K classes, A attributes, L caption bytes,
N images, D features. Images are float32 in [-1, 1], (B, C, H, W); only `figment.data` and `core/images.py` see uint8.

This file does not import torch, so that help texts and data workers start quickly.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

Progress = Callable[[int, int], None]  # told of (done, total) units of work


def silent(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Record:
    """One picture on its way from a source to the store.

    image: encoded file bytes as the source found them, or pixels: uint8 (H, W, C) or (T, H, W, C). The `decode` step
        turns the first into the second.
    label: name of the class, or None. split: "train", "val" or "test" where the source brings one, or None.
    pair: the other half of a paired picture, in the same form as `image`.
    key: unique and stable within its source, such as "train/3/0001.png".
    origin: where it came from ("path", "licence", "url", ...), kept in the index.
    measured: what the `decode` step measured of it, a `figment.data.figures.Figures`; None before.
    """

    image: bytes | np.ndarray
    key: str
    label: str | None = None
    split: str | None = None
    attributes: Mapping[str, float] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    pair: bytes | np.ndarray | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    measured: Any = None


@dataclass(frozen=True)
class Rejected:
    """A picture that a step refused: its key, the step, and a reason that a person can act on."""

    key: str
    step: str
    reason: str


@dataclass(frozen=True)
class ImageSpec:
    """What the pictures of a dataset are, and so what a model must take and give."""

    channels: int
    height: int
    width: int
    classes: tuple[str, ...] = ()
    attributes: tuple[str, ...] = ()
    frames: int = 1
    caption_bytes: int = 0
    paired: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)"""
        return self.channels, self.height, self.width

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def __str__(self) -> str:
        size = f"{self.height}x{self.width}x{self.channels}"
        size = f"{self.frames} frames of {size}" if self.frames > 1 else f"pairs of {size}" if self.paired else size
        return f"{size}, {self.num_classes} classes" if self.classes else f"{size}, no labels"


@dataclass(frozen=True)
class Condition:
    """What a picture is asked to show. A part that is None everywhere, or "not given" in a row, leaves it open.

    labels: (B,) int64, -1 = not given. attributes: (B, A) float32, NaN = not given. captions: (B, L) uint8, UTF-8
    bytes padded with 0, a zero row = not given. image: (B, C, H, W), the other half of a pair.
    """

    labels: Tensor | None = None
    attributes: Tensor | None = None
    captions: Tensor | None = None
    image: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Condition:
        """The condition with `change` applied to every part that is there."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: change(value) for name, value in parts.items() if value is not None})

    def __getitem__(self, rows: Any) -> Condition:
        return self.map(lambda part: part[rows])


@dataclass(frozen=True)
class Batch:
    """images: float32 in [-1, 1], (B, C, H, W) or (B, T, C, H, W), with the condition that describes them."""

    images: Tensor
    condition: Condition = Condition()

    def __getitem__(self, rows: Any) -> Batch:
        return Batch(self.images[rows], self.condition[rows])

    def __len__(self) -> int:
        return len(self.images)

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(change(self.images), self.condition.map(change))


@dataclass(frozen=True)
class Loss:
    """terms: weighted scalar tensors, whose sum training minimises. stats: scalars that are only logged."""

    terms: Mapping[str, Tensor]
    stats: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class PhaseOptimizer:
    """What a phase's optimizer does differently from the run's own settings; None leaves the setting alone."""

    lr: float | None = None
    betas: tuple[float, float] | None = None


@dataclass(frozen=True)
class Phase:
    """One gradient step on some of the weights.

    updates: submodules (dotted names within the objective) that alone may move. Phases with equal `updates` share one
    optimizer. every: take it at steps divisible by this. gain: multiplies the loss (lazy R1 is every=16, gain=16).
    """

    name: str
    updates: tuple[str, ...]
    loss: Callable[[Batch], Loss]
    every: int = 1
    gain: float = 1.0
    optimizer: PhaseOptimizer = PhaseOptimizer()


@dataclass(frozen=True)
class Sample:
    """One side of a score: features (N, D) float; logits (N, K); labels (N,) int64, -1 = unknown; images uint8
    (N, H, W, C); spatial: flattened features of places (N, P); bits: bits per dimension (N,)."""

    features: np.ndarray
    logits: np.ndarray | None = None
    labels: np.ndarray | None = None
    images: np.ndarray | None = None
    spatial: np.ndarray | None = None
    bits: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, rows: Any) -> Sample:
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return replace(self, **{name: value[rows] for name, value in parts.items() if value is not None})


# Capabilities: what a model can do. Structural: a model has one by having its methods. An edit or metric asks for
# these and may not invent another.


@runtime_checkable
class Generates(Protocol):
    """Noise in, pictures out; row i of the answer depends on row i of the arguments only."""

    def noise_shape(self) -> tuple[int, ...]:
        """Shape of one picture's noise, without B."""
        ...

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        """(B, *noise_shape) standard normal -> (B, C, H, W) in [-1, 1]. `settings`: the family's Sampling, or None."""
        ...


@runtime_checkable
class Denoises(Protocol):
    """Knows the clean picture behind a noisy one: noisy = clean + sigma * standard normal noise."""

    sigma_min: float
    sigma_max: float

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """noisy (B, C, H, W), sigma (B,) in units of [-1, 1] images -> estimate of the clean image, (B, C, H, W)."""
        ...


@runtime_checkable
class Jumps(Protocol):
    """Knows in one pass where the way out of noise ends, from any place on it."""

    sigma_max: float

    def end(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """noisy (B, C, H, W), sigma (B,) in units of [-1, 1] images -> the clean picture that it becomes, same shape.

        What `denoise` answers is the mean of all pictures that may lie behind the noise; this is one of them.
        """
        ...


@runtime_checkable
class Encodes(Protocol):
    """Images to latents and back; latents (B, ...) are deterministic."""

    def encode(self, images: Tensor) -> Tensor: ...

    def decode(self, latents: Tensor) -> Tensor: ...


@runtime_checkable
class Tokenizes(Protocol):
    """Images to sequences of codes in [0, vocabulary), (B, tokens) int64, and back."""

    vocabulary: int

    def tokenize(self, images: Tensor) -> Tensor: ...

    def detokenize(self, tokens: Tensor) -> Tensor: ...


@runtime_checkable
class Maps(Protocol):
    """Noise to an intermediate latent w, and w to pictures."""

    def map(self, noise: Tensor, condition: Condition | None = None) -> Tensor: ...

    def synthesize(self, w: Tensor) -> Tensor: ...


@runtime_checkable
class Translates(Protocol):
    """Pictures to other pictures of the same size: the other half of a pair, or another class."""

    def translate(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W) in [-1, 1]; row i depends on row i of the arguments only."""
        ...


@runtime_checkable
class Classifies(Protocol):
    def classify(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)"""
        ...


@runtime_checkable
class Embeds(Protocol):
    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D)"""
        ...


@runtime_checkable
class Scores(Protocol):
    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """(B, C, H, W) -> (B,), bits for each colour value of an 8-bit picture"""
        ...


@runtime_checkable
class Continues(Protocol):
    def continue_from(self, frames: Tensor, noise: Tensor, steps: int) -> Tensor:
        """(B, T, C, H, W) -> the next `steps` frames, (B, steps, C, H, W)"""
        ...


@runtime_checkable
class Completes(Protocol):
    def complete(
        self, images: Tensor, known: Tensor, noise: Tensor, condition: Condition | None = None, settings: Any = None
    ) -> Tensor:
        """Pictures (B, C, H, W) of which only a part is known, with the rest drawn to match, in the same shape.

        known: bool, (H, W) or any shape that broadcasts to the pictures. noise: as for `generate`.
        """
        ...


@runtime_checkable
class Extractor(Protocol):
    """What scores look through: a plugin of `figment.features` loads one.

    Beside `features` it may have `classify`, (B, C, H, W) -> logits (B, K), and `spatial`, -> features of places
    (B, P). `classes`, the names of the K, lets labels be compared with logits. A row of the answers depends on that row
    of the pictures alone.
    """

    @property
    def name(self) -> str:
        """What a score quotes: plugin, digest of the weights, layer, width and resize; its first word is the plugin."""
        ...

    @property
    def digest(self) -> str:
        """Of the weights, and of whatever else decides the features."""
        ...

    @property
    def resize(self) -> str:
        """How pictures are brought to the size that is looked at."""
        ...

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D)"""
        ...


CAPABILITIES: tuple[type, ...] = (
    Generates,
    Denoises,
    Encodes,
    Tokenizes,
    Maps,
    Translates,
    Classifies,
    Embeds,
    Scores,
    Continues,
    Completes,
)


def capabilities(model: object) -> tuple[str, ...]:
    """Names of the capabilities that `model` has, in the order of the table above."""
    return tuple(kind.__name__ for kind in CAPABILITIES if isinstance(model, kind))
