"""Does a generator draw what a caption asks for? Drawn figures are read back by code, so nobody has to judge.

    python benchmarks/captions.py RUN DATASET [--num 400] [--set guidance=3 ...] [--out picture.png]

DATASET: `figment data build shapes:40000 --shapes.hold-out 0.1`. Captions of held-out pictures are asked for, in
English and in Chinese: those of val have combinations of colour, figure and place that were trained on, those of test
have one at least that was not. right: the caption is true of the picture, whole (figment.data.shapes_reader). figures:
it shows the asked colours and shapes, wherever they lie. real: captions that are true of the real picture; the reader
errs in the rest.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from figment.core.checkpoint import load_model
from figment.core.images import grid, write_png
from figment.core.types import Condition
from figment.data.captions import encode_captions
from figment.data.shapes_reader import read, shows
from figment.data.store import Store, spread_rows
from figment.evaluate.extract import asked_spec, drawn

LANGUAGES = {"English": 0, "Chinese": -1}  # which of a picture's captions is asked for
SHOWN, COLUMNS = 24, 8


def main() -> None:
    options, answers = asked(__doc__, num=400)
    store = Store(options.dataset)
    sheets = []
    for split in ("val", "test"):
        rows = spread_rows(store.counts[split], options.num)
        real = np.stack([store.images(split)[row] for row in rows])
        for language, place in LANGUAGES.items():
            captions = [store.captions(split)[row][place] for row in rows]
            pixels = answers(captions)
            facts = {"split": split, "language": language} | shares(captions, real, pixels)
            print(json.dumps(facts), flush=True)
            sheets.append(pixels[:SHOWN])
    if options.out:
        write_png(options.out, grid(np.concatenate(sheets), COLUMNS, zoom=2))


def asked(about: str | None, num: int) -> tuple[argparse.Namespace, Callable[[Sequence[str]], np.ndarray]]:
    """What the command line asks for, and the run's answers to captions, uint8 (N, H, W, C), of seeds 0 and up."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--num", type=int, default=num)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=NUMBER", help="settings of sampling")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    loaded = load_model(options.run)
    told = {name: json.loads(value) for name, _, value in (word.partition("=") for word in options.set)}
    settings = replace(loaded.sampling or loaded.sampling_type(), **told) if told else loaded.sampling

    def answers(captions: Sequence[str]) -> np.ndarray:
        texts = torch.from_numpy(encode_captions(captions, asked_spec(loaded).caption_bytes).copy())
        return drawn(loaded.model, range(len(captions)), Condition(captions=texts), settings)

    return options, answers


def shares(asked: list[str], real: np.ndarray, pixels: np.ndarray) -> dict[str, float]:
    """Drawn pictures that show what was asked; real ones whose caption the reader confirms."""
    return {
        "right": float(np.mean([*map(shows, pixels, asked)])),
        "figures": float(np.mean([kinds(one) == kinds(other) for one, other in zip(pixels, real, strict=True)])),
        "real": float(np.mean([*map(shows, real, asked)])),
    }


def kinds(pixels: np.ndarray) -> list[tuple[str, str]]:
    """Colour and shape of each figure."""
    return sorted((figure.colour, figure.shape) for figure in read(pixels).figures)


if __name__ == "__main__":
    main()
