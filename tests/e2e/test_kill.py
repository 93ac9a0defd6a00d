"""kill -9 at any moment, the same command again, and in the end everything is as if nothing had happened.

Killed at random: by the clock, and as soon as a checkpoint is seen being written; and killed at every single file that
a training opens, makes or renames, one after the other. (kill -9 says nothing about power loss: what the kernel was
given survives it.)

FIGMENT_KILLS=1000 python -m pytest tests/e2e/test_kill.py      the long form, some minutes
"""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

import figment.evaluate.judge as judging
from figment.cli._main import main
from figment.core.checkpoint import load_model, newest_checkpoint
from figment.train.run import read_run
from tests.commands import log, trained
from tests.processes import Process, Processes

KILLS = int(os.environ.get("FIGMENT_KILLS", "20"))

# Everything on that could make a resumed run another one.
ALL_ON = shlex.split("""
    --scale tiny --steps 15 --train.batch-size 16 --train.slices 2 --train.precision bfloat16
    --train.layout channels_last --train.attention math --train.augment.flip --train.augment.crop 1
    --train.augment.noise 0.05 --train.ema-half-life 200 --train.clip-norm 1
    --train.save-every 3 --train.log-every 1 --train.validate-every 4 --train.sample-every 5
""")

FAMILIES = {
    "classifier": ("--train.patience", 100),  # so that it ships the best and not the last
    "contrastive": ("--train.optimizer", "rmsprop", "--train.l1", "1e-5"),
    "flow": ("--family.net", "unet", "--train.sample-every", 0),  # its samples take longer than all its steps
    "gan": ("--train.schedule", "step", "--train.validate-every", 0),  # it has no loss to validate
    "vae": ("--train.schedule", "plateau"),
}


def train(family: str, dataset: Path, run: Path, *more: object) -> list[str]:
    words = ["train", family, "--data", dataset, "--out", run, *ALL_ON, *FAMILIES[family], *more]
    return [str(word) for word in words]


def is_saving(run: Path) -> bool:
    """Whether a checkpoint has been begun and is not whole."""
    return any((run / "checkpoints").glob("*.tmp"))


def is_under_way(run: Path) -> bool:
    """Whether steps have been taken, and more are to come."""
    return bool(log(run)) and not (run / "model").exists()


@dataclass
class Tally:
    """How many kills landed, and where."""

    kills: int = 0
    under_way: int = 0
    saving: int = 0


def wait_for(moment: object, process: Process) -> None:
    """Until `moment()` is true, or the process has ended."""
    assert callable(moment)
    while not moment() and not process.has_ended():
        time.sleep(0.0005)


def train_under_fire(
    command: list[str], run: Path, tally: Tally, processes: Processes, seconds: float, choose: random.Random
) -> None:
    """Train; kill, and train on, until it has ended or the tally is full. Then it is left to end in peace."""
    while True:
        process = processes.figment(*command)
        if tally.kills < KILLS / len(FAMILIES):
            if tally.kills % 2:
                wait_for(lambda: is_saving(run), process)
                time.sleep(choose.uniform(0, 0.003))
            else:
                process.has_ended(choose.uniform(0, seconds))
            code = process.send(signal.SIGKILL)
        else:
            code = process.wait()
        if code == 0:
            return
        assert code == -signal.SIGKILL, f"it ended with {code}: {process}"
        tally.kills += 1
        tally.under_way += is_under_way(run)
        tally.saving += is_saving(run)


@pytest.mark.parametrize("family", FAMILIES)
def test_killed_at_any_moment_a_run_ends_the_same_to_the_last_bit(family, digits, tmp_path, processes):
    began = time.monotonic()
    process = processes.figment(*train(family, digits.path, tmp_path / "whole"))
    assert process.wait() == 0, str(process)
    seconds = time.monotonic() - began
    whole = trained(tmp_path / "whole")
    assert [line["step"] for line in whole["log"] if line["kind"] == "train"] == list(range(1, 16))
    assert {name.split("/")[0] for name in whole["checkpoints"]} >= {"00000012", "00000015"}

    tally, trials, choose = Tally(), 0, random.Random(family)
    while tally.kills < KILLS / len(FAMILIES) or not (tally.under_way and tally.saving):
        run = tmp_path / f"killed-{trials}"
        train_under_fire(train(family, digits.path, run), run, tally, processes, seconds, choose)
        assert trained(run) == whole
        trials += 1
        assert trials < 20 + KILLS, f"kills do not land where they should: {tally}"
    print(family, tally)  # python -m pytest -rP shows it


# At every file.


def count_files(under: str, act: object) -> None:
    """Call `act(number)` before each file below a folder that is opened for writing, made or renamed."""
    assert callable(act)
    seen = 0

    def watch(event: str, details: tuple) -> None:
        nonlocal seen
        is_write = event == "open" and isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR)
        if (is_write or event in ("os.rename", "os.mkdir")) and str(details[0]).startswith(under):
            seen += 1
            act(seen)

    sys.addaudithook(watch)  # for good: only in a process of its own


