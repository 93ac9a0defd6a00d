"""Disks that are full, or cannot be written: real ones, mounted for one process, and each single write refused in turn.

What must hold after each: one line that says what to do, exit code 2, and the old state or the new one, never a
mixture; and with the disk mended, the same command again ends as if nothing had happened.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from figment.core.checkpoint import newest_checkpoint
from tests import processes as own
from tests.commands import QUICK, contents, done, figment, trained
from tests.processes import Processes, call

HERE = "tests.e2e.test_disk"
STEPS = ("--steps", 6, "--train.save-every", 2, "--train.validate-every", 3)


def train(dataset: object, run: object, *more: object) -> tuple[object, ...]:
    return ("train", "vae", "--data", dataset, "--out", run, *QUICK, *STEPS, *more)


@pytest.fixture(scope="module")
def disks(processes: Processes, tmp_path_factory) -> Processes:
    """The server of processes, where those may mount disks of their own."""
    process = processes.start("tests.processes:try_mounts", tmp_path_factory.mktemp("disk"))
    if process.wait():
        pytest.skip(f"needs a system on which a disk can be mounted: {str(process).splitlines()[-1]}")
    return processes


@pytest.fixture(scope="module")
def whole(digits, tmp_path_factory) -> Path:
    """A run that had all the room it wanted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    done(*train(digits.path, run))
    return run


# Full. The functions below run in processes of their own.


