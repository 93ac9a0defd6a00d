"""What edits restore of damaged pictures, beside classical methods: PSNR, SSIM, and what a judge reads.

    python benchmarks/edits.py RUN DATASET JUDGE [--num 100] [--answers 4] [--steps 18] [--tasks upscale ...]

Held-out pictures are damaged so far that the judge misreads more than one in ten of what classical methods make of it;
how far that is depends on whether they are grey (MNIST) or in colours (shapes). The run is not told any label or
caption. Prints a table of docs/edits.md, for noiseless tasks also how far the answers, damaged again, are from what was
given, and draws docs/pictures/edit-TASK.png, for colours edit-TASK-colour.png: ten originals, below them what was
given, what a classical method makes of it, and two answers. Deterministic.
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
from figment.data.pixels import to_channels
from figment.data.store import Store, spread_rows
from figment.edits import Request
from figment.edits._colours import to_lab
from figment.edits._estimates import scratches
from figment.edits._operators import LUMA
from figment.metrics.psnr import psnr
from figment.metrics.ssim import ssim
from figment.samplers import Sampling

PICTURES = Path(__file__).parents[1] / "docs/pictures"
SHOWN = 10  # pictures of each task in the picture

Pixels = np.ndarray  # uint8 (H, W, C)
Damage = Callable[[Pixels, np.random.Generator], tuple[Pixels, Pixels | None]]
Classic = Callable[[Pixels, Pixels | None], Pixels]


@dataclass(frozen=True)
class Task:
    """damage: what is given of a picture, and a mask (H, W), or None. classics: other people's answers, by name.

    measure: of an answer and the mask, what was given of it, not rounded; None where there is noise.
    """

    damage: Damage
    classics: dict[str, Classic]
    config: dict[str, Any] = field(default_factory=dict)
    measure: Callable[[Pixels, Pixels | None], np.ndarray] | None = None


def deep(pixels: np.ndarray) -> np.ndarray:
    """OpenCV's answer with the axis of channels, which it drops where there is only one."""
    return pixels if pixels.ndim == 3 else pixels[..., None]


def hole(side: int) -> Damage:
    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, Pixels]:
        mask = np.zeros_like(pixels[..., 0])
        top, left = rng.integers(5, pixels.shape[0] - side - 4, 2)
        mask[top : top + side, left : left + side] = 255
        return without(pixels, mask), mask

    return damage


def without(pixels: Pixels, mask: Pixels | None) -> Pixels:
    assert mask is not None
    return np.where(mask[..., None] > 0, 0, pixels).astype(np.uint8)


def middle_columns(cut: int) -> Damage:
    return lambda pixels, rng: (pixels[:, cut:-cut].copy(), None)


def block_means(pixels: Pixels, factor: int) -> np.ndarray:
    height, width, channels = pixels.shape
    return pixels.reshape(height // factor, factor, width // factor, factor, channels).mean((1, 3))


def smaller(factor: int) -> Damage:
    return lambda pixels, rng: (block_means(pixels, factor).round().astype(np.uint8), None)


def blurred(pixels: Pixels, sigma: float) -> np.ndarray:
    return deep(cv2.GaussianBlur(pixels.astype(float), (0, 0), sigma, borderType=cv2.BORDER_REFLECT))


def grey(pixels: Pixels) -> Pixels:
    return to_channels(to_channels(pixels, 1), 3)


def worse(*, blur: float = 0.0, contrast: float = 1.0, noise: float = 0.0) -> Damage:
    """Blurred, then flat, then noisy; sigma of the blur in pixels, of the noise in levels."""

    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, None]:
        flat = 128 * (1 - contrast) * 0.5 + contrast * (blurred(pixels, blur) if blur else pixels)
        return (flat + noise * rng.normal(size=pixels.shape)).clip(0, 255).round().astype(np.uint8), None

    return damage


def scratched(count: int) -> Damage:
    """Straight lines, one pixel wide, from edge to edge, black and white in turn."""

    def damage(pixels: Pixels, rng: np.random.Generator) -> tuple[Pixels, None]:
        pixels, side = pixels.copy(), pixels.shape[0] - 1
        for place in range(count):
            ends = [(0, int(rng.integers(4, side - 3))), (side, int(rng.integers(4, side - 3)))]
            ends = ends if place % 4 < 2 else [(y, x) for x, y in ends]
            cv2.line(pixels, ends[0], ends[1], (255 * (place % 2),) * pixels.shape[2])
        return pixels, None

    return damage


def inpainted(method: int) -> Classic:
    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        assert mask is not None
        return deep(cv2.inpaint(given, mask, 3, method))

    return classic


