"""Training batches as a function of the step: shuffled, augmented, seekable, with no state to lose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from figment.core.augment import augment
from figment.core.config import Augment
from figment.core.images import to_float
from figment.core.noise import mix, uniform
from figment.core.types import Batch, Condition
from figment.data.captions import CaptionTable
from figment.data.store import Store

_CAPTION_STREAM = 3  # of the seed: which caption is shown must not depend on how the picture is changed


class Batches:
    """Batches of one split of a dataset.

    The pictures of all epochs form one endless sequence, each epoch a permutation of its own, drawn from (seed, epoch);
    step s takes the s-th run of `batch_size` from it. A dataset smaller than a batch simply repeats within one.
    """

    def __init__(self, store: Store, split: str, batch_size: int, *, seed: int = 0, augment: Augment = Augment()):
        spec = store.spec
        self.images = store.images(split)
        self.pairs = store.pairs(split) if spec.paired else None
        self.labels = store.labels(split) if spec.classes else None
        self.attributes = store.attributes(split) if spec.attributes else None
        self.captions = CaptionTable.of(store.captions(split), spec.caption_bytes) if spec.caption_bytes else None
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self._permutation = lru_cache(maxsize=2)(self._draw_permutation)

    def __len__(self) -> int:
        """Pictures in the split."""
        return len(self.images)

    def at(self, step: int) -> StepBatch:
        """The batch of a training step, to take slices from: none but their pictures are read."""
        return StepBatch(self, step)

    def batch_at(self, step: int, part: slice = slice(None)) -> Batch:
        """The batch of a training step, or a part of it; of several captions each epoch shows another."""
        position = np.arange(step * self.batch_size, (step + 1) * self.batch_size)[part]
        epochs, places = position // len(self), position % len(self)
        rows = np.empty_like(position)
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = epochs == epoch
            rows[here] = self._permutation(epoch)[places[here]]
        return self.shown(epochs, rows)

    def shown(self, epochs: np.ndarray, rows: np.ndarray) -> Batch:
        """The pictures of some rows of the split, as each is shown in its epoch: (B,), (B,)."""
        draw = uniform(mix(self.seed, _CAPTION_STREAM), epochs, rows, 1)[:, 0]
        return self._augmented(self._batch(rows, draw), epochs, rows)

    def take(self, rows: np.ndarray) -> Batch:
        """The pictures of some rows of the split, unchanged, each with its first caption."""
        return self._batch(rows, np.zeros(len(rows), np.float32))

    def _batch(self, rows: np.ndarray, draw: np.ndarray) -> Batch:
        """draw: (B,) in [0, 1), which picks one of several captions."""
        condition = Condition(
            labels=None if self.labels is None else torch.from_numpy(self.labels[rows]),
            attributes=None if self.attributes is None else torch.from_numpy(self.attributes[rows]),
            captions=None if self.captions is None else torch.from_numpy(self.captions.pick(rows, draw)),
            image=None if self.pairs is None else to_float(self.pairs[rows]),
        )
        return Batch(to_float(self.images[rows]), condition)

    def _augmented(self, batch: Batch, epochs: np.ndarray, rows: np.ndarray) -> Batch:
        """The batch changed at random: all frames of a sequence alike, and both halves of a pair."""
        if self.augment == Augment():
            return batch
        if batch.condition.image is not None:
            both = self._alike(torch.stack([batch.images, batch.condition.image], 1), epochs, rows)
            return Batch(both[:, 0], replace(batch.condition, image=both[:, 1]))
        if batch.images.ndim == 5:
            return Batch(self._alike(batch.images, epochs, rows), batch.condition)
        images = augment(batch.images, self.augment, seed=self.seed, epochs=epochs, indices=rows)
        return Batch(images, batch.condition)

    def _alike(self, images: Tensor, epochs: np.ndarray, rows: np.ndarray) -> Tensor:
        """(B, T, C, H, W) -> the same shape; a change follows from (seed, epoch, row) alone, which the frames share."""
        frames = images.shape[1]
        epochs, rows = epochs.repeat(frames), rows.repeat(frames)
        flat = augment(images.flatten(0, 1), self.augment, seed=self.seed, epochs=epochs, indices=rows)
        return flat.unflatten(0, (-1, frames))

    def _draw_permutation(self, epoch: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(mix(self.seed, epoch))).permutation(len(self))


@dataclass(frozen=True)
class StepBatch:
    """The batch of one step, of which every rank reads its own slices."""

    batches: Batches
    step: int

    def __len__(self) -> int:
        return self.batches.batch_size

    def __getitem__(self, part: slice) -> Batch:
        return self.batches.batch_at(self.step, part)
