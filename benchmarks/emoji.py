"""Does a generator draw the emoji that a caption names? The nearest of all real ones says which it has drawn.

    python benchmarks/emoji.py RUN DATASET [--num 200] [--set guidance=2 ...] [--out picture.png]

DATASET: `figment data build font:NotoColorEmoji.ttf --font.tones --font.hold-out 0.2 --skip near_duplicates`. Captions
of train, and of test, whose combinations of character and skin tone the run has not seen, are asked for once each. Of
all real pictures, the unseen ones too, the one with the smallest squared difference is what a drawn picture is taken
for. right: it is the asked one. character: it is the asked one, whatever its tone. chance: one in so many. The picture
shows drawn ones, and below each the real one that was asked for: seen ones first.
"""

from __future__ import annotations

import json

import numpy as np
from captions import asked

from figment.core.images import grid, write_png
from figment.data.store import Store, spread_rows

SPLITS = ("train", "test")
COLUMNS = 12


def main() -> None:
    options, answers = asked(__doc__, num=200)
    store = Store(options.dataset)
    real = np.concatenate([np.asarray(store.images(split)) for split in SPLITS])
    names = [caption for split in SPLITS for (caption,) in store.captions(split)]
    begin, rows = 0, []
    for split in SPLITS:
        places = begin + np.asarray(spread_rows(store.counts[split], options.num))
        begin += store.counts[split]
        captions = [names[place] for place in places]
        pixels = answers(captions)
        taken_for = [names[place] for place in nearest(pixels, real)]
        pairs = list(zip(captions, taken_for, strict=True))
        right = np.mean([one == other for one, other in pairs])
        character = np.mean([one.split(",")[0] == other.split(",")[0] for one, other in pairs])
        facts = {"split": split, "num": len(captions), "right": right, "character": character, "chance": len(names)}
        print(json.dumps(facts), flush=True)
        shown = np.asarray(spread_rows(len(captions), 3 * COLUMNS))
        for low in range(0, len(shown), COLUMNS):
            some = shown[low : low + COLUMNS]
            rows += [pixels[some], real[places[some]]]
    if options.out:
        write_png(options.out, grid(np.concatenate(rows), COLUMNS, zoom=2))


def nearest(pixels: np.ndarray, real: np.ndarray) -> np.ndarray:
    """For each of pixels (N, H, W, C) the place of the nearest of real (M, H, W, C)."""
    a, b = (images.reshape(len(images), -1).astype(np.float32) for images in (pixels, real))
    return ((b**2).sum(1) - 2 * a @ b.T).argmin(1)


if __name__ == "__main__":
    main()
