"""figment's flow and edm against diffusers' DDPM: the same pictures, seconds and parameters, the same judge.

    python benchmarks/diffusion.py DATASET [--minutes 1 2 5 10 15] [--num 500] [--families flow edm] [--out FILE.json]

Every contender is trained afresh for each budget, on the dataset's classes. The peer is diffusers' own training
tutorial: UNet2DModel, noise prediction, DDPMScheduler, AdamW at 1e-4 with 500 steps of warm-up and a cosine, gradients
clipped at 1, batches of 16, float32; its widths are chosen to come nearest to figment's number of parameters, and its
cosine follows the clock, so that it has all of its time however quick the first steps were. It draws with DDIM in 50
steps, where the tutorial takes 1,000 that no one would wait for. figment is used as it is given. Both draw the same
labels, and the dataset's judge scores both against the same held-out pictures. --families without a name: diffusers
alone.

denoising-diffusion-pytorch needs torchvision, which has no build for this PyTorch without a GPU.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from torch import Tensor
from torch.nn import functional as F

from figment.core import plugins
from figment.core.engine import seeded
from figment.core.images import to_uint8
from figment.core.noise import noise
from figment.core.types import Condition, ImageSpec, Sample
from figment.data.batches import Batches
from figment.data.store import Store
from figment.evaluate.extract import sample_of
from figment.evaluate.judge import judge_of
from figment.train.autotune import choose_engine
from figment.train.trainer import Trainer

CHUNK = 64
METRICS = ("fd", "accuracy", "density_coverage")
SCORES = ("fd", "accuracy", "coverage")
WARMUP, LR, PEER_BATCH, PEER_STEPS = 500, 1e-4, 16, 50
TIMED = 8

Draw = Callable[[Tensor, Tensor], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 2, 5, 10, 15])
    parser.add_argument("--num", type=int, default=500)
    parser.add_argument("--families", nargs="*", default=["flow", "edm"])
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    store = Store(options.dataset)
    judge = judge_of(store, progress=lambda done, total: None, warn=print, stopping=lambda: False)
    rows = np.linspace(0, store.counts[store.held_out] - 1, options.num).round().astype(int)
    labels = store.labels(store.held_out)[rows]
    real = sample_of(np.asarray(store.images(store.held_out)[rows]), labels, judge)
    results = []
    for minutes in options.minutes:
        trainings = {family: partial(figments, family) for family in options.families} | {"diffusers": diffusers}
        for name, train in trainings.items():
            with seeded(0):
                draw, facts = train(store, 60 * minutes)
            started = time.perf_counter()
            fake = sample_of(drawn(draw, store.spec, labels), labels, judge)
            facts |= {"contender": name, "minutes": minutes, "drawing_seconds": time.perf_counter() - started}
            results.append(facts | scores(real, fake))
            print(json.dumps(results[-1]), flush=True)
    if options.out:
        options.out.write_text(json.dumps(results, indent=1) + "\n")


def scores(real: Sample, fake: Sample) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in METRICS:
        found |= plugins.load("metrics", name).score(real=real, fake=fake)
    return {name: found[name] for name in SCORES}


@torch.no_grad()
def drawn(draw: Draw, spec: ImageSpec, labels: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W, C), of the same noise for every contender."""

    class Shape:
        def noise_shape(self) -> tuple[int, int, int]:
            return spec.shape

    parts = []
    for low in range(0, len(labels), CHUNK):
        asked = torch.from_numpy(labels[low : low + CHUNK])
        parts.append(to_uint8(draw(noise(range(low, low + len(asked)), Shape()), asked).clamp(-1, 1)))
    return np.concatenate(parts)


