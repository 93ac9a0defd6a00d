"""Training batches of 32x32 colour pictures with flip and shift: figment's against torch's DataLoader over PNG files.

The peer is the usual script: a Dataset that opens a PNG with Pillow, pads, crops, flips and scales it, one picture at a
time, collated by DataLoader without workers.
"""

from __future__ import annotations

import atexit
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset

from figment.core.config import Augment
from figment.data.batches import Batches
from figment.data.build import BuildConfig, build

COUNT, BATCH = 2048, 64


class Files(Dataset):
    def __init__(self, folder: Path):
        self.paths = sorted(folder.rglob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        picture = ImageOps.expand(Image.open(self.paths[index]).convert("RGB"), 4)
        left, top = random.randrange(9), random.randrange(9)
        picture = picture.crop((left, top, left + 32, top + 32))
        if random.random() < 0.5:
            picture = ImageOps.mirror(picture)
        pixels = torch.from_numpy(np.asarray(picture).copy()).permute(2, 0, 1)
        return pixels.float() / 127.5 - 1, int(self.paths[index].parent.name)


def contenders() -> dict[str, Callable[[], int]]:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rng = np.random.default_rng(0)
    for index in range(COUNT):
        path = folder / "pictures" / str(index % 10) / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    store = build([str(folder / "pictures")], folder / "dataset", BuildConfig())
    batches = Batches(store, "train", BATCH, augment=Augment(flip=True, crop=4))
    steps = len(batches) // BATCH
    loader = DataLoader(Files(folder / "pictures"), batch_size=BATCH, shuffle=True)

    def ours() -> int:
        return sum(len(batches.batch_at(step)) for step in range(steps))

    def theirs() -> int:
        return sum(len(images) for images, _ in loader)

    return {"figment": ours, "DataLoader": theirs}
