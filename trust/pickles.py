"""Pickles wait in every place that figment loads from: a pickle is a program, and none may be run, or even begun.

A trap is put into files that are read (in place of what is expected, with the right digest where there is one) and laid
beside them under the names that other programs load. An audit hook notes every name that a pickle asks for. The readers
of CIFAR and of published weights are tried too: what they allow is of no use to a trap.
"""

from __future__ import annotations

import contextlib
import functools
import gzip
import hashlib
import io
import json
import os
import pickle
import random
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.commands import FIXED, done, figment
from tests.pictures import png as drawn
from tests.pictures import write_folder
from trust import _ways_of_data, _ways_of_runs
from trust._child import call
from trust._mutations import Trap
from trust._tally import Tally
from trust._watch import Watch
from trust._ways_of_data import picture

PROMISE = (
    "No pickle is read on any way in, but CIFAR's, by a reader that can make nothing but arrays, and published weights "
    "whose SHA-256 is right."
)
METHOD = "Traps in place of, and beside, everything that a source, run, judge, feature network or export loads."
SHORT, LONG = 20, 2000

SECONDS = 20.0


def _npy(trap: object, protocol: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([trap], object), allow_pickle=True)  # in a protocol of its own choice
    return buffer.getvalue()


def _torch(trap: object, protocol: int, is_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save({"weight": trap}, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


DISGUISES: dict[str, Callable[[object, int], bytes]] = {
    "pickle": pickle.dumps,
    "array in a pickle": lambda trap, protocol: pickle.dumps({b"data": trap, b"labels": [trap]}, protocol),
    "gzip": lambda trap, protocol: gzip.compress(pickle.dumps(trap, protocol)),
    "joblib": lambda trap, protocol: zlib.compress(pickle.dumps(trap, protocol)),
    "npy": _npy,
    "torch": functools.partial(_torch, is_zip=True),
    "old torch": functools.partial(_torch, is_zip=False),
}
BESIDE = ("model.pt", "pytorch_model.bin", "data.pkl", "archive.npy", ".metadata", "optimizer.ckpt", "labels.joblib")


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    """Half of the traps go to the readers of single files, half into runs and datasets that whole commands work on."""
    failures: list[str] = []
    for work, count in ((of_files, trials - trials // 2), (of_commands, trials // 2)):
        place = folder / work.__name__
        place.mkdir()
        end = call(work, place, count, seed, seconds=120 + SECONDS * count)
        failures += [f"{work.__name__}: {end.fault}"] if end.fault else end.value
    return Tally(trials, tuple(failures), f"{len(DISGUISES)} disguises, six protocols")


def _unnoticed(watch: Watch) -> list[str]:
    """A reader that unpickles what it is given must be noticed."""
    watch.is_on = True
    pickle.loads(DISGUISES["pickle"](Trap(), 4))
    watch.is_on = False
    noticed = " ".join(watch.seen)
    watch.seen.clear()
    return [] if "pickle.find_class" in noticed and "os.system" in noticed else ["the harness notices no pickle"]


def of_files(folder: Path, count: int, seed: int) -> list[str]:
    """What single files bring about; runs in a process of its own."""
    made = {"pictures": picture, **_ways_of_data.WAYS, **_ways_of_runs.WAYS}
    choose, faults = random.Random(seed), list[str]()
    readers = {}
    for name in choose.sample(sorted(made), min(1 + count // 4, len(made))):
        place = folder / name.replace(" ", "-")
        place.mkdir()
        examples, readers[name] = made[name](place)
        _try(functools.partial(readers[name], examples[0]))
    readers["inception"] = functools.partial(_inception, folder)
    watch = Watch(folder)
    faults += _unnoticed(watch)
    for _ in range(count):
        name, disguise, protocol = choose.choice(sorted(readers)), choose.choice(sorted(DISGUISES)), choose.randrange(6)
        content = DISGUISES[disguise](Trap(), protocol)
        watch.is_on = True
        _try(functools.partial(readers[name], content))
        watch.is_on = False
        faults += [f"{name}, {disguise}, protocol {protocol}: {seen}" for seen in _of_pickles(watch)]
    return faults


def _inception(folder: Path, content: bytes) -> None:
    from figment.features import inception

    (folder / "weights.pth").write_bytes(content)
    inception.load(inception.Config(str(folder / "weights.pth")), None)


def _try(read: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # of whatever kind: another campaign looks at those
        read()


def _of_pickles(watch: Watch) -> list[str]:
    """What was seen, of pickles and programs alone: commands write, and compile, for reasons of their own."""
    seen, watch.seen = watch.seen, []
    return [one for one in seen if one.startswith(("pickle", "os.system", "os.exec", "os.posix", "subprocess", "pty"))]


COMMANDS: dict[str, tuple[object, ...]] = {
    "build": ("data", "build", "pictures", "--out", "new"),
    "report": ("data", "report", "dataset", "--out", "page.html"),
    "train": ("train", "vae", "--data", "dataset", "--out", "run", "--steps", 3, "--scale", "tiny", *FIXED),
    "train from": (
        "train",
        "vae",
        "--data",
        "dataset",
        "--out",
        "other",
        "--from",
        "run",
        "--steps",
        1,
        "--scale",
        "tiny",
    ),
    "sample": ("sample", "run", "--num", 1, "--out", "one.png"),
    "eval": ("eval", "run", "--data", "dataset", "--judge", "judge", "--metrics", "fd", "--num", 8),
    "edit": ("edit", "reconstruct", "run", "pictures/a/0.png", "--out", "edited.png"),
    "doctor": ("doctor", "run"),
    "hub": ("export", "run", "--to", "hub", "--out", "hub"),
}


def of_commands(folder: Path, count: int, seed: int) -> list[str]:
    """What files in datasets, runs and judges bring about when commands load them; runs in a process of its own."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    whole, place = folder / "whole", folder / "place"
    _prepare(whole)
    watch = Watch(folder)
    choose, faults = random.Random(seed), _unnoticed(watch)
    for number in range(count):
        name, disguise, protocol = (
            choose.choice(sorted(COMMANDS)),
            choose.choice(sorted(DISGUISES)),
            choose.randrange(6),
        )
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(whole, place)
        os.chdir(place)
        planted = _plant(place, DISGUISES[disguise](Trap(), protocol), choose)
        watch.is_on = True
        answer = _code(COMMANDS[name])
        watch.is_on = False
        where = f"{name} {number}, {disguise}, protocol {protocol}, {planted}"
        faults += [f"{where}: {seen}" for seen in _of_pickles(watch)]
        faults += [] if answer in (0, 2) else [f"{where}: {answer}"]
    return faults


def _code(words: tuple[object, ...]) -> object:
    """The exit code, or what came out instead."""
    try:
        return figment(*words).code
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _prepare(whole: Path) -> None:
    whole.mkdir()
    os.chdir(whole)
    write_folder(whole / "pictures", {f"{'ab'[n % 2]}/{n}.png": drawn(n, 16, 16) for n in range(24)})
    done("data", "build", "pictures", "--out", "dataset")
    for run, family in (("run", "vae"), ("judge", "classifier")):
        done("train", family, "--data", "dataset", "--out", run, "--steps", 2, "--scale", "tiny", *FIXED)


def _plant(place: Path, trap: bytes, choose: random.Random) -> str:
    """Put the trap in the place of a file, with a digest that fits, or beside all files; where it lies now."""
    files = sorted(path for path in place.rglob("*") if path.is_file())
    if choose.random() < 0.3:
        folders = sorted({path.parent for path in files})
        for folder in folders:
            (folder / choose.choice(BESIDE)).write_bytes(trap)
        return f"beside all files of {len(folders)} folders"
    file = choose.choice(files)
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(trap)
    if choose.random() < 0.8:
        _correct(file, before, hashlib.sha256(trap).hexdigest())
    return f"as {file.relative_to(place)}"


def _correct(file: Path, before: str, now: str) -> None:
    """Write the digest of what was planted into what vouches for it."""
    for beside in (file.parent / "manifest.json", file.parent / "config.json"):
        if not beside.exists() or beside == file or before not in (text := beside.read_text(encoding="utf-8")):
            continue
        told = json.loads(text.replace(before, now))
        if told.pop("sha256", None) and "files" in told:
            told["sha256"] = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
            beside.write_text(json.dumps(told))
        else:
            beside.write_text(text.replace(before, now))
