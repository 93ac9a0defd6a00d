"""What `figment edit compress` keeps of held-out pictures at how many bits a pixel, beside JPEG and WebP.

    python benchmarks/compress.py RUN DATASET [--num 100] [--steps 40 60 90 ...]

JPEG by Pillow with optimised tables and 4:2:0, WebP with method 6, each at all qualities. Bits are counted twice: of
whole files, and without what each file has alike: of JPEG all before the coded pixels, its tables too; of WebP the 30
bytes of its container and frame header; of figment's its 17. Between two qualities of a peer its quality is
interpolated. Prints the tables of docs/edits/compress.md, and draws docs/pictures/edit-compress.svg and .png: pictures,
and what JPEG, WebP and figment make of them in files of the same size. Deterministic.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from figment.core.checkpoint import LoadedModel, load_model
from figment.core.images import grid, to_float, to_uint8, write_png
from figment.data.store import Store, spread_rows
from figment.edits import compress
from figment.metrics.psnr import psnr
from figment.metrics.ssim import ssim

PICTURES = Path(__file__).parents[1] / "docs/pictures"
QUALITIES = (0, 1, 2, 3, 5, 7, 10, 15, 20, 25, 30, 40, 50, 60)
STEPS = (30.0, 40.0, 50.0, 60.0, 75.0, 90.0, 110.0, 140.0)
SHOWN = 10  # pictures in the picture
OWN_HEADER = compress.HEADER.size + compress.STEP.size + compress.CHECK.size
WEBP_HEADER = 30  # RIFF and WEBP 12, name and length of the chunk 8, frame header of VP8 10

Codec = Callable[[np.ndarray], tuple[bytes, np.ndarray]]


@dataclass(frozen=True)
class Point:
    """Mean over pictures: bits a pixel of whole files and without headers, PSNR, SSIM. pictures: as they come back."""

    whole: float
    bare: float
    psnr: float
    ssim: float
    pictures: np.ndarray


def pillow(kind: str, quality: int) -> Codec:
    options = {"JPEG": {"optimize": True, "subsampling": 2}, "WEBP": {"method": 6}}[kind]

    def code(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, quality=quality, **options)
        return file.getvalue(), np.asarray(Image.open(file).convert("RGB"))

    return code


def figment(loaded: LoadedModel, pictures: np.ndarray, step: float) -> Codec:
    """What was made of all pictures at once, one after the other; each is a file of its own."""
    coding, height, width = compress.coding_of(loaded.model, loaded.spec, step), *pictures.shape[1:3]
    numbers = coding.numbers(to_float(pictures))
    made = iter([(coding.file(one[None], height, width), coding.tiles(one[None])) for one in numbers])
    again = compress.decompress(loaded.model, loaded.spec, coding.file(numbers[:1], height, width))
    assert (again == coding.tiles(numbers[:1])).all(), "a file opens as what was written"

    def code(pixels: np.ndarray) -> tuple[bytes, np.ndarray]:
        data, back = next(made)
        return data, to_uint8(back)[0]

    return code


def after_jpeg_headers(data: bytes) -> int:
    """Bytes between the header of the scan and the mark of the end."""
    scan = data.index(b"\xff\xda") + 2
    return len(data) - scan - int.from_bytes(data[scan : scan + 2], "big") - 2


def measured(pictures: np.ndarray, code: Codec, bare: Callable[[bytes], int]) -> Point:
    files, back = zip(*map(code, pictures), strict=True)
    came, pixels = np.stack(back), pictures[0].shape[0] * pictures[0].shape[1]
    whole, left = (8 * np.mean([count(file) for file in files]) / pixels for count in (len, bare))
    near = psnr(pictures, came, 255).clip(max=99).mean()
    return Point(float(whole), float(left), float(near), float(ssim(pictures, came, 255).mean()), came)


def at(curve: list[Point], bits: float, by: str, what: str) -> float:
    """A peer's score where its files have so many bits; NaN where it cannot make such."""
    places = [getattr(point, by) for point in curve]
    return float(np.interp(bits, places, [getattr(point, what) for point in curve], left=np.nan, right=np.nan))


def table(own: list[Point], peers: dict[str, list[Point]], by: str) -> str:
    lines = ["| bits a pixel | figment | " + " | ".join(peers) + " |", "|-" * (2 + len(peers)) + "|"]
    for point in own:
        bits = getattr(point, by)
        cells = [f"{bits:.2f}", f"{point.psnr:.1f} dB, {point.ssim:.3f}"]
        for curve in peers.values():
            scores = [at(curve, bits, by, what) for what in ("psnr", "ssim")]
            cells.append("none so small" if np.isnan(scores[0]) else f"{scores[0]:.1f} dB, {scores[1]:.3f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plotted(own: list[Point], peers: dict[str, list[Point]]) -> Figure:
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for place, (by, title) in enumerate((("whole", "whole files"), ("bare", "without headers"))):
        axes = figure.add_subplot(1, 2, place + 1, title=title, xlabel="bits a pixel", ylabel="PSNR, dB", xlim=(0, 3.5))
        for name, curve in {"figment": own, **peers}.items():
            axes.plot([getattr(one, by) for one in curve], [one.psnr for one in curve], ".-", label=name)
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--steps", type=float, nargs="+", default=list(STEPS))
    options = parser.parse_args()
    loaded, store = load_model(options.run), Store(options.dataset)
    pictures = store.images(store.held_out)
    pictures = np.asarray(pictures[spread_rows(len(pictures), options.num)])
    peers = {
        "JPEG": [measured(pictures, pillow("JPEG", quality), after_jpeg_headers) for quality in QUALITIES],
        "WebP": [measured(pictures, pillow("WEBP", one), lambda data: len(data) - WEBP_HEADER) for one in QUALITIES],
    }
    own = []
    for step in options.steps:
        own.append(measured(pictures, figment(loaded, pictures, step), lambda data: len(data) - OWN_HEADER))
        print(f"step {step:g}: {own[-1].whole:.3f} bits a pixel, {own[-1].psnr:.2f} dB", flush=True)
    for by, title in (("whole", "Whole files:"), ("bare", "Without headers:")):
        print(title, table(own, peers, by), sep="\n\n", end="\n\n")
    plotted(own, peers).savefig(PICTURES / "edit-compress.svg", metadata={"Date": None})
    write_png(PICTURES / "edit-compress.png", sheet(pictures, own, peers))


def sheet(pictures: np.ndarray, own: list[Point], peers: dict[str, list[Point]]) -> np.ndarray:
    """Originals, then what each makes of them at as many bits without headers as figment in the middle of its steps."""
    middle = own[len(own) // 2]
    rows = [min(curve, key=lambda one: abs(one.bare - middle.bare)).pictures for curve in peers.values()]
    chosen = spread_rows(len(pictures), SHOWN)
    return grid(np.concatenate([part[chosen] for part in (pictures, *rows, middle.pictures)]), SHOWN, zoom=2)


if __name__ == "__main__":
    main()
