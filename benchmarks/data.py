"""Cleaning photo-sized JPEGs: figment's build against cleanvision and imagededup, in one run and on one core.

    python -m venv peers && peers/bin/pip install cleanvision scikit-learn PyWavelets tqdm
    peers/bin/pip install --no-deps imagededup
    FIGMENT_PEERS=peers/bin/python python benchmarks/data.py [--photos 250] [--rounds 3]

figment reads, takes a file's digest, decodes strictly, hashes, measures and makes thumbnails, all in one decode;
cleanvision finds all its issues; imagededup encodes with PHash. Seconds are of the processor, of each program and its
children, without the time that Python takes to start and import, and after four photos that are not counted. Prints
each round and the ratios; without FIGMENT_PEERS, figment's half alone.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

SIZE = 768, 1024

CLOCK = """
import resource, sys
def used():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
"""
# Each defines run(folder).
PROGRAMS = {
    "figment": """
from figment.core import plugins
from figment.core.types import Rejected
from figment.data.outcome import source_digest
from figment.data.sources import folder
step = plugins.load("steps", "decode")
def run(photos):
    for record in folder.records(folder.Config(photos)):
        source_digest(record)
        assert not isinstance(step.mend(record, step.Config()), Rejected)
""",
    "cleanvision": """
from cleanvision import Imagelab
def run(photos):
    Imagelab(data_path=photos).find_issues(n_jobs=1, verbose=False)
""",
    # Its networks need torchvision, which hashing does not.
    "imagededup PHash": """
import types
sys.modules["imagededup.methods.cnn"] = types.SimpleNamespace(CNN=None)
sys.modules["imagededup.utils.models"] = types.SimpleNamespace(CustomModel=None)
from imagededup.methods import PHash
def run(photos):
    PHash(verbose=False).encode_images(photos, num_enc_workers=0)
""",
}

MEASURE = """
run(sys.argv[2])
began = used()
run(sys.argv[1])
print(used() - began)
"""


def photo(seed: int) -> np.ndarray:
    """uint8 (768, 1024, 3): noise whose power falls with frequency as that of photographs, and shapes."""
    rng = np.random.default_rng(seed)
    height, width = SIZE
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = rng.normal(size=(3, *frequency.shape)) + 1j * rng.normal(size=(3, *frequency.shape))
    picture = np.fft.irfft2(spectrum / frequency**1.2, SIZE).transpose(1, 2, 0)
    picture = np.ascontiguousarray(128 + 45 * picture / picture.std())
    for _ in range(6):
        centre, size = rng.integers(0, [width, height]), int(rng.integers(20, 200))
        cv2.circle(picture, (int(centre[0]), int(centre[1])), size, rng.uniform(0, 255, 3).tolist(), -1)
    return picture.clip(0, 255).astype(np.uint8)


def seconds(name: str, folder: Path, few: Path) -> float:
    """Of the processor, for one program over all photos, after it has seen a few."""
    python = sys.executable if name == "figment" else os.environ["FIGMENT_PEERS"]
    words = [python, "-c", CLOCK + PROGRAMS[name] + MEASURE, str(folder), str(few)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    output = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    return float(output.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    names = list(PROGRAMS) if os.environ.get("FIGMENT_PEERS") else ["figment"]
    taken: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as place:
        folder, few = Path(place) / "photos", Path(place) / "few"
        folder.mkdir(), few.mkdir()
        for seed in range(options.photos):
            quality = [cv2.IMWRITE_JPEG_QUALITY, 80 + seed % 16]
            (folder / f"{seed}.jpg").write_bytes(cv2.imencode(".jpg", photo(seed), quality)[1].tobytes())
            if seed < 4:
                (few / f"{seed}.jpg").write_bytes((folder / f"{seed}.jpg").read_bytes())
        for _ in range(options.rounds):
            for name in names:
                taken[name].append(seconds(name, folder, few) / options.photos)
                print(f"{name}: {1000 * taken[name][-1]:.2f} ms a photo", flush=True)
    for name in names[1:]:
        ratios = [theirs / ours for ours, theirs in zip(taken["figment"], taken[name], strict=True)]
        print(f"figment is {statistics.median(ratios):.1f} [{min(ratios):.1f}..{max(ratios):.1f}] times {name}")


if __name__ == "__main__":
    main()