@contextmanager
def full(disk: Path, spare: int = 0) -> Iterator[None]:
    """Fill a disk but for some spare bytes, and free it again."""
    filler, left = disk / "filler", shutil.disk_usage(disk).free - spare
    try:
        with filler.open("wb") as file:
            file.write(bytes(max(0, left // 4096 * 4096)))
        yield
    finally:
        filler.unlink()


def training(disk: str, dataset: str, whole: str) -> None:
    own.own_mounts()
    own.mount_disk(Path(disk), "32m")
    run = Path(disk) / "run"
    for spare in (0, 4096, 65536, 300_000, 1_000_000):
        shutil.copytree(Path(whole), run)
        shutil.rmtree(run / "checkpoints" / "00000006")  # as it was when killed after step 4
        shutil.rmtree(run / "model")
        before = contents(run / "checkpoints")
        with full(Path(disk), spare):
            refused = figment(*train(dataset, run))
            full_disk = "the disk is full; free some space and give the same command again, what is saved is kept"
            assert refused.complaint.endswith(full_disk), refused.err
            assert before.items() <= contents(run / "checkpoints").items()
            newest = newest_checkpoint(run / "checkpoints", pytest.fail)
            assert newest is not None and newest.step == (6 if spare == 1_000_000 else 4)  # then the model does not fit
        done(*train(dataset, run))
        assert trained(run) == trained(Path(whole)), f"with {spare} bytes to spare"
        shutil.rmtree(run)


def test_training_on_a_full_disk_keeps_what_is_saved_and_goes_on_when_there_is_room(disks, digits, whole, tmp_path):
    call(disks, f"{HERE}:training", tmp_path, digits.path, whole)


def building(disk: str) -> None:
    own.own_mounts()
    own.mount_disk(Path(disk), "64k")
    out = Path(disk) / "dataset"
    refused = figment("data", "build", "digits:", "--out", out)
    told = "no space left on the disk; free some and give the same command again, it goes on from here"
    assert refused.complaint == f"{out}: {told}"
    assert not (out / "card.json").exists()
    own.resize_disk(Path(disk), "32m")
    done("data", "build", "digits:", "--out", out)
    assert (out / "card.json").exists()


def test_building_on_a_full_disk_goes_on_when_there_is_room(disks, tmp_path):
    call(disks, f"{HERE}:building", tmp_path)


def sampling(disk: str, run: str) -> None:
    own.own_mounts()
    own.mount_disk(Path(disk), "1m")
    for out in (Path(disk) / "grid.png", Path(disk) / "pictures"):
        done("sample", run, "--num", 4, "--out", out)
        before = contents(Path(disk))
        with full(Path(disk)):
            refused = figment("sample", run, "--num", 4, "--seed", 9, "--out", out)
            assert "the disk is full; free some space" in refused.complaint
            assert before.items() <= contents(Path(disk)).items()  # not emptied before it is known that there is room
        assert done("sample", run, "--num", 4, "--out", out).code == 0


def test_sampling_on_a_full_disk_keeps_the_pictures_that_were_there(disks, whole, tmp_path):
    call(disks, f"{HERE}:sampling", tmp_path, whole)


# Not to be written.


def reading_only(folder: str) -> None:
    place = Path(folder)
    own.own_mounts()
    own.mount_read_only(place)
    with pytest.raises(OSError, match="Read-only"):
        (place / "file").write_text("")
    run, dataset = place / "run", place / "digits"
    before = contents(place)
    for words in (
        ("data", "build", "digits:", "--out", place / "new"),
        ("data", "split", dataset, "--val", 0.3),
        ("data", "report", dataset),
        train(dataset, place / "new"),
        train(dataset, run, "--steps", 8),
        train(dataset, run, "--fresh"),
        ("sample", run, "--num", 1, "--out", place / "one.png"),
        ("sample", run, "--num", 1, "--out", place / "new"),
        ("make", "digits:", "--out", place / "new", "--minutes", 0.01),
    ):
        complaint = figment(*words).complaint
        assert str(place) in complaint, complaint
        assert complaint.endswith(
            ("read-only; give --out a folder that you may write to", "cannot be written; give a folder of your own")
        )
    assert contents(place) == before


def test_a_folder_that_cannot_be_written_is_said_in_one_line_and_loses_nothing(disks, digits, whole, tmp_path):
    digits.images("train")
    shutil.copytree(digits.path, tmp_path / "digits")
    shutil.copytree(whole, tmp_path / "run")
    call(disks, f"{HERE}:reading_only", tmp_path)


def using(folder: str, elsewhere: str) -> None:
    place, free = Path(folder), Path(elsewhere)
    own.own_mounts()
    own.mount_read_only(place)
    done(*train(place / "digits", free / "run"))
    done("sample", place / "run", "--num", 2, "--out", free / "two.png")
    done("data", "report", place / "digits", "--out", free / "report.html")
    judge = ("--judge", place / "judge", "--metrics", "fd", "--num", 60)
    done("eval", place / "run", "--data", place / "digits", *judge)


def test_what_is_only_read_may_lie_in_such_a_folder(disks, digits, whole, tmp_path):
    place, elsewhere = tmp_path / "place", tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copytree(digits.path, place / "digits")
    shutil.copytree(whole, place / "run")
    done("train", "classifier", "--data", digits.path, "--out", place / "judge", *QUICK, "--steps", 2)
    call(disks, f"{HERE}:using", place, elsewhere)


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root; the disks above do")
def test_permissions_are_told_like_a_disk_that_cannot_be_written(digits, tmp_path):
    (tmp_path / "mine").mkdir(mode=0o555)
    refused = figment(*train(digits.path, tmp_path / "mine" / "run"))
    assert "permission denied; give --out a folder that you may write to" in refused.complaint


# Every write refused, one after the other.


def refuse_writes(under: str, refused: dict[str, int]) -> None:
    """From now on in this process: the n-th write below a folder fails (and all later ones, where `sticky` says so)."""

    def watch(event: str, details: tuple) -> None:
        is_write = event == "open" and isinstance(details[2], int) and details[2] & (os.O_WRONLY | os.O_RDWR)
        if (is_write or event in ("os.rename", "os.mkdir")) and str(details[0]).startswith(under):
            refused["seen"] += 1
            is_due = refused["seen"] >= refused["at"] if refused["sticky"] else refused["seen"] == refused["at"]
            if refused["at"] and is_due:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(details[0]))

    sys.addaudithook(watch)


def failing(folder: str, dataset: str, sticky: str) -> None:
    refused = {"at": 0, "seen": 0, "sticky": int(sticky)}
    refuse_writes(folder, refused)
    short = ("--steps", 2, "--train.save-every", 1)
    whole = Path(folder) / "whole"
    done(*train(dataset, whole, *short))
    number = 0
    while True:
        number += 1
        run = Path(folder) / f"run-{number}"
        refused |= {"at": number, "seen": 0}
        answer = figment(*train(dataset, run, *short))
        refused["at"] = 0
        if answer.code == 0:
            break
        assert "the disk is full; free some space" in answer.complaint, f"write {number}: {answer.err}"
        newest_checkpoint(run / "checkpoints", pytest.fail)  # whole or absent
        done(*train(dataset, run, *short))
        assert trained(run) == trained(whole), f"write {number}"
    assert number > 20


@pytest.mark.parametrize("sticky", [0, 1], ids=["once", "from then on"])
def test_whichever_write_is_refused_nothing_is_lost_and_the_run_ends_the_same(processes, digits, tmp_path, sticky):
    call(processes, f"{HERE}:failing", tmp_path, digits.path, sticky)
