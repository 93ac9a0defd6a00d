"""What edits restore of damaged pictures, beside classical methods: PSNR, SSIM, and what a judge reads.

    python benchmarks/edits.py RUN DATASET JUDGE [--num 100] [--answers 4] [--steps 18] [--tasks upscale ...]

Held-out pictures are damaged so far that the judge misreads more than one in ten of what classical methods make of it.
The run is not told any label. Prints the table of docs/edits.md, and draws docs/pictures/edit-TASK.png: ten originals,
below them what was given, what a classical method makes of it, and two answers. Deterministic.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from skimage.restoration import richardson_lucy

from figment.core import plugins
from figment.core.checkpoint import LoadedModel, load_model
from figment.core.images import grid, to_float, to_uint8, write_png
from figment.core.noise import mix
from figment.data.store import Store, spread_rows
from figment.edits import Request
from figment.edits._estimates import scratches
from figment.metrics.psnr import psnr
from figment.metrics.ssim import ssim
from figment.samplers import Sampling

PICTURES = Path(__file__).parents[1] / "docs/pictures"
SHOWN = 10  # pictures of each task in the picture

Pixels = np.ndarray  # uint8 (H, W), grey
Damage = Callable[[Pixels, np.random.Generator], tuple[Pixels, Pixels | None]]
Classic = Callable[[Pixels, Pixels | None], Pixels]


@dataclass(frozen=True)
class Task:
    """damage: what is given of a picture, and a mask, or None. classics: other people's answers, by name."""

    damage: Damage
    classics: dict[str, Classic]
    config: dict[str, Any] = field(default_factory=dict)


def hole(side: int) -> Damage:
    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        mask = np.zeros_like(pixels)
        top, left = rng.integers(5, pixels.shape[0] - side - 4, 2)
        mask[top : top + side, left : left + side] = 255
        return np.where(mask > 0, 0, pixels).astype(np.uint8), mask

    return damage


def middle_columns(cut: int) -> Damage:
    return lambda pixels, rng: (pixels[:, cut:-cut].copy(), None)


def smaller(factor: int) -> Damage:
    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, None]:
        height, width = (length // factor for length in pixels.shape)
        return pixels.reshape(height, factor, width, factor).mean((1, 3)).round().astype(np.uint8), None

    return damage


def worse(*, blur: float = 0.0, contrast: float = 1.0, noise: float = 0.0) -> Damage:
    """Blurred, then flat, then noisy; sigma of the blur in pixels, of the noise in levels."""

    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, None]:
        soft = cv2.GaussianBlur(pixels.astype(float), (0, 0), blur, borderType=cv2.BORDER_REFLECT) if blur else pixels
        flat = 128 * (1 - contrast) * 0.5 + contrast * soft
        return (flat + noise * rng.normal(size=pixels.shape)).clip(0, 255).round().astype(np.uint8), None

    return damage


def scratched(count: int) -> Damage:
    """Straight lines, one pixel wide, from edge to edge, black and white in turn."""

    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, None]:
        pixels, side = pixels.copy(), pixels.shape[0] - 1
        for place in range(count):
            ends = [(0, int(rng.integers(4, side - 3))), (side, int(rng.integers(4, side - 3)))]
            ends = ends if place % 4 < 2 else [(y, x) for x, y in ends]
            cv2.line(pixels, ends[0], ends[1], 255 * (place % 2))
        return pixels, None

    return damage


def inpainted(method: int) -> Classic:
    return lambda given, mask: cv2.inpaint(given, mask, 3, method)


def widened(cut: int, method: int) -> Classic:
    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        wide = np.pad(given, ((0, 0), (cut, cut)))
        return cv2.inpaint(wide, np.pad(np.zeros_like(given), ((0, 0), (cut, cut)), constant_values=255), 3, method)

    return classic


def mended(method: int) -> Classic:
    """The scratches that figment finds, filled in."""

    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        found = scratches(to_float(given[None, ..., None]), 1, 24.0)[0, 0].numpy()
        return cv2.inpaint(given, (255 * found).astype(np.uint8), 3, method)

    return classic


def bicubic(factor: int) -> Classic:
    return lambda given, mask: cv2.resize(given, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)


def non_local_means(strength: float) -> Classic:
    return lambda given, mask: cv2.fastNlMeansDenoising(given, None, strength, 5, 21)


def deconvolved(sigma: float) -> Classic:
    axis = np.exp(-0.5 * (np.arange(-8, 9) / sigma) ** 2)
    kernel = np.outer(axis, axis) / axis.sum() ** 2

    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        found = richardson_lucy(np.pad(given / 255, 8, "symmetric"), kernel, num_iter=30)[8:-8, 8:-8]
        return (255 * found).clip(0, 255).round().astype(np.uint8)

    return classic


def equalized(given: Pixels, mask: Pixels | None) -> Pixels:
    """Stretched from black to white, denoised, and sharpened."""
    low, high = np.quantile(given, [0.01, 0.99])
    stretched = ((given - low) * 255.0 / max(high - low, 1)).clip(0, 255).astype(np.uint8)
    calm = cv2.fastNlMeansDenoising(stretched, None, 40, 5, 21)
    return cv2.addWeighted(calm, 2.0, cv2.GaussianBlur(calm, (0, 0), 1.5), -1.0, 0)


