"""Training is killed, at any moment and inside saves, again and again; in the end nothing must tell that it was."""

from __future__ import annotations

import json
import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.commands import contents, log, trained
from tests.processes import Process, Processes
from trust import _kills
from trust._tally import Tally

PROMISE = "Training that is killed, however often, and started again ends as if nothing had happened, to the last bit."
METHOD = (
    "Tiny runs of every family, with settings drawn at random (averages, bfloat16, slices, augmentation, optimizer, "
    "schedule), are killed with SIGKILL at random moments and in the middle of a random call on a file of a save; each "
    "is compared with one that was left alone: weights, optimizer, averages, samples, log. Three bugs that are planted "
    "into the program must be noticed."
)
SHORT = 4
LONG = 1_000

KILLS_A_RUN = 6  # then it is left to end in peace


@dataclass
class Attack:
    """Kills made so far, and where they landed."""

    folder: Path
    processes: Processes
    choose: random.Random
    prepared: set[str] = field(default_factory=set)
    runs: int = 0
    kills: int = 0
    under_way: int = 0
    saving: int = 0

    def start(self, setup: dict[str, Any], run: Path, kill_at: int = 0, plant: str = "") -> Process:
        return self.processes.start("trust._kills:train", setup, self.folder / "workshop", run, kill_at, plant)

    def prepare(self, family: str) -> str:
        """Make what a family's trainings need, once; what went wrong."""
        if family in self.prepared:
            return ""
        self.prepared.add(family)
        process = self.processes.start("trust._kills:prepare", family, self.folder / "workshop")
        return f"{family}: {process}" if process.wait() else ""

    def note(self, run: Path, *, is_save: bool) -> None:
        """Count a kill."""
        is_save = is_save or any(run.glob("*/*.tmp"))
        self.kills += 1
        self.saving += is_save
        self.under_way += bool(log(run)) and not is_save and not (run / "model").exists()


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    (folder / "processes").mkdir()
    attack = Attack(folder, Processes(folder / "processes"), random.Random(seed))
    families = attack.choose.sample(_kills.families(), len(_kills.families()))
    failures: list[str] = []
    try:
        while attack.kills < trials:
            setup = _kills.drawn(families[attack.runs % len(families)], attack.choose)
            attack.runs += 1
            if wrong := _attacked(attack, setup):
                failures.append(f"{wrong} ({json.dumps(setup)})")
        blind = [f"not noticed: {plant}" for plant in _kills.PLANTS if plant and not _notices(attack, plant)]
    finally:
        attack.processes.close()
    if not attack.under_way or not attack.saving:
        failures.append("kills do not land where they should")
    note = f"{attack.runs} runs; {attack.saving} kills inside a save, {attack.under_way} between steps"
    return Tally(attack.kills, (*failures, *blind), note)


def _attacked(attack: Attack, setup: dict[str, Any]) -> str:
    """What is wrong with a run that was killed again and again; empty where all is well."""
    whole, run = _fresh(attack.folder / "whole"), _fresh(attack.folder / "killed")
    process = attack.start(setup, whole) if not (wrong := attack.prepare(setup["family"])) else None
    if process is None or process.wait():
        return wrong or f"left alone it failed: {process}"
    if [line["step"] for line in log(whole, "train")] != list(range(1, setup["steps"] + 1)):
        return "left alone it did not take its steps"
    told = json.loads(Path(f"{whole}.json").read_text())
    for number in range(KILLS_A_RUN + 1):
        most = attack.choose.choice((told["calls"], max(1, told["calls"] // 4)))  # what is left becomes less
        kill_at = attack.choose.randint(1, most) if number % 2 and number < KILLS_A_RUN else 0
        process = attack.start(setup, run, kill_at)
        if kill_at or number == KILLS_A_RUN:
            code = process.wait()
        else:
            process.has_ended(attack.choose.uniform(0, told["seconds"]))
            code = process.send(signal.SIGKILL)
        if code == 0:
            break
        if code != -signal.SIGKILL:
            return f"after {number} kills it failed: {process}"
        attack.note(run, is_save=bool(kill_at))
    return _difference(whole, run)


def _difference(whole: Path, run: Path) -> str:
    """In what two runs differ."""
    one, other = ({**trained(path), "averages": contents(path / "averages")} for path in (whole, run))
    return ", ".join(f"its {part} differ" for part in one if one[part] != other[part])


def _notices(attack: Attack, plant: str) -> bool:
    """Whether a run that resumes with a planted bug is told from one that was left alone."""
    setup = _kills.drawn("vae", random.Random(0))
    setup |= {"steps": 6, "augment": {}, "engine": {}}
    setup["train"] |= {"save_every": 2, "ema_half_life": 50, "optimizer": "adam", "schedule": "constant"}
    whole, run = _fresh(attack.folder / "whole"), _fresh(attack.folder / "killed")
    assert not attack.prepare("vae")
    assert attack.start(setup, whole, 0, plant).wait() == 0
    calls = json.loads(Path(f"{whole}.json").read_text())["calls"]
    assert attack.start(setup, run, calls * 2 // 3, plant).wait() == -signal.SIGKILL
    assert attack.start(setup, run, 0, plant).wait() == 0
    return bool(_difference(whole, run))


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder
