"""Pictures to samples: one extraction feeds all metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from figment.core import ranks
from figment.core.checkpoint import LoadedModel
from figment.core.engine import Engine
from figment.core.images import to_float, to_uint8
from figment.core.noise import noise
from figment.core.types import (
    Batch,
    Condition,
    Embeds,
    Encodes,
    Extractor,
    ImageSpec,
    Progress,
    Sample,
    Scores,
    silent,
)
from figment.evaluate.cache import remembered
from figment.nets.embeddings import KINDS, told_spec

CHUNK = 64  # activations of a U-Net then stay in the cache: 1.7 times as fast as 256 on a CPU


@torch.no_grad()
def sample_of(
    pixels: np.ndarray,
    labels: np.ndarray | None,
    extractor: Embeds,
    *,
    spatial: bool = False,
    progress: Progress = silent,
) -> Sample:
    """uint8 (N, H, W, C) through the extractor, in float32 and in chunks that do not change a row's result.

    Logits come along where it has them, features of places only where they are asked for and it has them.
    """
    looks: dict[str, Callable[[Tensor], Tensor] | None] = {
        "features": extractor.features,
        "logits": getattr(extractor, "classify", None),
        "spatial": getattr(extractor, "spatial", None) if spatial else None,
    }
    parts: dict[str, list[np.ndarray]] = {part: [] for part, look in looks.items() if look}
    for low in range(0, len(pixels), CHUNK):
        images = to_float(pixels[low : low + CHUNK])
        for part, rows in parts.items():
            rows.append(looks[part](images).numpy())  # type: ignore[misc]
        progress(min(low + CHUNK, len(pixels)), len(pixels))
    return Sample(**{part: np.concatenate(rows) for part, rows in parts.items()}, labels=labels, images=pixels)


@dataclass(frozen=True)
class Eyes:
    """An extractor that remembers what it has seen, in `cache` if there is one; spatial: it looks at places too."""

    extractor: Extractor
    spatial: bool = False
    cache: Path | None = None

    def see(
        self, pixels: np.ndarray, labels: np.ndarray | None, key: Mapping[str, Any], progress: Progress = silent
    ) -> Sample:
        """uint8 (N, H, W, C) as a sample. key: what identifies these pixels."""
        facts = {**key, "extractor": [self.extractor.name, self.extractor.digest], "spatial": self.spatial}

        def look() -> Sample:
            seen = sample_of(pixels, None, self.extractor, spatial=self.spatial, progress=progress)
            return replace(seen, images=None)

        return replace(remembered(self.cache, facts, look), images=pixels, labels=labels)


@torch.no_grad()
def rebuilt(model: Encodes, pixels: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C) encoded and decoded again, the same shape."""
    chunks = (to_float(pixels[low : low + CHUNK]) for low in range(0, len(pixels), CHUNK))
    return np.concatenate([to_uint8(model.decode(model.encode(images))) for images in chunks])


@torch.no_grad()
def bits_of(model: Scores, pixels: np.ndarray, labels: np.ndarray | None, progress: Progress = silent) -> np.ndarray:
    """What the model needs for each picture of uint8 (N, H, W, C): bits per colour value, (N,)."""
    parts = []
    for low in range(0, len(pixels), CHUNK):
        rows = slice(low, low + CHUNK)
        condition = None if labels is None else Condition(labels=torch.from_numpy(labels[rows]))
        parts.append(model.bits_per_dim(to_float(pixels[rows]), condition).numpy())
        progress(min(low + CHUNK, len(pixels)), len(pixels))
    return np.concatenate(parts)


@torch.no_grad()
def generate(
    model: Any, seeds: Sequence[int], condition: Condition | None, settings: Any = None, engine: Engine | None = None
) -> Iterator[np.ndarray]:
    """Pictures of the seeds, chunk by chunk, uint8 (B, H, W, C), rounded as a PNG would hold them.

    engine: where and how the model computes; None for the CPU in float32.
    """
    for low in range(0, len(seeds), CHUNK):
        rows = slice(low, low + CHUNK)
        start, asked = noise(seeds[rows], model), None if condition is None else condition[rows]
        if engine is None:
            images = model.generate(start, asked, settings)
        else:
            placed = engine.put(Batch(start, asked or Condition()))
            with engine.arithmetic():
                images = model.generate(placed.images, placed.condition, settings)
        yield to_uint8(images)


def drawn(
    model: Any,
    seeds: Sequence[int],
    condition: Condition | None,
    settings: Any = None,
    engine: Engine | None = None,
    progress: Progress = silent,
) -> np.ndarray:
    """Pictures of the seeds, uint8 (N, H, W, C), on every rank: each draws its share of them."""
    mine = own_rows(len(seeds))
    chunks = generate(model, seeds[mine], None if condition is None else condition[mine], settings, engine)
    return gathered(chunks, progress, len(seeds[mine]))


def own_rows(count: int) -> slice:
    """This rank's part of so many pictures: whole chunks, for in other batches sums are rounded in another order."""
    chunks = ranks.share(-(-count // CHUNK))
    return slice(CHUNK * chunks.start, min(CHUNK * chunks.stop, count))


def asked_spec(loaded: LoadedModel) -> ImageSpec:
    """The spec of what a run can be asked for: a network need not be told all that its dataset has."""
    return told_spec(loaded.spec, getattr(loaded.settings, "told", KINDS))


def gathered(chunks: Iterable[np.ndarray], progress: Progress, total: int) -> np.ndarray:
    """The chunks of all ranks as one array; `progress(done, total)` is told after each of this rank's."""
    parts, done = [], 0
    for chunk in chunks:
        parts.append(chunk)
        done += len(chunk)
        progress(done, total)
    return np.concatenate(ranks.gathered(parts))
