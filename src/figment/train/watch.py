"""What a training looks at besides its own loss: the loss on held-out pictures, and a grid of samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from figment.core import ranks
from figment.core.config import TrainConfig
from figment.core.engine import seed_slice
from figment.core.errors import ConfigError
from figment.core.images import encode_png, grid, interleave, to_uint8
from figment.core.noise import noise
from figment.core.types import Batch, Condition, Continues, Encodes, Generates, ImageSpec, Translates
from figment.data.batches import Batches
from figment.data.store import Store, spread_rows
from figment.train.trainer import Trainer

VALIDATION_IMAGES = 1000
SAMPLES = 64


@torch.no_grad()
def held_out_loss(trainer: Trainer, batches: list[Batch]) -> float | None:
    """Mean loss of the averaged model, with the same noise every time; None where there is none to measure.

    Every rank measures some of the batches.
    """
    objective = trainer.objective
    if not batches or not objective.has_validation:
        return None
    trained, objective.model = objective.model, trainer.model
    objective.eval()
    sums = torch.zeros((), dtype=torch.float64)
    for index in range(len(batches))[ranks.share(len(batches))]:
        seed_slice(trainer.seed, 0, index)
        with trainer.engine.arithmetic():
            terms = objective.loss(trainer.engine.put(batches[index])).terms.values()
        sums += sum(float(term) for term in terms) * len(batches[index])
    objective.model = trained
    return float(ranks.total(sums)) / sum(len(batch) for batch in batches)


def held_out_batches(store: Store, train: TrainConfig) -> list[Batch]:
    """Up to VALIDATION_IMAGES held-out pictures, spread evenly over their split; none where nothing is held out.

    Raises ConfigError where their loss would steer the training and there are none, or only those that scores need.
    """
    split = "val" if store.counts.get("val") else store.held_out
    if (train.patience or train.score_every or train.schedule == "plateau") and not store.counts.get("val"):
        raise ConfigError(
            "--train.patience, --train.score-every and --train.schedule plateau need pictures of their own to watch: "
            f"figment data split {store.path} --val 0.05"
        )
    if not store.counts.get(split):
        return []
    batch_size, batches = train.batch_size, Batches(store, split, train.batch_size)
    rows = spread_rows(len(batches), VALIDATION_IMAGES)
    return [batches.take(rows[low : low + batch_size]) for low in range(0, len(rows), batch_size)]


def sample_condition(spec: ImageSpec, count: int, held_out: Sequence[Batch] = ()) -> Condition:
    """What the first held-out pictures show, where that is told in words; else the classes taking turns, or nothing."""
    if spec.caption_bytes and held_out:
        first = held_out[0]
        return first[torch.arange(count) % len(first)].condition
    if not spec.classes:
        return Condition()
    return Condition(labels=torch.tensor(interleave(range(spec.num_classes), count)))


@torch.no_grad()
def sample_grid(trainer: Trainer, spec: ImageSpec, held_out: Sequence[Batch] = ()) -> bytes | None:
    """A PNG of the same seeds every time, one column a class; None where there is nothing to show.

    held_out: whose captions to draw, where the dataset has some, and which pictures to translate, to rebuild where that
    is all that the model does, or to continue.
    """
    model, classes = trainer.model, spec.num_classes
    if isinstance(model, Continues) and spec.frames > 1 and held_out:
        return _continuations(trainer, model, held_out[0].images[: max(1, SAMPLES // spec.frames)])
    if isinstance(model, Translates) and held_out:
        batch = held_out[0][slice(SAMPLES // 2)]
        given = batch.images if batch.condition.image is None else batch.condition.image
        return _beside(trainer, given, model.translate)
    if isinstance(model, Encodes) and not isinstance(model, Generates) and held_out:
        return _beside(trainer, held_out[0].images[: SAMPLES // 2], lambda x: model.decode(model.encode(x)))
    if not isinstance(model, Generates):
        return None
    columns = classes if 2 <= classes <= 12 else 8
    count = SAMPLES // columns * columns
    mine = ranks.share(count)
    batch = Batch(noise(range(count)[mine], model), sample_condition(spec, count, held_out)[mine])
    placed = trainer.engine.put(batch)
    with trainer.engine.arithmetic():
        images = to_uint8(model.generate(placed.images, placed.condition)) if len(batch) else None
    pictures = np.stack(ranks.gathered([] if images is None else list(images)))
    return encode_png(grid(pictures, columns), {"run_step": trainer.step, "seeds": f"0..{count - 1}"})


def _beside(trainer: Trainer, given: Tensor, answer: Callable[[Tensor], Tensor]) -> bytes:
    """A PNG of given pictures, each beside what the model makes of it."""
    with trainer.engine.arithmetic():
        answers = answer(trainer.engine.put(Batch(given)).images)
    both = np.stack([to_uint8(given), to_uint8(answers)], axis=1)
    return encode_png(grid(both.reshape(-1, *both.shape[2:]), 8), {"run_step": trainer.step})


def _continuations(trainer: Trainer, model: Continues, clips: Tensor) -> bytes:
    """A PNG with a row for each clip (T, C, H, W): the first half of its frames, then how the model goes on."""
    frames = clips.shape[1]
    begun = trainer.engine.put(Batch(clips[:, : frames // 2])).images
    with trainer.engine.arithmetic():
        start = noise(range(len(clips)), model).to(begun)  # type: ignore[arg-type]
        added = model.continue_from(begun, start, frames - frames // 2).clamp(-1, 1)
    shown = to_uint8(torch.cat([begun.float(), added.float()], 1).flatten(0, 1))
    return encode_png(grid(shown, frames), {"run_step": trainer.step})
