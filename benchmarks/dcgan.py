"""A training step of a DCGAN on pictures of 64x64x3, loading included: figment's dcgan against the usual script.

    python benchmarks/run.py dcgan

The peer is PyTorch's DCGAN tutorial: its two networks of 64 channels, a noise of 100, batches of 128, Adam at 2e-4 and
0.5, binary cross entropy, float32, NCHW, and a DataLoader with two workers, here over PNG files read with Pillow, for
torchvision has no build for this PyTorch. figment's is the step of `figment train dcgan --family.width 40
--family.latents 100`, which has as many parameters, with as many pictures at once, on the engine that it chooses.
"""

from __future__ import annotations

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from figment.core import plugins
from figment.core.engine import seeded
from figment.data.batches import Batches
from figment.data.build import BuildConfig, build
from figment.data.store import Store
from figment.train.autotune import choose_engine
from figment.train.trainer import Trainer

COUNT, BATCH, SIZE, LATENTS = 1024, 128, 64, 100
OUR_WIDTH, WIDTH = 40, 64

Step = Callable[[], int]


def contenders() -> dict[str, Step]:
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rng = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for index in range(COUNT):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{index}.png")
    store = build([str(folder / "pictures")], folder / "dataset", BuildConfig())
    return {"figment": figments(store), "tutorial": tutorials(folder / "pictures")}


def figments(store: Store) -> Step:
    dcgan = plugins.load("families", "dcgan")
    train = replace(dcgan.TRAIN, batch_size=BATCH)
    batches = Batches(store, "train", BATCH)

    def build_dcgan() -> nn.Module:
        with seeded(0):
            return dcgan.build(dcgan.Config(width=OUR_WIDTH, latents=LATENTS), store.spec)

    engine = choose_engine(build_dcgan, train, batches.batch_at(0), ["benchmark", "dcgan"])
    print(f"dcgan: figment computes in {engine.precision}, {engine.layout}")
    objective = build_dcgan()
    print(f"dcgan: figment: {millions(objective.model):.2f} and {millions(objective.critic):.2f} million parameters")
    steps = Trainer(objective, train, steps=10**6, engine=engine).run(batches.at)

    def step() -> int:
        with engine.threading():
            next(steps)
        return BATCH

    return step


class Files(Dataset):
    def __init__(self, folder: Path):
        self.paths = sorted(folder.glob("*.png"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        pixels = torch.from_numpy(np.array(Image.open(self.paths[index]).convert("RGB"))).permute(2, 0, 1)
        return pixels.float() / 127.5 - 1


def tutorials(folder: Path) -> Step:
    with seeded(0):
        generator, critic = generator_of().apply(small), critic_of().apply(small)
    print(f"dcgan: tutorial: {millions(generator):.2f} and {millions(critic):.2f} million parameters")
    of_critic, of_generator = (
        torch.optim.Adam(player.parameters(), lr=2e-4, betas=(0.5, 0.999)) for player in (critic, generator)
    )
    loader = DataLoader(Files(folder), BATCH, shuffle=True, num_workers=2, drop_last=True, persistent_workers=True)
    batches: Iterator[Tensor] = itertools.chain.from_iterable(itertools.repeat(loader))
    criterion, real, fake = nn.BCELoss(), torch.ones(BATCH), torch.zeros(BATCH)

    def step() -> int:
        critic.zero_grad()
        error_real = criterion(critic(next(batches)).view(-1), real)
        error_real.backward()
        drawn = generator(torch.randn(BATCH, LATENTS, 1, 1))
        error_fake = criterion(critic(drawn.detach()).view(-1), fake)
        error_fake.backward()
        of_critic.step()
        generator.zero_grad()
        error = criterion(critic(drawn).view(-1), real)
        error.backward()
        of_generator.step()
        assert error_real.item() + error_fake.item() + error.item() > 0  # which it prints
        return BATCH

    return step


def generator_of() -> nn.Sequential:
    widths = [8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]
    layers: list[nn.Module] = [nn.ConvTranspose2d(LATENTS, widths[0], 4, 1, 0, bias=False)]
    for before, after in itertools.pairwise([*widths, 3]):
        layers += [nn.BatchNorm2d(before), nn.ReLU(True), nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False)]
    return nn.Sequential(*layers, nn.Tanh())


def critic_of() -> nn.Sequential:
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for before, after in itertools.pairwise([WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH]):
        layers += [
            nn.Conv2d(before, after, 4, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    return nn.Sequential(*layers, nn.Conv2d(8 * WIDTH, 1, 4, 1, 0, bias=False), nn.Sigmoid())


def small(layer: nn.Module) -> None:
    """The first weights of Radford et al. 2016, section 4."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)


def millions(module: nn.Module) -> float:
    return sum(parameter.numel() for parameter in module.parameters()) / 1e6
