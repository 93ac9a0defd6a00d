"""Every family on the same pictures for the same minutes, before the same judge.

    python benchmarks/families.py DATASET JUDGE [--minutes 10] [--families dcgan r3gan ...] [--out runs/families]

Trains each family that draws pictures of classes with `figment train FAMILY --data DATASET --minutes M`, settings as
they come, then ranks all of them with `figment compare`. Prints a table in Markdown and stores it as
results/families-DATASET.json. Broken off and called again it goes on; runs that are done are only compared.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAMILIES = (
    *("gan", "dcgan", "wgan_gp", "acgan", "infogan", "progan", "biggan", "stylegan2", "r3gan"),
    *("flow", "edm", "ddpm", "meanflow", "vae", "autoencoder"),
)
METRICS = ("fd", "kid", "precision_recall", "density_coverage", "accuracy")
COLUMNS = ("fd", "kid", "precision", "recall", "coverage", "accuracy")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("judge", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--num", type=int, default=2000)
    parser.add_argument("--out", type=Path, default=Path("runs/families"))
    options = parser.parse_args()
    runs = [options.out / family for family in options.families]
    for run in runs:
        figment("train", run.name, "--data", options.dataset, "--minutes", options.minutes, "--out", run)
    words = ("--data", options.dataset, "--judge", options.judge, "--num", options.num, "--metrics", *METRICS)
    answers = json.loads(figment("compare", *runs, *words, "--json"))["runs"]
    rows = [facts(Path(answer["run"])) | {"scores": chosen(answer)} for answer in answers]
    rows.sort(key=lambda row: row["scores"]["fd"]["value"])
    print(table(rows))
    stored = HERE / "results" / f"families-{options.dataset.name}.json"
    stored.write_text(json.dumps({"minutes": options.minutes, "num": options.num, "rows": rows}, indent=1) + "\n")


def figment(*words: object) -> str:
    """What `figment WORDS` answers; its progress goes past."""
    command = [sys.executable, "-m", "figment", *map(str, words)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def chosen(answer: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The columns' scores of one answer of `figment eval`, as many as it has: no accuracy where no class was asked."""
    scores = {name: answer["scores"][name] for name in COLUMNS if name in answer["scores"]}
    return {name: {key: score[key] for key in ("value", "low", "high", "floor")} for name, score in scores.items()}


def facts(run: Path) -> dict[str, Any]:
    """How far a run came: pictures seen, and pictures a second of training."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]
    trained = [line for line in lines if line["kind"] == "train"]
    seconds = sorted(line["seconds"] for line in trained)[len(trained) // 2]
    batch = trained[-1]["seen_images"] / trained[-1]["step"]
    return {"family": run.name, "images": trained[-1]["seen_images"], "images_per_second": batch / seconds}


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: a row for each run, the floors last."""
    lines = ["| | " + " | ".join((*COLUMNS, "images seen", "images/s")) + " |", "|-" * (len(COLUMNS) + 3) + "|"]
    for row in rows:
        scores = " | ".join(cell(row["scores"].get(name)) for name in COLUMNS)
        lines.append(f"| `{row['family']}` | {scores} | {row['images']:,} | {row['images_per_second']:,.0f} |")
    floors = [f"{value['floor']:.3g}" for value in max((row["scores"] for row in rows), key=len).values()]
    return "\n".join([*lines, f"| *floor* | {' | '.join(floors)} | | |"])


def cell(score: dict[str, float] | None) -> str:
    """A score with its interval; nothing of what was not measured."""
    return f"{score['value']:.3g} [{score['low']:.3g}, {score['high']:.3g}]" if score else ""


if __name__ == "__main__":
    main()