def figments(family: str, store: Store, seconds: float) -> tuple[Draw, dict[str, object]]:
    """A family as `figment train FAMILY` would train it for these seconds, the choice of an engine included."""
    started = time.perf_counter()
    module = plugins.load("families", family)
    batches = Batches(store, "train", module.TRAIN.batch_size, augment=module.TRAIN.augment)

    def build():
        return module.build(module.Config.preset("small"), store.spec)

    engine = choose_engine(build, module.TRAIN, batches.batch_at(0), ["benchmark", family, str(store.spec)])
    trial = Trainer(build(), module.TRAIN, steps=2 * TIMED, engine=engine).run(batches.batch_at)
    per_step = seconds_of_step(trial)
    steps = int((seconds - (time.perf_counter() - started)) / per_step)
    trainer = Trainer(build(), module.TRAIN, steps=steps, engine=engine)
    for _ in trainer.run(batches.batch_at):
        if time.perf_counter() - started > seconds:
            break
    model = trainer.model.eval()
    facts = {"parameters": parameters(model), "images": trainer.seen_images}

    def draw(noise: Tensor, labels: Tensor) -> Tensor:
        return model.generate(noise, Condition(labels=labels))

    return draw, facts


def seconds_of_step(steps: Iterator[object]) -> float:
    """Of the second half of 2 * TIMED steps."""
    for _ in range(TIMED):
        next(steps)
    started = time.perf_counter()
    for _ in range(TIMED):
        next(steps)
    return (time.perf_counter() - started) / TIMED


def diffusers(store: Store, seconds: float) -> tuple[Draw, dict[str, object]]:
    """The tutorial's loop, until the time is over."""
    started = time.perf_counter()
    flow = plugins.load("families", "flow")
    wanted = parameters(flow.build(flow.Config.preset("small"), store.spec).model)
    model = unet_like(store.spec, wanted)
    scheduler = DDPMScheduler(num_train_timesteps=1000)
    batches = Batches(store, "train", PEER_BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)

    def step(index: int) -> None:
        batch = batches.batch_at(index)
        n = torch.randn_like(batch.images)
        t = torch.randint(0, 1000, (len(n),))
        noisy = scheduler.add_noise(batch.images, n, t)
        F.mse_loss(model(noisy, t, class_labels=batch.condition.labels).sample, n).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    for group in optimizer.param_groups:
        group["lr"] = 0.0  # the timed steps change nothing
    per_step = seconds_of_step(iter(lambda: step(0), 0))
    warmup = min(WARMUP, max(1, int(seconds / per_step / 5)))
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    index = 0
    while (share := (time.perf_counter() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = LR * min(1, (index + 1) / warmup) * (1 + math.cos(math.pi * share)) / 2
        step(index)
        index += 1
    model.eval()
    ddim = DDIMScheduler(num_train_timesteps=1000)
    ddim.set_timesteps(PEER_STEPS)

    def draw(noise: Tensor, labels: Tensor) -> Tensor:
        for t in ddim.timesteps:
            noise = ddim.step(model(noise, t, class_labels=labels).sample, t, noise).prev_sample
        return noise

    return draw, {"parameters": parameters(model), "images": index * PEER_BATCH}


def unet_like(spec: ImageSpec, wanted: int) -> UNet2DModel:
    """diffusers' U-Net with figment's levels and attention at the lowest one, as near to `wanted` parameters as may be.

    Pictures of 8x8 get two levels, of 28x28 and 32x32 three.
    """
    levels = 2 if min(spec.height, spec.width) <= 16 else 3

    def build(width: int) -> UNet2DModel:
        return UNet2DModel(
            sample_size=(spec.height, spec.width),
            in_channels=spec.channels,
            out_channels=spec.channels,
            layers_per_block=1,
            block_out_channels=(width, *[2 * width] * (levels - 1)),
            down_block_types=(*["DownBlock2D"] * (levels - 1), "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", *["UpBlock2D"] * (levels - 1)),
            norm_num_groups=8,
            num_class_embeds=spec.num_classes or None,
        )

    return min((build(width) for width in range(8, 129, 8)), key=lambda model: abs(parameters(model) - wanted))


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


if __name__ == "__main__":
    main()