def widened(cut: int, method: int) -> Classic:
    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        wide = np.pad(given, ((0, 0), (cut, cut), (0, 0)))
        new = np.pad(np.zeros_like(given[..., 0]), ((0, 0), (cut, cut)), constant_values=255)
        return deep(cv2.inpaint(wide, new, 3, method))

    return classic


def mended(method: int) -> Classic:
    """What is thin, filled in."""

    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        found = scratches(to_float(given[None]), 1, 24.0)[0, 0].numpy()
        return deep(cv2.inpaint(given, (255 * found).astype(np.uint8), 3, method))

    return classic


def bicubic(factor: int) -> Classic:
    return lambda given, mask: deep(cv2.resize(given, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC))


def calmed(given: Pixels, strength: float) -> Pixels:
    if given.shape[2] == 3:
        return cv2.fastNlMeansDenoisingColored(given, None, strength, strength, 5, 21)
    return deep(cv2.fastNlMeansDenoising(given, None, strength, 5, 21))


def non_local_means(strength: float) -> Classic:
    return lambda given, mask: calmed(given, strength)


def deconvolved(sigma: float) -> Classic:
    axis = np.exp(-0.5 * (np.arange(-8, 9) / sigma) ** 2)
    kernel = np.outer(axis, axis) / axis.sum() ** 2

    def classic(given: Pixels, mask: Pixels | None) -> Pixels:
        wide = np.pad(given / 255, ((8, 8), (8, 8), (0, 0)), "symmetric")
        found = np.stack([richardson_lucy(one, kernel, num_iter=30) for one in np.moveaxis(wide, 2, 0)], 2)
        return (255 * found[8:-8, 8:-8]).clip(0, 255).round().astype(np.uint8)

    return classic


def equalized(given: Pixels, mask: Pixels | None) -> Pixels:
    """Stretched from black to white, denoised, and sharpened."""
    low, high = np.quantile(given, [0.01, 0.99])
    stretched = ((given - low) * 255.0 / max(high - low, 1)).clip(0, 255).astype(np.uint8)
    calm = calmed(stretched, 40)
    return deep(cv2.addWeighted(calm, 2.0, deep(cv2.GaussianBlur(calm, (0, 0), 1.5)), -1.0, 0))


TELEA, NAVIER_STOKES = cv2.INPAINT_TELEA, cv2.INPAINT_NS


def tasks(*, hole_side: int, cut: int, factor: int, blur: float, noise: float, calm: float) -> dict[str, Task]:
    """All tasks but those that hang on colours, so hard."""
    both = (("Telea", TELEA), ("Navier-Stokes", NAVIER_STOKES))
    return {
        "inpaint": Task(hole(hole_side), {name: inpainted(way) for name, way in both}, measure=without),
        "outpaint": Task(
            middle_columns(cut),
            {name: widened(cut, way) for name, way in both},
            {"left": cut, "right": cut},
            lambda answer, mask: answer[:, cut:-cut],
        ),
        "upscale": Task(
            smaller(factor),
            {"bicubic": bicubic(factor)},
            {"factor": factor},
            lambda answer, _: block_means(answer, factor),
        ),
        "deblur": Task(
            worse(blur=blur),
            {"Richardson-Lucy": deconvolved(blur)},
            {"sigma": blur},
            lambda answer, _: blurred(answer, blur),
        ),
        "denoise": Task(worse(noise=noise), {"non-local means": non_local_means(calm)}, {"noise": noise}),
        "enhance": Task(worse(blur=1.5, contrast=0.2, noise=6.0), {"stretch, NLM, sharpen": equalized}),
        "remove": Task(scratched(6), {"Telea, what is thin": mended(TELEA)}),
    }