def train_and_die(number: int, run: str, command: list[str]) -> int:
    """In a process of its own: train, and die before the n-th file."""
    count_files(run, lambda seen: os.kill(os.getpid(), signal.SIGKILL) if seen == number else None)
    return main(command)


def test_killed_at_every_single_file_a_run_ends_the_same(digits, tmp_path, processes):
    steps = ("--steps", 2, "--train.save-every", 1, "--train.sample-every", 2)
    assert processes.figment(*train("gan", digits.path, tmp_path / "whole", *steps)).wait() == 0
    whole = trained(tmp_path / "whole")
    kills, wholes = 0, 0
    while True:
        run = tmp_path / f"killed-{kills}"
        command = train("gan", digits.path, run, *steps)
        process = processes.start("tests.e2e.test_kill:train_and_die", kills + 1, run, command)
        code = process.wait()
        if code == 0:
            break
        assert code == -signal.SIGKILL, str(process)
        kills += 1
        newest = newest_checkpoint(run / "checkpoints", pytest.fail)  # whole or absent, never damaged
        wholes += newest is not None
        process = processes.figment(*command)
        assert process.wait() == 0, f"after a kill at file {kills}: {process}"
        assert trained(run) == whole, f"after a kill at file {kills}"
    assert trained(run) == whole
    assert kills > 20 and 5 < wholes < kills


def test_while_a_finished_run_is_trained_further_there_is_always_a_model(digits, tmp_path, processes):
    """The old one or the new one, at every file; never a mixture of both."""
    steps = ("--train.save-every", 1, "--train.sample-every", 0, "--steps")
    start = processes.figment(*train("gan", digits.path, tmp_path / "start", *steps, 1))
    assert start.wait() == 0, str(start)
    digest, kills, models = load_model(tmp_path / "start").digest, 0, []
    while True:
        run = shutil.copytree(tmp_path / "start", tmp_path / f"killed-{kills}")
        command = train("gan", digits.path, run, *steps, 2)
        code = processes.start("tests.e2e.test_kill:train_and_die", kills + 1, run, command).wait()
        models.append(load_model(run).digest)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
    assert kills > 12 and set(models) == {digest, models[-1]} and models[0] == digest != models[-1]


def make_and_die(number: int, out: str, words: list[str]) -> int:
    """In a process of its own: the whole way, with a judge that is trained for a moment only, until the n-th file."""
    judging.LEAST_IMAGES = 2000
    return train_and_die(number, out, words)


def test_the_whole_way_killed_again_and_again_arrives(shapes, tmp_path, processes):
    """Killed while the dataset is built, the judge trained, the generator trained, the samples and scores written."""
    out = tmp_path / "out"
    words = ["make", str(shapes), "--out", str(out), "--size", "8", "--minutes", "0.01", "--json"]
    kills = 0
    for number in (2, 6, 9, 13, 17, 21, 25, 10_000):
        process = processes.start("tests.e2e.test_kill:make_and_die", number, out, words)
        code = process.wait()
        assert code in (0, -signal.SIGKILL), str(process)
        kills += code != 0
    assert code == 0 and kills >= 5
    parts = {"dataset", "run", "samples.png", "report.html"}
    assert parts == {path.name for path in out.iterdir()}
    assert load_model(out / "run").facts["step"] == read_run(out / "run").steps


# Real processes, and gentler signals.


def test_a_real_process_is_no_different(digits, tmp_path, processes):
    steps = ("--steps", 100, "--train.sample-every", 0, "--train.save-every", 9)
    run, whole = tmp_path / "run", tmp_path / "whole"
    assert processes.figment(*train("gan", digits.path, whole, *steps)).wait() == 0
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "figment", *train("gan", digits.path, run, *steps)]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) as process:
        while process.poll() is None and len(log(run)) < 8:
            time.sleep(0.001)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert is_under_way(run)
    again = processes.figment(*command[3:])
    assert again.wait() == 0, str(again)
    assert trained(run) == trained(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_asked_to_stop_it_saves_everything_and_ends_with_130(digits, tmp_path, processes, number):
    steps = ("--steps", 100, "--train.save-every", 60, "--train.sample-every", 0, "--train.batch-size", 128)
    run = tmp_path / "run"
    command = train("vae", digits.path, run, *steps)
    process = processes.figment(*command)
    wait_for(lambda: len(log(run)) >= 5, process)
    assert process.send(number) == 130
    assert str(process).splitlines() == [
        "warning: stopping after this step; everything is being saved",
        "figment: interrupted; everything is saved, give the same command again to go on",
    ]
    newest = newest_checkpoint(run / "checkpoints", pytest.fail)
    assert newest is not None and newest.step == log(run, "train")[-1]["step"] < 100
    again = processes.figment(*command)
    assert again.wait() == 0, str(again)
    assert "trained 100 steps" in str(again)
    assert [line["step"] for line in log(run, "train")] == list(range(1, 101))