TELEA, NAVIER_STOKES = cv2.INPAINT_TELEA, cv2.INPAINT_NS
TASKS = {
    "inpaint": Task(hole(14), {"Telea": inpainted(TELEA), "Navier-Stokes": inpainted(NAVIER_STOKES)}),
    "outpaint": Task(
        middle_columns(9),
        {"Telea": widened(9, TELEA), "Navier-Stokes": widened(9, NAVIER_STOKES)},
        {"left": 9, "right": 9},
    ),
    "upscale": Task(smaller(4), {"bicubic": bicubic(4)}, {"factor": 4}),
    "deblur": Task(worse(blur=3.0), {"Richardson-Lucy": deconvolved(3.0)}, {"sigma": 3.0}),
    "denoise": Task(worse(noise=90.0), {"non-local means": non_local_means(60.0)}, {"noise": 90.0}),
    "enhance": Task(worse(blur=1.5, contrast=0.2, noise=6.0), {"stretch, NLM, sharpen": equalized}),
    "remove": Task(scratched(6), {"Telea, same mask": mended(TELEA)}, {"width": 1, "soft": 0}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("judge", type=Path)
    for name, default in (("num", 100), ("answers", 4), ("steps", 18)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    options = parser.parse_args()
    loaded, judge, store = load_model(options.run), load_model(options.judge).model, Store(options.dataset)
    rows = spread_rows(len(store.images(store.held_out)), options.num)
    truth, labels = store.images(store.held_out)[rows], store.labels(store.held_out)[rows]
    score = Scorer(truth, labels, judge)
    print("| edit | of | PSNR | SSIM | judge |", "|-|-|-|-|-|", sep="\n")
    print(score.line("", "the originals", truth[:, None]), flush=True)
    for name in options.tasks:
        sheet = run(name, TASKS[name], loaded, score, options)
        write_png(PICTURES / f"edit-{name}.png", grid(sheet, SHOWN, zoom=2))


def run(name: str, task: Task, loaded: LoadedModel, score: Scorer, options: Any) -> np.ndarray:
    """One task: prints its lines; returns originals, what was given, the first classic and two answers, to look at."""
    settings = Sampling(steps=options.steps, sampler=options.sampler)
    module = plugins.load("edits", name)
    given, answers = [], []
    classics: dict[str, list[Pixels]] = {title: [] for title in task.classics}
    for place, pixels in enumerate(score.truth[..., 0]):
        damaged, mask = task.damage(pixels, np.random.default_rng(mix(1, place)))
        given.append(damaged)
        for title, classic in task.classics.items():
            classics[title].append(classic(damaged, mask))
        seeds = tuple(range(place * options.answers, (place + 1) * options.answers))
        painted = None if mask is None else torch.from_numpy(mask > 0).float()[None, None]
        image = to_float(damaged[None, ..., None])
        asked = Request(loaded.spec, (image,), painted, seeds=seeds, settings=settings)
        answers.append(to_uint8(module.edit(loaded.model, asked, module.Config(**task.config)).images))
    drawn, same_size = np.stack(answers), given[0].shape == score.truth.shape[1:3]
    if same_size:
        print(score.line(name, "damaged", np.stack(given)[:, None, ..., None]), flush=True)
    for title, pictures in classics.items():
        print(score.line(name, title, np.stack(pictures)[:, None, ..., None]), flush=True)
    print(score.line(name, f"figment, {options.answers} answers", drawn), flush=True)
    average = drawn.astype(float).mean(1, keepdims=True).round().astype(np.uint8)
    print(score.line(name, "figment, their average", average), flush=True)
    first = np.stack(next(iter(classics.values())))[..., None]
    parts = (score.truth, np.stack([on_canvas(one, score.truth[0]) for one in given]), first, drawn[:, 0], drawn[:, 1])
    return np.concatenate([part[spread_rows(len(part), SHOWN)] for part in parts])


def on_canvas(given: Pixels, like: np.ndarray) -> np.ndarray:
    """A picture as large as (H, W, 1): enlarged where it is smaller in both directions, else in the middle of grey."""
    height, width, _ = like.shape
    if given.shape[0] < height and given.shape[1] < width:
        return cv2.resize(given, (width, height), interpolation=cv2.INTER_NEAREST)[..., None]
    return np.pad(given, ((0, 0), ((width - given.shape[1]) // 2,) * 2), constant_values=128)[..., None]


@dataclass(frozen=True)
class Scorer:
    """What restored pictures are held against: originals uint8 (N, H, W, 1), their labels, and a judge."""

    truth: np.ndarray
    labels: np.ndarray
    judge: Any

    def line(self, task: str, title: str, restored: np.ndarray) -> str:
        """A line of the table for uint8 (N, answers, H, W, 1): the mean over answers, and the best of each picture."""
        count = restored.shape[1]
        parts = [task, title]
        by_answer = [restored[:, place] for place in range(count)]
        near = np.stack([psnr(self.truth, one, 255) for one in by_answer], 1).clip(max=99)
        alike = np.stack([ssim(self.truth, one, 255) for one in by_answer], 1)
        right = np.stack([self._read(one) == self.labels for one in by_answer], 1)
        best = np.take_along_axis(right, near.argmax(1)[:, None], 1)
        for values, top, form in ((near, near.max(1), ".1f"), (alike, alike.max(1), ".3f"), (right, best, ".0%")):
            parts.append(f"{values.mean():{form}}" + f" (best {top.mean():{form}})" * (count > 1))
        return f"| {' | '.join(parts)} |"

    def _read(self, pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.judge.classify(to_float(pixels)).argmax(1).numpy()


if __name__ == "__main__":
    main()
