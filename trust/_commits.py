"""What figment promises to write whole or not at all: each commit with its old state, its new one, and a reader."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from figment.core import plugins
from figment.core.checkpoint import load_model, newest_checkpoint, prune, write_checkpoint, write_model
from figment.core.config import TrainConfig, to_json
from figment.core.errors import FigmentError
from figment.core.types import ImageSpec
from figment.data import build as building
from figment.data.build import BuildConfig, build
from figment.data.disk import disk_errors
from figment.data.index import Index
from figment.data.keys import KeyFile
from figment.data.sealing import open_sealed, seal
from figment.data.store import Store
from figment.serve.labelling import LabelChange, compare_and_set
from figment.train.run import DataPin, RunConfig, read_run, write_run

SPEC = ImageSpec(1, 8, 8)
PICTURES, GROUP = 10, 5  # so that a build is two groups
NOTHING = "nothing"  # a state: there is no such thing yet, or one that is told to be unfinished


@dataclass(frozen=True)
class Commit:
    """prepare(folder): make the old state in an empty folder. make(folder): the commit. found(folder): what a reader
    finds, told by its content; an error where that is neither readable nor NOTHING."""

    prepare: Callable[[Path], None]
    make: Callable[[Path], object]
    found: Callable[[Path], str]


@dataclass(frozen=True)
class Prepared:
    """A commit with its old state in a folder, to be copied, and what a reader finds before and after it."""

    commit: Commit
    folder: Path
    old: str
    new: str

    def copy(self, folder: Path) -> Path:
        """The old state in a folder, in the place of whatever is there."""
        shutil.rmtree(folder, ignore_errors=True)
        return Path(shutil.copytree(self.folder, folder))


def prepared(folder: Path) -> dict[str, Prepared]:
    """All commits by name, each with its old state in a folder of its own."""
    answer = {}
    for name, commit in COMMITS.items():
        before, after = folder / name / "before", folder / name / "after"
        before.mkdir(parents=True)
        commit.prepare(before)
        shutil.copytree(before, after)
        commit.make(after)
        answer[name] = Prepared(commit, before, commit.found(before), commit.found(after))
        assert answer[name].old != answer[name].new
        shutil.rmtree(after)
    return answer


# A checkpoint, beside an older one that it takes the place of, and the first one of a run.


def _checkpoint(folder: Path, step: int) -> None:
    weights = {"weights": torch.full((500,), float(step)), "count": torch.tensor(step)}
    parts = {"objective": weights, "average": weights, "optimizers": {}}
    write_checkpoint(folder / "run" / "checkpoints", step, parts, {"seen_images": step})
    prune(folder / "run" / "checkpoints", 1, None, step)


def _found_checkpoint(folder: Path) -> str:
    newest = newest_checkpoint(folder / "run" / "checkpoints", _fail)
    if newest is None:
        return NOTHING
    tensors = {part: newest.read(part) for part in ("objective", "average", "optimizers")}
    return _digest([newest.step, newest.facts, _numbers(tensors)])


def _fail(warning: str) -> None:
    raise AssertionError(f"a reader was told: {warning}")


# A model, in the place of an older one.


def _family() -> Any:
    return plugins.load("families", "autoencoder")


def _model(folder: Path, step: int) -> None:
    settings = _family().Config.preset("tiny")
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(step)
        tensors = _family().build(settings, SPEC).model.state_dict()
    write_model(folder / "model", tensors, "autoencoder", settings, SPEC, {"step": step})


def _found_model(folder: Path) -> str:
    model = load_model(folder)
    facts = [model.facts, model.digest, to_json(model.settings), to_json(model.spec)]
    return _digest([*facts, _numbers({"model": model.model.state_dict()})])


# The config of a run.


def _run(folder: Path, steps: int) -> None:
    settings, train = _family().Config.preset("tiny"), TrainConfig(lr=1e-3 * steps)
    write_run(folder, RunConfig("autoencoder", settings, SPEC, DataPin("data", "1", "2"), train, steps=steps))


def _found_run(folder: Path) -> str:
    return _digest(to_json(read_run(folder)))


# A dataset, and labels in it.


def _dataset(folder: Path) -> Store:
    drawn = {"shapes": {"size": 16, "figures": 1}}
    with mock.patch.object(building, "GROUP_PICTURES", GROUP):
        return build([f"shapes:{PICTURES}"], folder / "data", BuildConfig(sources=drawn))


def _found_dataset(folder: Path) -> str:
    try:
        store = Store(folder / "data")
    except FigmentError as error:
        if "no such dataset" in str(error) or "its build has not ended" in str(error) or "plain folder" in str(error):
            return NOTHING  # which the same command goes on with
        raise
    splits = {split: [_seen(store.images(split)), store.labels(split).tolist()] for split in store.counts}
    return _digest([store.card["spec"], store.pixel_digest, store.label_digest, splits])


def _relabel(folder: Path) -> None:
    """As the studio does: the labels at once; the card when nobody has changed anything for a while, so not here."""
    path = folder / "data"
    with disk_errors(path), Index(path / "index.sqlite") as index:
        rows = list(index.query("select id, label from images where status = 'accepted' order by id limit 5"))
        changes = [LabelChange(row=id, label="mine", was=label) for id, label in rows if label != "mine"]
        compare_and_set(index, "label", changes)


def _renew_card(folder: Path) -> None:
    store = Store(folder / "data")
    store.relabel(dict.fromkeys(store.keys("train")[:5], "ours"))


# A sealed file.


def _to_seal(folder: Path) -> None:
    (folder / "plain").mkdir()
    for name in ("a", "b"):
        (folder / "plain" / name).write_bytes(name.encode() * 5000)
    (folder / "key").write_bytes(bytes(range(32)))


def _seal(folder: Path) -> None:
    if not (folder / "sealed").exists():
        seal(folder / "plain", folder / "sealed", KeyFile(folder / "key"))


def _found_sealed(folder: Path) -> str:
    if not (folder / "sealed").exists():
        return NOTHING
    shutil.rmtree(folder / "opened", ignore_errors=True)
    open_sealed(folder / "sealed", folder / "opened", KeyFile(folder / "key"))
    return _digest([(folder / "opened" / name).read_text() for name in ("a", "b")])


COMMITS = {
    "checkpoint": Commit(lambda f: _checkpoint(f, 1), lambda f: _checkpoint(f, 2), _found_checkpoint),
    "first checkpoint": Commit(lambda f: (f / "run").mkdir(), lambda f: _checkpoint(f, 1), _found_checkpoint),
    "model": Commit(lambda f: _model(f, 1), lambda f: _model(f, 2), _found_model),
    "run": Commit(lambda f: _run(f, 1), lambda f: _run(f, 2), _found_run),
    "dataset": Commit(lambda f: None, _dataset, _found_dataset),
    "labels": Commit(lambda f: _dataset(f) and None, _relabel, _found_dataset),
    "labels and card": Commit(lambda f: _dataset(f) and None, _renew_card, _found_dataset),
    "sealed file": Commit(_to_seal, _seal, _found_sealed),
}


def _numbers(parts: dict[str, dict[str, torch.Tensor]]) -> dict[str, Any]:
    return {part: {name: _seen(tensor.numpy()) for name, tensor in tensors.items()} for part, tensors in parts.items()}


def _seen(array: Any) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
