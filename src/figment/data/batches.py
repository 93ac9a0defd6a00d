"""Training batches as a function of the step: shuffled, augmented, seekable, with no state to lose."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from figment.core.augment import augment
from figment.core.config import Augment
from figment.core.images import to_float
from figment.core.noise import mix
from figment.core.types import Batch, Condition
from figment.data.store import Store


class Batches:
    """Batches of one split of a dataset.

    The pictures of all epochs form one endless sequence, each epoch a permutation of its own, drawn from (seed, epoch);
    step s takes the s-th run of `batch_size` from it. A dataset smaller than a batch simply repeats within one.
    """

    def __init__(self, store: Store, split: str, batch_size: int, *, seed: int = 0, augment: Augment = Augment()):
        self.images = store.images(split)
        self.labels = store.labels(split) if store.spec.classes else None
        self.attributes = store.attributes(split) if store.spec.attributes else None
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self._permutation = lru_cache(maxsize=2)(self._draw_permutation)

    def __len__(self) -> int:
        """Pictures in the split."""
        return len(self.images)

    def batch_at(self, step: int) -> Batch:
        """The batch of a training step."""
        position = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, places = position // len(self), position % len(self)
        rows = np.empty_like(position)
        for epoch in range(epochs[0], epochs[-1] + 1):
            here = epochs == epoch
            rows[here] = self._permutation(epoch)[places[here]]
        batch = self.take(rows)
        images = augment(batch.images, self.augment, seed=self.seed, epochs=epochs, indices=rows)
        return Batch(images, batch.condition)

    def take(self, rows: np.ndarray) -> Batch:
        """The pictures of some rows of the split, unchanged."""
        condition = Condition(
            labels=None if self.labels is None else torch.from_numpy(self.labels[rows]),
            attributes=None if self.attributes is None else torch.from_numpy(self.attributes[rows]),
        )
        return Batch(to_float(self.images[rows]), condition)

    def _draw_permutation(self, epoch: int) -> np.ndarray:
        return np.random.Generator(np.random.Philox(mix(self.seed, epoch))).permutation(len(self))
