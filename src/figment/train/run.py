"""A run folder: what was asked, pinned; asked again, it is resumed; asked differently, it is refused by name."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from figment.core import plugins
from figment.core.config import TrainConfig, from_json, read_json, to_json, write_json
from figment.core.engine import Engine
from figment.core.errors import CheckpointError
from figment.core.types import ImageSpec
from figment.version import VERSION

FORMAT = 1

# Settings that change what is written down, not what is learnt.
MAY_CHANGE = {"log_every", "save_every", "sample_every", "tensorboard"}


@dataclass(frozen=True)
class DataPin:
    """The dataset that a run belongs to. The path may move, the digests may not."""

    path: str
    pixel_digest: str
    label_digest: str


@dataclass(frozen=True)
class RunConfig:
    """All that a run is made from; `config.json` holds exactly this."""

    family: str
    settings: Any
    spec: ImageSpec
    data: DataPin
    train: TrainConfig
    seed: int = 0
    steps: int = 0
    """0: not yet known, `minutes` decides once a step has been timed."""
    minutes: float = 0.0
    engine: Engine | None = None
    """None: not yet measured."""
    start: str = ""
    """Run whose weights this one starts from."""
    figment: str = VERSION
    format: int = FORMAT

    @property
    def module(self) -> ModuleType:
        return plugins.load("families", self.family)


def read_run(folder: Path) -> RunConfig:
    """The config of a run folder.

    Raises CheckpointError where it is no run, or one of another version.
    """
    values = read_json(folder / "config.json")
    if not isinstance(values, dict) or "family" not in values:
        raise CheckpointError(f"{folder}: is not a figment run; give the --out folder of 'figment train'")
    if values.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: format {values.get('format')}, this figment reads {FORMAT}; upgrade figment")
    family = plugins.load("families", values["family"])
    settings = from_json(family.Config, values.pop("settings"), f"{folder / 'config.json'}: settings")
    run = from_json(RunConfig, values | {"settings": None}, str(folder / "config.json"))
    return replace(run, settings=settings)


def write_run(folder: Path, run: RunConfig) -> None:
    write_json(folder / "config.json", to_json(run))


def open_run(folder: Path, asked: RunConfig, *, fresh: bool = False) -> RunConfig:
    """The run to go on with in `folder`: the stored one where it is the one asked for, else the asked one.

    Raises CheckpointError, naming the first setting that differs, where the folder holds another run or other things.
    """
    if fresh:
        _remove_run(folder)
    if not (folder / "config.json").exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CheckpointError(f"{folder}: exists and is not a figment run; give --out another folder")
        folder.mkdir(parents=True, exist_ok=True)
        return asked
    stored = read_run(folder)
    _refuse_changes(folder, asked, stored)
    logging = {name: getattr(asked.train, name) for name in MAY_CHANGE}
    steps = asked.steps or stored.steps
    return replace(stored, steps=steps, data=asked.data, train=replace(stored.train, **logging))


def _refuse_changes(folder: Path, asked: RunConfig, stored: RunConfig) -> None:
    changes = [
        ("the family", asked.family, stored.family),
        ("the dataset's pictures (pixel digest)", asked.data.pixel_digest[:12], stored.data.pixel_digest[:12]),
        ("the dataset's labels (label digest)", asked.data.label_digest[:12], stored.data.label_digest[:12]),
        ("--seed", asked.seed, stored.seed),
        ("--from", asked.start, stored.start),
    ]
    if asked.family == stored.family:
        changes += _differences("family", asked.settings, stored.settings)
    for field in fields(TrainConfig):
        if field.name not in MAY_CHANGE:
            changes += _differences("train", asked.train, stored.train, only=field.name)
    if not asked.steps and asked.minutes != stored.minutes:
        changes.append(("--minutes", f"{asked.minutes:g}", f"{stored.minutes:g}"))
    for name, new, old in changes:
        if new != old:
            raise CheckpointError(
                f"{folder}: this run has {name} {old}, you asked for {new}; give --out another folder, "
                "or --fresh to start over"
            )


def _differences(prefix: str, asked: Any, stored: Any, only: str | None = None) -> list[tuple[str, Any, Any]]:
    new, old = asdict(asked), asdict(stored)
    return [(f"--{prefix}.{name.replace('_', '-')}", new[name], old[name]) for name in new if only in (None, name)]


def _remove_run(folder: Path) -> None:
    """Delete a run's own files, and nothing else that may lie in the folder."""
    for name in ("checkpoints", "model", "samples", "tensorboard"):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in ("log.jsonl", "report.html", "config.json"):
        (folder / name).unlink(missing_ok=True)