TASKS = {
    1: tasks(hole_side=14, cut=9, factor=4, blur=3.0, noise=90.0, calm=60.0),
    3: {
        **tasks(hole_side=12, cut=13, factor=4, blur=2.0, noise=60.0, calm=40.0),
        "colorize": Task(
            lambda pixels, _: (grey(pixels), None), {}, measure=lambda answer, _: answer @ np.array(LUMA)[:, None]
        ),
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("judge", type=Path)
    for name, default in (("num", 100), ("answers", 4), ("steps", 18)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--tasks", nargs="+", help="All where it is not given.")
    options = parser.parse_args()
    loaded, judge, store = load_model(options.run), load_model(options.judge).model, Store(options.dataset)
    rows = spread_rows(len(store.images(store.held_out)), options.num)
    truth, labels = store.images(store.held_out)[rows], store.labels(store.held_out)[rows]
    score, known = Scorer(truth, labels, judge), TASKS[loaded.spec.channels]
    in_colour = loaded.spec.channels == 3
    print(f"| edit | of | PSNR | SSIM |{' colour error |' * in_colour} judge |", "|-" * (5 + in_colour) + "|", sep="\n")
    print(score.line("", "the originals", truth[:, None]), flush=True)
    for name in options.tasks or known:
        sheet = run(name, known[name], loaded, score, options)
        write_png(PICTURES / f"edit-{name}{'-colour' * in_colour}.png", grid(sheet, SHOWN, zoom=2))


def run(name: str, task: Task, loaded: LoadedModel, score: Scorer, options: Any) -> np.ndarray:
    """One task: prints its lines; returns originals, what was given, the first classic and two answers, to look at."""
    settings = Sampling(steps=options.steps, sampler=options.sampler)
    module = plugins.load("edits", name)
    given, answers = [], []
    classics: dict[str, list[Pixels]] = {title: [] for title in task.classics}
    farthest = 0.0
    for place, pixels in enumerate(score.truth):
        damaged, mask = task.damage(pixels, np.random.default_rng(mix(1, place)))
        given.append(damaged)
        for title, classic in task.classics.items():
            classics[title].append(classic(damaged, mask))
        seeds = tuple(range(place * options.answers, (place + 1) * options.answers))
        painted = None if mask is None else torch.from_numpy(mask > 0).float()[None, None]
        image = to_float(damaged[None])
        asked = Request(loaded.spec, (image,), painted, seeds=seeds, settings=settings)
        answers.append(to_uint8(module.edit(loaded.model, asked, module.Config(**task.config)).images))
        if task.measure:
            again = np.stack([task.measure(answer, mask) for answer in answers[-1]])
            farthest = max(farthest, float(np.abs(again - damaged.astype(float)).max()))
    drawn, same_size = np.stack(answers), given[0].shape == score.truth.shape[1:]
    if same_size:
        print(score.line(name, "damaged", np.stack(given)[:, None]), flush=True)
    for title, pictures in classics.items():
        print(score.line(name, title, np.stack(pictures)[:, None]), flush=True)
    print(score.line(name, f"figment, {options.answers} answers", drawn), flush=True)
    average = drawn.astype(float).mean(1, keepdims=True).round().astype(np.uint8)
    print(score.line(name, "figment, their average", average), flush=True)
    if task.measure:
        print(f"{name}: answers, damaged again, are within {farthest:.2f} levels of what was given", flush=True)
    seen = np.stack([on_canvas(one, score.truth[0]) for one in given])
    first = [np.stack(pictures) for pictures in classics.values()][:1]
    parts = (score.truth, seen, *first, drawn[:, 0], drawn[:, 1])
    return np.concatenate([part[spread_rows(len(part), SHOWN)] for part in parts])


def on_canvas(given: Pixels, like: np.ndarray) -> np.ndarray:
    """A picture as large as (H, W, C): enlarged where it is smaller in both directions, else in the middle of grey."""
    height, width, _ = like.shape
    if given.shape[0] < height and given.shape[1] < width:
        return deep(cv2.resize(given, (width, height), interpolation=cv2.INTER_NEAREST))
    return np.pad(given, ((0, 0), ((width - given.shape[1]) // 2,) * 2, (0, 0)), constant_values=128)


@dataclass(frozen=True)
class Scorer:
    """What restored pictures are held against: originals uint8 (N, H, W, C), their labels, and a judge."""

    truth: np.ndarray
    labels: np.ndarray
    judge: Any

    def line(self, task: str, title: str, restored: np.ndarray) -> str:
        """A line of the table for uint8 (N, answers, H, W, C): the mean over answers, and the best of each picture."""
        count = restored.shape[1]
        parts = [task, title]
        by_answer = [restored[:, place] for place in range(count)]
        near = np.stack([psnr(self.truth, one, 255) for one in by_answer], 1).clip(max=99)
        alike = np.stack([ssim(self.truth, one, 255) for one in by_answer], 1)
        right = np.stack([self._read(one) == self.labels for one in by_answer], 1)
        best = np.take_along_axis(right, near.argmax(1)[:, None], 1)
        columns = [(near, near.max(1), ".1f"), (alike, alike.max(1), ".3f"), (right, best, ".0%")]
        if self.truth.shape[3] == 3:
            wrong = np.stack([self._colour_error(one) for one in by_answer], 1)
            columns.insert(2, (wrong, wrong.min(1), ".1f"))
        for values, top, form in columns:
            parts.append(f"{values.mean():{form}}" + f" (best {top.mean():{form}})" * (count > 1))
        return f"| {' | '.join(parts)} |"

    def _colour_error(self, pixels: np.ndarray) -> np.ndarray:
        """Mean distance of colours in CIE L*a*b* (CIE 1976), (N,)."""
        mine, theirs = to_lab(to_float(pixels)), to_lab(to_float(self.truth))
        return (mine - theirs).norm(dim=2).mean(1).numpy()

    def _read(self, pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.judge.classify(to_float(pixels)).argmax(1).numpy()


if __name__ == "__main__":
    main()
