"""Files that a disk, a copy or a download has damaged: a bit, a block, an end, an exchange with another file."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.checkpoint import load_model, newest_checkpoint, verify, write_sampling
from figment.core.config import TrainConfig, to_json
from figment.core.engine import Engine
from figment.core.errors import FigmentError
from figment.data.build import BuildConfig, build
from figment.data.keys import KeyFile
from figment.data.sealed_store import SealedStore
from figment.data.sealing import open_sealed, seal
from figment.data.store import Store
from figment.families import flow
from figment.train.fit import fit
from figment.train.run import DataPin, RunConfig, open_run, read_run
from figment.train.runlog import read_log
from trust._damage import damage
from trust._tally import Tally

PROMISE = "A damaged file is noticed before it is used, and named; where there is a whole one before it, that is used."
METHOD = (
    "Bits flipped, bytes changed, blocks zeroed or exchanged, ends cut off or added, files emptied, deleted or "
    "replaced by others, in checkpoints, models, configs, logs, indexes, shards, decoded pixels and sealed files. All "
    "that training and drawing read must then be the same as before, or one FigmentError must name the file."
)
SHORT = 150
LONG = 10_000


@dataclass(frozen=True)
class Kind:
    """What may be damaged. files: that belong to it. read(): all that is read from them, as it is used; it raises a
    FigmentError for damage. caches: what is deleted before each reading."""

    files: tuple[Path, ...]
    read: Callable[[], Any]
    caches: tuple[Path, ...] = ()


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    choose = random.Random(seed)
    kinds = _kinds(folder)
    whole = {name: kind.read() for name, kind in kinds.items()}
    found, failures = Counter[str](), []
    for number in range(trials):
        name = list(kinds)[number % len(kinds)]
        kind, path = kinds[name], choose.choice(kinds[name].files)
        if not path.exists():  # decoded pixels, after damage to a shard that they were to be made of
            kind.read()
        before = path.read_bytes()
        others = [other for one in kinds.values() for other in one.files if other != path]
        how = damage(path, choose, others)
        for cache in kind.caches:
            shutil.rmtree(cache, ignore_errors=True)
        outcome, wrong = outcome_of(kind, whole[name], path)
        found[outcome] += 1
        if wrong:
            failures.append(f"{name}: {path.relative_to(folder)} {how}: {wrong}")
        path.write_bytes(before)
        for journal in path.parent.glob(f"{path.name}-*"):  # of SQLite's
            journal.unlink()
    for name, kind in kinds.items():
        assert kind.read() == whole[name], f"{name}: is not what it was, with all files as they were"
    return Tally(trials, tuple(failures), ", ".join(f"{number:,} {outcome}" for outcome, number in found.items()))


def outcome_of(kind: Kind, whole: Any, path: Path) -> tuple[str, str]:
    """What became of the damage, and what is wrong with that."""
    try:
        read = kind.read()
    except FigmentError as error:
        line = str(error)
        is_named = any(str(place) in line for place in (path, path.parent, path.parent.parent))
        return "refused", "" if is_named and "\n" not in line else f"does not name it in one line: {line}"
    except Exception as error:
        return "broken", f"{type(error).__name__}: {error}"
    if read == whole:
        return "without effect", ""
    if isinstance(read, Older) and isinstance(whole, Older) and read.content == whole.older:
        return "an older one used", "" if any(str(path.parent) in told for told in read.told) else "used, but not named"
    return "undetected", "what is read is not what was written"


@dataclass(frozen=True)
class Older:
    """A checkpoint as it was read, what was told of damaged ones, and the one before it."""

    content: Any
    told: tuple[str, ...]
    older: Any


# What is damaged.


def _kinds(folder: Path) -> dict[str, Kind]:
    data, run, sealed, key = (folder / name for name in ("data", "run", "sealed", "key"))
    drawn = {"shapes": {"size": 16, "figures": 1}}
    store = build(["shapes:60"], data, BuildConfig(sources=drawn, steps={"split": {"val": 0.2}}))
    store.images("train")
    _train(run, store)
    write_sampling(run, flow.Sampling())
    seal(data, sealed, KeyFile(key))
    newest, older = sorted((run / "checkpoints").iterdir(), reverse=True)
    opened = folder / "opened"

    def read_opened() -> list[str]:
        shutil.rmtree(opened, ignore_errors=True)
        open_sealed(sealed, opened, KeyFile(key))
        return _all_of(Store(opened))

    return {
        "checkpoint": Kind(tuple(newest.iterdir()), lambda: _read_checkpoint(run, older)),
        "model": Kind(tuple((run / "model").iterdir()), lambda: _read_model(run)),
        "run": Kind((run / "config.json",), lambda: to_json(read_run(run))),
        "log": Kind((run / "log.jsonl",), lambda: isinstance(list(read_log(run)), list)),  # for people: readable at all
        "index": Kind((data / "index.sqlite",), lambda: _all_of(Store(data))),
        "card": Kind((data / "card.json",), lambda: _all_of(Store(data))),
        "shard": Kind(tuple((data / "shards").iterdir()), lambda: _all_of(Store(data)), (data / "cache",)),
        "pixels": Kind(tuple((data / "cache").iterdir()), lambda: _all_of(Store(data))),
        "sealed dataset": Kind((sealed,), lambda: _all_of(SealedStore(sealed, KeyFile(key)))),
        "sealed file": Kind((sealed,), read_opened),
    }


def _train(folder: Path, store: Store) -> None:
    pin = DataPin(str(store.path), store.pixel_digest, store.label_digest)
    train = TrainConfig(batch_size=8, save_every=1, sample_every=0, validate_every=0, log_every=1)
    settings = flow.Config.preset("tiny")
    run = open_run(folder, RunConfig("flow", settings, store.spec, pin, train, steps=2, engine=Engine()))
    for _ in fit(folder, run, store, warn=print, stopping=lambda: False):
        pass


def _read_checkpoint(run: Path, older: Path) -> Older:
    told: list[str] = []
    newest = newest_checkpoint(run / "checkpoints", told.append)
    assert newest is not None
    return Older(_content(newest), tuple(told), _content(verify(older)))


def _content(checkpoint: Any) -> Any:
    parts = {part: _tensors(checkpoint.read(part)) for part in ("objective", "average", "optimizers")}
    return checkpoint.step, checkpoint.facts, parts


def _read_model(run: Path) -> Any:
    loaded = load_model(run)
    settings = to_json(loaded.settings), to_json(loaded.sampling), to_json(loaded.spec)
    return loaded.family, settings, loaded.facts, loaded.digest, _tensors(loaded.model.state_dict())


def _tensors(tensors: Any) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def _all_of(store: Store) -> Any:
    """All that training and scoring see of a dataset."""
    facts = [store.spec, store.counts, store.pixel_digest, store.label_digest, json.dumps(store.card, sort_keys=True)]
    seen = [
        (split, store.images(split).tobytes(), store.labels(split).tobytes(), store.keys(split), store.captions(split))
        for split in store.counts
    ]
    return facts, seen, [store.attributes(split).tobytes() for split in store.counts]
