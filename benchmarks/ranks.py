"""Two processes on two cores against one process on one core: the same run of a flow, float32, in two slices.

    python benchmarks/run.py ranks

A flow with a U-Net learns scikit-learn's digits at 32x32, in batches of 32, by the command that anyone would give, with
`torchrun --nproc-per-node 2` and without. Speeds are of the steps alone, as the run's log has them, after the first
few; the losses of all steps must be the same.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BATCH, STEPS, UNTIMED = 32, 12, 4
TOLERANCE = 1e-4  # of a loss: the order in which floats are added up is another
SETTINGS = {
    "batch-size": BATCH,
    "slices": 2,
    "precision": "float32",
    "layout": "channels_last",
    "attention": "math",
    "log-every": 1,
    "validate-every": 0,
    "sample-every": 0,
}
TRAIN = [word for name, value in SETTINGS.items() for word in (f"--train.{name}", str(value))]
ALONE = [sys.executable, "-m", "figment"]
TOGETHER = [
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
    *("-m", "figment"),
]


def speeds(rounds: int) -> dict[str, list[float]]:
    """Pictures a second of both, in each round."""
    found: dict[str, list[float]] = {"2 processes": [], "1 process": []}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "digits"
        figment(ALONE, ["data", "build", "digits:", "--out", str(data), "--size", "32"])
        for index in range(rounds):
            two, two_losses = trained(TOGETHER, data, Path(folder) / f"two-{index}")
            one, one_losses = trained(ALONE, data, Path(folder) / f"one-{index}")
            found["2 processes"].append(BATCH / two)
            found["1 process"].append(BATCH / one)
            worst = max([worst, *(abs(a / b - 1) for a, b in zip(two_losses, one_losses, strict=True))])
            assert worst < TOLERANCE, f"losses differ: {two_losses} and {one_losses}"
    for name, values in found.items():
        print(f"ranks: {name}: {BATCH / statistics.median(values):.3f} s a step")
    print(f"ranks: losses of {STEPS} steps differ by at most {worst:.1g} of their value")
    return found


def trained(start: list[str], data: Path, out: Path) -> tuple[float, list[float]]:
    """Seconds of a step, and the losses of all."""
    figment(start, ["train", "flow", "--data", str(data), "--out", str(out), "--steps", str(STEPS), *TRAIN])
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["kind"] == "train"]
    return statistics.median(line["seconds"] for line in steps[UNTIMED:]), [line["main/loss"] for line in steps]


def figment(start: list[str], words: list[str]) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answer = subprocess.run([*start, *words], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
