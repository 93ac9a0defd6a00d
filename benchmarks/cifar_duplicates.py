"""The duplicates of a dataset as a page for the docs: which picture is a copy of which, and all of them side by side.

    figment data build cifar10-jpeg.tar.xz --out datasets/cifar10 --size 32
    python benchmarks/cifar_duplicates.py datasets/cifar10

Writes docs/cifar-duplicates.md and docs/pictures/cifar-duplicates.png from the index and the shards alone.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from figment.core.images import encode_png
from figment.data.pixels import decode_png, to_channels
from figment.data.store import Store

DOCS = Path(__file__).parents[1] / "docs"
PICTURE = "pictures/cifar-duplicates.png"

ACROSS = 12  # pairs in a row of the picture
SCALE = 2
GAP, CAPTION = 8, 12  # pixels

PAGE = """# The duplicates of CIFAR-10

{number} of {total:,} pictures are copies of another one ({kinds}); {crossing} of them of one in the other split.
Found by [near_duplicates](steps.md#near_duplicates) with its default settings, in the JPEG edition of CIFAR-10:

```sh
figment data build cifar10-jpeg.tar.xz --out datasets/cifar10 --size 32
python benchmarks/cifar_duplicates.py datasets/cifar10
```

![each pair: the picture that is kept, and the copy that is refused]({picture})

| | kept | refused | what it is |
| --- | --- | --- | --- |
{rows}
"""


@dataclass(frozen=True)
class Copy:
    """A refused picture. kept: the key of the one that it is a copy of; what: in which way."""

    key: str
    kept: str
    what: str

    @property
    def crosses(self) -> bool:
        """Whether one is there to train on and the other one to test with."""
        return self.key.partition("/")[0] != self.kept.partition("/")[0]


def copies(store: Store) -> list[Copy]:
    """All that were refused as copies, in the order of the dataset."""
    found = []
    for one in store.rejected():
        if one.step == "near_duplicates":
            what, _, kept = one.reason.partition(" of ")
            found.append(Copy(one.key, kept.partition(", which is labelled")[0], what))
        elif one.step == "exact_duplicates":
            found.append(Copy(one.key, one.reason.removeprefix("same pixels as "), "same pixels"))
    return found


def picture(store: Store, pairs: Sequence[Copy]) -> np.ndarray:
    """uint8 (H, W, 3): the pairs, numbered from 1."""
    side = SCALE * store.spec.height
    height, width = side + CAPTION + GAP, 2 * side + GAP
    sheet = np.full((-(-len(pairs) // ACROSS) * height, ACROSS * width, 3), 255, np.uint8)
    for number, pair in enumerate(pairs):
        top, left = number // ACROSS * height, number % ACROSS * width
        cv2.putText(sheet, str(number + 1), (left, top + CAPTION - 2), cv2.FONT_HERSHEY_SIMPLEX, 0.35, (0, 0, 0), 1)
        for place, key in enumerate((pair.kept, pair.key)):
            pixels = to_channels(decode_png(store.encoded(key)), 3).repeat(SCALE, 0).repeat(SCALE, 1)
            sheet[top + CAPTION : top + CAPTION + side, left + place * side : left + (place + 1) * side] = pixels
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    store = Store(parser.parse_args().dataset)
    pairs = copies(store)
    kinds = ", ".join(f"{what}: {number}" for what, number in Counter(pair.what for pair in pairs).most_common())
    rows = [f"| {number} | {one.kept} | {one.key} | {one.what} |" for number, one in enumerate(pairs, 1)]
    page = PAGE.format(
        number=len(pairs),
        total=sum(store.counts.values()) + len(store.rejected()),
        kinds=kinds,
        crossing=sum(pair.crosses for pair in pairs),
        picture=PICTURE,
        rows="\n".join(rows),
    )
    (DOCS / PICTURE).write_bytes(encode_png(picture(store, pairs)))
    (DOCS / "cifar-duplicates.md").write_text(page, encoding="utf-8")
    print(f"{len(pairs)} pairs: {kinds}")


if __name__ == "__main__":
    main()
