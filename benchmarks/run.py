"""Run benchmarks: contenders on the same work, interleaved round by round, compared by the ratio within each round.

    python benchmarks/run.py [NAME ...] [--rounds 7]

A benchmark is a file in this folder with `contenders() -> dict[str, Callable[[], int]]`: each call does the same piece
of work and returns how many pictures (or rows) it handled. One that takes its own time has `speeds(rounds) -> dict[str,
list[float]]` in its place, pictures a second in each round. The first contender is figment's; where names begin with a
group, as "kid: figment", the first of each group is. Absolute times wander with the machine's other work; ratios within
a round do not, so only they are compared and stored, in `results/NAME.json`.

A ratio that is more than a tenth below the stored one of the same machine is reported as a regression, the exit code is
1, and what is stored stays.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import re
import statistics
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

HERE = Path(__file__).parent
WORSE = 0.9  # a ratio below this share of the stored one is reported as a regression
CONTRACT = re.compile(r"^def (contenders|speeds)\(", re.MULTILINE)
ABILITIES = ("avx512_bf16", "amx_bf16")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    every = sorted(path.stem for path in HERE.glob("*.py") if CONTRACT.search(path.read_text("utf-8")))
    worse = [run(name, options.rounds) for name in options.names or every]
    return 1 if any(worse) else 0


def run(name: str, rounds: int) -> bool:
    """Run one benchmark, print and store its ratios; True where one of them fell by more than a tenth."""
    module = load(name)
    speeds = module.speeds(rounds) if hasattr(module, "speeds") else measure(module.contenders(), rounds)
    result = {"date": date.today().isoformat(), "machine": machine(), "rounds": rounds, "ratios": {}}
    for ours, other in pairs([*speeds]):
        ratios = [a / b for a, b in zip(speeds[ours], speeds[other], strict=True)]
        result["ratios"][f"{ours} / {other.rpartition(': ')[2]}"] = {
            "median": statistics.median(ratios),
            "range": [min(ratios), max(ratios)],
        }
    result["per_second"] = {contender: statistics.median(values) for contender, values in speeds.items()}
    path = HERE / "results" / f"{name}.json"
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    before = stored["ratios"] if stored.get("machine") == result["machine"] else {}
    regressed = False
    for title, ratio in result["ratios"].items():
        low, high = ratio["range"]
        print(f"{name}: {title}: {ratio['median']:.2f} [{low:.2f}..{high:.2f}]")
        if ratio["median"] < WORSE * before.get(title, {"median": 0})["median"]:
            print(f"{name}: {title}: REGRESSION, was {before[title]['median']:.2f}")
            regressed = True
    if not regressed:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    return regressed


def pairs(names: list[str]) -> list[tuple[str, str]]:
    """The first contender of each group with each other one of it."""
    firsts: dict[str, str] = {}
    return [(ours, name) for name in names if (ours := firsts.setdefault(name.rpartition(": ")[0], name)) != name]


def measure(contenders: dict[str, Callable[[], int]], rounds: int) -> dict[str, list[float]]:
    """Pictures a second of each contender in each round, after one round that is not counted."""
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for counted in [False] + [True] * rounds:
        for name, work in contenders.items():
            started = time.perf_counter()
            count = work()
            if counted:
                speeds[name].append(count / (time.perf_counter() - started))
    return speeds


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec and spec.loader, f"no benchmark {name}"
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def machine() -> str:
    """Processor, what it has for bfloat16, threads and torch: ratios of other machines are others."""
    import torch

    info = Path("/proc/cpuinfo")
    told = info.read_text(encoding="utf-8") if info.exists() else ""
    name = re.search(r"model name\s*: (.*)", told)
    processor = " ".join([name[1] if name else platform.machine(), *(one for one in ABILITIES if one in told.split())])
    return f"{processor}, {torch.get_num_threads()} threads, torch {torch.__version__}"


if __name__ == "__main__":
    raise SystemExit(main())
