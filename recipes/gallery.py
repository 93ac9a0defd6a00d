"""Make the pictures of the docs, each by the command that stands under it in docs/gallery.md.

    make gallery

Every family is trained on scikit-learn's digits with its defaults; the sampling seeds are 0, 1, 2, ... in order,
nothing is picked. Beside each picture lies a JSON file with its command, its seconds and its scores.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "gallery"

# family -> steps of training
FAMILIES = {"flow": 2500, "vae": 3000, "gan": 6000}


def main() -> None:
    GALLERY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        figment("data", "build", "digits:", "--out", str(place / "digits"))
        for family, steps in FAMILIES.items():
            make(place, family, steps)
    write_page()


def make(place: Path, family: str, steps: int) -> None:
    """Train a family, draw its grid, score it."""
    run, data, picture = str(place / family), str(place / "digits"), place / f"{family}-digits.png"
    started = time.monotonic()
    train = ("train", family, "--data", data, "--out", run, "--steps", str(steps))
    figment(*train)
    seconds = time.monotonic() - started
    sample = ("sample", run, "--num", "80", "--out", str(picture))
    figment(*sample)
    scores = figment("eval", run, "--data", data)["runs"][0]["scores"]
    shutil.copy(picture, GALLERY)
    commands = [" ".join(["figment", *words]).replace(str(place) + "/", "") for words in (train, sample)]
    facts = {"commands": commands, "train_seconds": round(seconds), "scores": scores}
    (GALLERY / f"{family}-digits.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def figment(*words: str) -> dict:
    """A figment command's JSON answer."""
    done = subprocess.run(
        [sys.executable, "-m", "figment", *words, "--json"], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout)


def write_page() -> None:
    """docs/gallery.md from what lies in gallery/."""
    lines = ["# Gallery", "", "Made by `make gallery`; seeds in order, nothing picked. Columns are classes.", ""]
    for path in sorted(GALLERY.glob("*.json")):
        facts = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"## {path.stem}", "", f"![{path.stem}](../gallery/{path.stem}.png)", "", "```"]
        lines += [*facts["commands"], "```", "", f"Training took {facts['train_seconds']} s on two CPU cores.", ""]
        lines += ["| score | value | 95% interval | floor |", "|-|-|-|-|"]
        for name, one in facts["scores"].items():
            floor = "" if one["floor"] is None else f"{one['floor']:.3g}"
            lines.append(f"| {name} | {one['value']:.3g} | {one['low']:.3g} to {one['high']:.3g} | {floor} |")
        lines.append("")
    (ROOT / "docs" / "gallery.md").write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
