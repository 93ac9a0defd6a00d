"""How long the steps for a whole dataset take over very many pictures, and in how much memory.

    python benchmarks/rows.py [--rows 1000000] [--bits 31] [--steps outliers split]
    python benchmarks/rows.py --index datasets/cifar10/index.sqlite

The rows are synthetic, or those of a copy of a dataset's index: no picture is read, since these steps work from the
index alone. Of synthetic ones one in fifty is a near copy of another (some bits of its hash differ, and its thumbnail a
little), one in fifty an exact one. Prints the seconds of each step, the pictures that it refused, and the largest
resident memory so far.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from figment.core import plugins
from figment.data.card import describe
from figment.data.index import Index, Row

STEPS = ("exact_duplicates", "near_duplicates", "outliers", "split")

AT_ONCE = 10_000
EVERY = 50


def rows(number: int, seed: int = 0) -> Iterator[Row]:
    """Rows as a build of 32x32 pictures in ten classes writes them."""
    rng = np.random.default_rng(seed)
    looks = {"side": 32, "sharpness": 0.1, "mean": [128.0] * 3, "deviation": [60.0] * 3, "scale": 1.0}
    for start in range(0, number, AT_ONCE):
        hashes = rng.integers(0, 256, (AT_ONCE, 96), np.uint8)
        coarse = rng.integers(0, 256, (AT_ONCE, 4, 4, 3), np.uint8)
        thumbnails = coarse.repeat(4, axis=1).repeat(4, axis=2)
        for place in range(0, AT_ONCE, EVERY):  # the copy of the row behind it
            thumbnails[place] = thumbnails[place + 1] ^ 1
            hashes[place] = hashes[place + 1]
            hashes[place, :32] ^= (rng.random((32, 8)) < 0.02).dot(1 << np.arange(8)).astype(np.uint8)
        for place in range(min(AT_ONCE, number - start)):
            id = start + place
            original = id + 2 if place % EVERY == 10 else id
            yield Row(
                id,
                f"{id % 10}/{id}.png",
                "accepted",
                pixel_digest=f"{original * 0x9E3779B97F4A7C15 % 2**64:016x}" * 4,
                height=32,
                width=32,
                channels=3,
                label=str(id % 10),
                quality=looks,
                hashes=hashes[place].tobytes(),
                thumbnail=thumbnails[place].tobytes(),
            )


def peak() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB"


def measure(file: Path, number: int, steps: Sequence[str], settings: dict[str, dict[str, float]]) -> None:
    """Add so many rows to the index, and run steps on all that were not refused by a step for single pictures."""
    with Index(file) as index:
        began = time.perf_counter()
        with index.transaction():
            index.add(rows(number))
            index.connection.execute("update images set status = 'accepted' where pixel_digest is not null")
        total, size = index.value("select count(*) from images"), file.stat().st_size / 2**30
        seconds = time.perf_counter() - began
        print(f"{total:,} rows, {size:.2f} GiB: {seconds:.0f} s to write, peak {peak()}", flush=True)
        for name in steps:
            step = plugins.load("steps", name)
            began = time.perf_counter()
            with index.transaction():
                refused = list(step.select(index, step.Config(**settings.get(name, {}))))
                index.reject(refused)
            seconds = time.perf_counter() - began
            print(f"{name}: {seconds:.0f} s, {len(refused):,} refused, peak {peak()}", flush=True)
        began = time.perf_counter()
        index.settle_splits()
        describe(index)
        print(f"card: {time.perf_counter() - began:.0f} s, peak {peak()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=31)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--index", type=Path)
    options = parser.parse_args()
    settings = {"near_duplicates": {"bits": options.bits}, "outliers": {"distance": 2.0}}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "index.sqlite"
        if options.index:
            shutil.copy(options.index, file)
        measure(file, 0 if options.index else options.rows, options.steps, settings)


if __name__ == "__main__":
    main()
