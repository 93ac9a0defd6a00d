"""Which verdict generators get that are known to copy, to blend, or to do neither.

    python benchmarks/memorisation.py DATASET [RUN ...] [--num 500] [--train 10000] [--seeds 20] [--repeats 3]

Generators are made of the dataset's own pictures: unseen ones of the held-out split, of which a share gives way to
changed training pictures. Half of the unseen pictures are the held-out side. Runs draw theirs. Deterministic; what it
prints for digits and MNIST is in docs/metrics.md.
"""

from __future__ import annotations

import argparse
import io
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from figment.core.checkpoint import load_model
from figment.core.images import to_uint8
from figment.core.noise import mix, noise
from figment.core.types import Condition, Sample
from figment.data.store import Store
from figment.evaluate.memorisation import Verdict, verdict

Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]
CHUNK = 64


def noisy(deviation: float) -> Change:
    """deviation: of Gaussian noise, in levels of 255."""

    def change(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return (pictures + deviation * rng.normal(size=pictures.shape)).clip(0, 255).round().astype(np.uint8)

    return change


def jpeg(quality: int) -> Change:
    def change(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        again = []
        for picture in pictures:
            buffer = io.BytesIO()
            Image.fromarray(picture.squeeze()).save(buffer, "JPEG", quality=quality)
            again.append(np.asarray(Image.open(buffer)).reshape(picture.shape))
        return np.stack(again)

    return change


def shifted(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By a pixel to the left, the border repeated."""
    return np.concatenate([pictures[:, :, 1:], pictures[:, :, -1:]], axis=2)


COPIES: dict[str, Change] = {
    "copies": lambda pictures, rng: pictures,
    "copies, noise 10": noisy(10),
    "copies, noise 25": noisy(25),
    "copies, JPEG 75": jpeg(75),
    "copies, mirrored": lambda pictures, rng: pictures[:, :, ::-1],
    "copies, shifted by a pixel": shifted,
}
BLENDS: dict[str, Change] = {
    "blends": lambda pictures, rng: pictures,
    "blends, noise 5": noisy(5),
    "blends, JPEG 75": jpeg(75),
}
SHARES = {"copies": (0.1, 0.5, 1.0), "blends": (0.1, 0.5, 1.0)}  # the others: 0.1 and 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--train", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=20, help="verdicts on unseen pictures")
    parser.add_argument("--repeats", type=int, default=3, help="verdicts on each of the others")
    options = parser.parse_args()
    store = Store(options.dataset)
    print("| generated pictures | share of them | verdicts | near copies | blends |\n|-|-|-|-|-|")

    def case(name: str, share: float, seeds: int, change: Callable[..., np.ndarray]) -> None:
        report(name, share, [trial(store, options.num, options.train, seed, share, change) for seed in range(seeds)])

    case("unseen pictures", 1, options.seeds, lambda train, labels, count, rng, unseen: unseen)
    for name, change in COPIES.items():
        for share in SHARES.get(name, (0.1, 1.0)):
            case(name, share, options.repeats, copier(change))
    for name, change in BLENDS.items():
        for share in SHARES.get(name, (0.1, 1.0)):
            case(name, share, options.repeats, blender(change))
    for run in options.runs:
        case(f"{run.name}, {load_model(run).family}", 1, 1, drawer(run))


def trial(store: Store, num: int, num_train: int, seed: int, share: float, make: Callable[..., np.ndarray]) -> Verdict:
    rng = np.random.default_rng(seed)
    seen = rng.permutation(store.counts["train"])[:num_train]
    train, labels = np.asarray(store.images("train")[seen]), store.labels("train")[seen]
    unseen = np.asarray(store.images(store.held_out)[rng.permutation(store.counts[store.held_out])[: 2 * num]])
    real, fake = np.array_split(unseen, 2)
    count = round(share * len(fake))
    fake = np.concatenate([make(train, labels, count, rng, fake[:count]), fake[count:]])
    sides = {"real": real, "fake": fake, "train": train}
    return verdict(**{side: Sample(np.zeros((len(images), 1)), images=images) for side, images in sides.items()})


def copier(change: Change) -> Callable[..., np.ndarray]:
    def make(
        train: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator, unseen: np.ndarray
    ) -> np.ndarray:
        return change(train[rng.integers(len(train), size=count)], rng)

    return make


def blender(change: Change) -> Callable[..., np.ndarray]:
    """Weighted means of two training pictures of a class, 0.3 to 0.7 of each."""

    def make(
        train: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator, unseen: np.ndarray
    ) -> np.ndarray:
        first = rng.integers(len(train), size=count)
        second = np.array([rng.choice(np.setdiff1d(np.flatnonzero(labels == labels[row]), row)) for row in first])
        weight = rng.uniform(0.3, 0.7, size=(count, 1, 1, 1))
        return change(np.round((1 - weight) * train[first] + weight * train[second]).astype(np.uint8), rng)

    return make


def drawer(run: Path) -> Callable[..., np.ndarray]:
    loaded = load_model(run)

    def make(
        train: np.ndarray, labels: np.ndarray, count: int, rng: np.random.Generator, unseen: np.ndarray
    ) -> np.ndarray:
        parts = []
        for low in range(0, count, CHUNK):
            seeds = [mix(0, index) for index in range(low, min(low + CHUNK, count))]
            asked = torch.tensor([index % len(loaded.spec.classes) for index in range(len(seeds))])
            condition = Condition(labels=asked) if loaded.spec.classes else None
            with torch.no_grad():
                parts.append(to_uint8(loaded.model.generate(noise(seeds, loaded.model), condition)))
        return np.concatenate(parts)

    return make


def report(name: str, share: float, verdicts: list[Verdict]) -> None:
    """A row of the table; figures are means over the seeds."""
    names = ", ".join(f"{name} {count}" for name, count in Counter(one.name for one in verdicts).items())
    copies, blends = (np.mean([getattr(one, part).value for one in verdicts]) for part in ("copies", "blends"))
    print(f"| {name} | {share:.0%} | {names} | {copies:.1%} | {blends:.1%} |", flush=True)


if __name__ == "__main__":
    main()
