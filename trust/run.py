"""Run campaigns of trust: each attacks one promise so many times, and counts how often it did not hold.

    python trust/run.py [NAME ...] [--trials 1000 | --short] [--seed 0]

A campaign is a file in this folder with `PROMISE` and `METHOD`, a sentence each; `LONG` and `SHORT`, numbers of trials;
and `campaign(trials, folder, seed) -> Tally`, which may do in `folder` what it likes. The result is stored in
`results/NAME.json`, and the table in docs/trust.md is written anew. A short run is only printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "trust.md"
BEGIN, END = "<!-- written by trust/run.py -->\n", "<!-- end -->\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    failed = False
    for name in options.names or names():
        module = load(name)
        trials = options.trials or (module.SHORT if options.short else module.LONG)
        result = run(module, trials, options.seed)
        print(line(name, result), flush=True)
        failed |= bool(result["failures"])
        if not options.short:
            store(name, result)
    return int(failed)


def names() -> list[str]:
    """The campaigns that there are."""
    return sorted(path.stem for path in HERE.glob("[!_]*.py") if "\ndef campaign(" in path.read_text("utf-8"))


def load(name: str) -> Any:
    return importlib.import_module(f"trust.{name}")


def run(module: Any, trials: int, seed: int) -> dict[str, Any]:
    """One campaign, from its promise to its seconds."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="trust-") as folder:
        tally = module.campaign(trials, Path(folder), seed)
    return {
        "promise": module.PROMISE,
        "method": module.METHOD,
        "trials": tally.trials,
        "failures": list(tally.failures),
        "note": tally.note,
        "seed": seed,
        "date": date.today().isoformat(),
        "commit": commit(),
        "seconds": round(time.perf_counter() - began, 1),
    }


def commit() -> str:
    """The commit that was tested; "-dirty" where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True).stdout.strip()


def line(name: str, result: dict[str, Any]) -> str:
    """What a campaign came to, and the first attacks that succeeded."""
    told = f"{name}: {result['trials']:,} trials, {len(result['failures'])} failures, {result['seconds']:.0f} s"
    return "\n  ".join([told + (f"; {result['note']}" if result["note"] else ""), *result["failures"][:10]])


def store(name: str, result: dict[str, Any]) -> None:
    """Keep a result, and write the table of all results anew."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(renewed(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def renewed(page: str) -> str:
    """The text of the page with its table made anew."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def table() -> str:
    """All stored results as Markdown, a row each."""
    rows = ["| Promise | How it is attacked | Trials | Failures | Date | Commit |", "|-|-|-:|-:|-|-|"]
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        method = f"{result['method']} ({result['note']}.)" if result["note"] else result["method"]
        count = f"{result['trials']:,} | {len(result['failures'])}"
        cells = [f"**`{path.stem}`** {result['promise']}", method, count, result["date"], f"`{result['commit']}`"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.path[0] = str(HERE.parent)  # campaigns import each other's parts as `trust._tally`
    raise SystemExit(main())
