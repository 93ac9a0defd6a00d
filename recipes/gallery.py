"""Make the pictures of the docs, each by its recipe's commands, which stand under it in docs/gallery.md.

    make gallery                              all of them
    python -m recipes.gallery digits_flow     these

Beside each picture lies a JSON file with its commands, its seconds of training and its scores; the recipe is told of
them too.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from recipes.run import Run

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "gallery"
PAGE = ROOT / "docs" / "gallery.md"
TOLD = ("fd", "accuracy", "coverage", "psnr", "ssim")  # of all that was measured, in a recipe


def names() -> list[str]:
    """Every recipe: the files that are named after a dataset and a family, as in digits_flow.py."""
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*_*.py"))


def recipe(name: str) -> Run:
    return importlib.import_module(f"recipes.{name}").recipe()


def make(run: Run, folder: Path) -> None:
    """Give a recipe's commands in a folder, and put the picture and what was measured into the gallery."""
    seconds, answer = 0.0, {}
    for command in run.commands:
        started = time.monotonic()
        answer = figment(command, folder)
        seconds += (time.monotonic() - started) * command.startswith("figment train ")
    shutil.copy(folder / (run.found or run.picture), GALLERY / run.picture)
    facts = {
        "commands": run.commands,
        "train_seconds": round(seconds),
        "cores": len(os.sched_getaffinity(0)),
        "scores": answer["runs"][0]["scores"] if "runs" in answer else {},
    }
    path = (GALLERY / run.picture).with_suffix(".json")
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def told(run: Run) -> dict[str, str]:
    """What the docstring of a recipe says of its picture, by what it begins with."""
    facts = json.loads((GALLERY / run.picture).with_suffix(".json").read_text("utf-8"))
    trainings = [command for command in run.commands if command.startswith("figment train ")]
    return {
        "cost": f"{facts['train_seconds']} s of training on {spent_on(facts)}",
        "score": ", ".join(score(name, facts["scores"][name]) for name in TOLD if name in facts["scores"]) or "none",
        "command": trainings[-1],
    }


def score(name: str, one: dict) -> str:
    return f"{name} {one['value']:.3g}" + (f" (floor {one['floor']:.3g})" if name == "fd" else "")


def spent_on(facts: dict) -> str:
    return "one CPU core" if facts["cores"] == 1 else f"{facts['cores']} CPU cores"


def tell(name: str) -> None:
    """Write into a recipe's docstring what was measured."""
    path = Path(__file__).with_name(f"{name}.py")
    text = path.read_text("utf-8")
    for word, fact in told(recipe(name)).items():
        text = re.sub(rf"^{word:<10}.*$", lambda _, line=f"{word:<10}{fact}": line, text, count=1, flags=re.MULTILINE)
    path.write_text(text, encoding="utf-8")


def figment(command: str, folder: Path) -> dict:
    """The JSON answer of a `figment ...` line, given in a folder."""
    words = [sys.executable, "-m", *shlex.split(command), "--json"]
    return json.loads(subprocess.run(words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout)


def page() -> str:
    """The text of docs/gallery.md, from what lies in gallery/."""
    about = "Made by `make gallery`; seeds in order, nothing picked. Columns of digits are classes."
    lines = ["# Gallery", "", f"{about} Floors and intervals stand below.", ""]
    every = {path: json.loads(path.read_text(encoding="utf-8")) for path in sorted(GALLERY.glob("*.json"))}
    lines += ["| | training, s | " + " | ".join(TOLD) + " |", "|-" * (len(TOLD) + 2) + "|"]
    for path, facts in every.items():
        scores = (f"{facts['scores'][name]['value']:.3g}" if name in facts["scores"] else "" for name in TOLD)
        lines.append(f"| [{path.stem}](#{path.stem}) | {facts['train_seconds']} | {' | '.join(scores)} |")
    lines.append("")
    for path, facts in every.items():
        lines += [f"## {path.stem}", "", f"![{path.stem}](../gallery/{path.stem}.png)", "", "```"]
        lines += [*facts["commands"], "```", "", f"Training took {facts['train_seconds']} s on {spent_on(facts)}.", ""]
        lines += ["| score | value | 95% interval | floor |", "|-|-|-|-|"] if facts["scores"] else []
        for name, one in facts["scores"].items():
            floor = "" if one["floor"] is None else f"{one['floor']:.3g}"
            lines.append(f"| {name} | {one['value']:.3g} | {one['low']:.3g} to {one['high']:.3g} | {floor} |")
        lines.append("")
    return "\n".join(lines)


def main(asked: Sequence[str]) -> None:
    GALLERY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:  # one for all: a dataset that is there is not built again
        for name in asked or names():
            make(recipe(name), Path(folder))
            tell(name)
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
