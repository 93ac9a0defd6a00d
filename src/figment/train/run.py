"""A run folder: what was asked, pinned; asked again, it is resumed; asked differently, it is refused by name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from figment.core import plugins
from figment.core.checkpoint import no_run
from figment.core.config import (
    BETAS,
    STAMP,
    TrainConfig,
    from_json,
    read_json,
    refuse_changed,
    stamped,
    to_json,
    unstamped,
    write_json,
)
from figment.core.engine import Engine
from figment.core.errors import CheckpointError, ConfigError
from figment.core.types import ImageSpec
from figment.version import VERSION

FORMAT = 1

# Settings that change what is written down, or where it is computed, not what is learnt.
MAY_CHANGE = {"log_every", "save_every", "sample_every", "tensorboard", "shard"}

_UNPINNED = dict.fromkeys(MAY_CHANGE)

SECRET = "privacy.key"  # what the noise of a private run is drawn from

# What a kill may leave in a folder before it is a run: the config under the name that it is first written under.
LEFTOVERS = {"config.json.tmp"}


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
    score_every: int = 0
    """Steps between scores, as far apart as their share of the time demands; 0: not yet measured, or none asked for."""
    slices: int = 0
    """Slices of a step, a multiple of the ranks that the run began on; 0: not yet known."""
    noise: float = 0.0
    """Standard deviation of a private run's noise, in clipping norms; 0: not yet known, or not private."""
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
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(no_run(folder))
    stored = read_json(path)
    if not isinstance(stored, dict) or "family" not in stored:
        raise CheckpointError(f"{folder}: is not a figment run; give the --out folder of 'figment train'")
    values = {name: value for name, value in stored.items() if name not in ("settings", STAMP)}
    if values.get("format") != FORMAT:
        raise CheckpointError(f"{folder}: format {values.get('format')}, this figment reads {FORMAT}; upgrade figment")
    try:
        family = plugins.load("families", str(values["family"]))
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    try:
        run = from_json(RunConfig, values | {"settings": None}, str(path))
        settings = from_json(family.Config, stored.get("settings") or {}, f"{path}: settings")
    except ConfigError as error:  # a setting out of its range does not know where it was written
        told = str(error)
        raise ConfigError(told if told.startswith(str(path)) else f"{path}: {told}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path}: damaged ({error})") from None
    unstamped(path, stored)
    return replace(run, settings=settings)


def write_run(folder: Path, run: RunConfig) -> None:
    write_json(folder / "config.json", stamped(to_json(run)))


def shipped_facts(run: RunConfig, step: int, seen_images: int) -> dict[str, Any]:
    """What a shipped model says of its run, but for what a private one has given away."""
    data = to_json(run.data)
    if run.noise:  # a digest of all pictures would tell whether one was among them
        data = {"path": run.data.path}
    return {"step": step, "seen_images": seen_images, "data": data}


def open_run(folder: Path, asked: RunConfig, *, fresh: bool = False) -> RunConfig:
    """The run to go on with in `folder`: the stored one where it is the one asked for, else the asked one.

    fresh: the asked one, whatever is stored; `fit` deletes that, once it is sure that it can begin.

    Raises CheckpointError, naming the first setting that differs, where the folder holds another run or other things.
    """
    if not _is_run(folder):
        if folder.exists() and (not folder.is_dir() or any(path.name not in LEFTOVERS for path in folder.iterdir())):
            raise CheckpointError(f"{folder}: exists and is not a figment run; give --out another folder")
        asked = completed(asked)
        folder.mkdir(parents=True, exist_ok=True)
        return asked
    if fresh:
        return completed(asked)
    stored = read_run(folder)
    _refuse_changes(folder, asked, stored)
    logging = {name: getattr(asked.train, name) for name in MAY_CHANGE}
    steps = asked.steps or stored.steps
    return replace(stored, steps=steps, data=asked.data, train=replace(stored.train, **logging))


def refuse_idle_settings(run: RunConfig, has_validation: Callable[[], bool]) -> None:
    """Raise ConfigError, naming the flag, for a setting that waits for measurements which this run does not take.

    has_validation: whether the loss of the family can be measured on held-out pictures; asked where it matters.
    """
    train, usual = run.train, run.module.TRAIN
    watching = {
        f"--train.patience {train.patience}": train.patience and not train.score_every,
        "--train.schedule plateau": train.schedule == "plateau",
    }
    asked = [flag for flag, is_asked in watching.items() if is_asked]
    if asked and not train.validate_every:
        raise ConfigError(f"{asked[0]}: would have no effect with --train.validate-every 0; leave one of them out")
    if train.validate_every not in (0, usual.validate_every):
        asked.append(f"--train.validate-every {train.validate_every}")
    if asked and not has_validation():
        raise ConfigError(
            f"{asked[0]}: would have no effect, the loss of a '{run.family}' says nothing on held-out pictures; "
            "leave it out"
        )


def completed(asked: RunConfig) -> RunConfig:
    """The run with what its family records of other runs at the start, such as how an inner model is built.

    Fields of a family's Config with the metadata "recorded" are filled by its `complete(config, spec)`.

    Raises ConfigError for settings that a new run may not have. The config of an older one may, and is read all the
    same: so this is no part of `__post_init__`.
    """
    _refuse_unused(asked.train, asked.module.TRAIN)
    if check_new := getattr(asked.settings, "check_new", None):
        check_new()
    complete = getattr(asked.module, "complete", None)
    return replace(asked, settings=complete(asked.settings, asked.spec)) if complete else asked


def _refuse_unused(train: TrainConfig, usual: TrainConfig) -> None:
    if not train.score_every:
        why = "without --train.score-every; give that too, such as --train.score-every 500, or leave it out"
        refuse_changed("train", train, usual, ("score_by", "score_num", "score_share"), why)
    unused = [name for name in BETAS["adam"] if name not in BETAS[train.optimizer]]
    refuse_changed("train", train, usual, unused, f"with --train.optimizer {train.optimizer}; leave it out")


def remove_run(folder: Path) -> None:
    """Delete a run's own files, and nothing else that may lie in the folder.

    Its config stays until another one takes its place, so that a kill in between leaves a run and no riddle.
    """
    for name in ("checkpoints", "averages", "model", "samples", "tensorboard"):
        try:
            shutil.rmtree(folder / name)
        except FileNotFoundError:
            pass
        except OSError as error:  # which names the file alone, not where it lies
            raise OSError(error.errno, error.strerror, str(folder / name)) from None
    for name in ("log.jsonl", "report.html", SECRET):
        (folder / name).unlink(missing_ok=True)


def _is_run(folder: Path) -> bool:
    """Whether there is a config that names a family, be it damaged or of another version."""
    config = folder / "config.json"
    return config.is_file() and '"family"' in config.read_text(encoding="utf-8", errors="replace")


def _refuse_changes(folder: Path, asked: RunConfig, stored: RunConfig) -> None:
    changes = [
        ("the family", asked.family, stored.family),
        ("the dataset's pictures (pixel digest)", asked.data.pixel_digest[:12], stored.data.pixel_digest[:12]),
        ("the dataset's labels (label digest)", asked.data.label_digest[:12], stored.data.label_digest[:12]),
        ("--seed", asked.seed, stored.seed),
        ("--from", asked.start, stored.start),
    ]
    if asked.family == stored.family:
        changes += _differences("--family", *(_asked_settings(run.settings) for run in (asked, stored)))
    changes += _differences("--train", *({**asdict(run.train), **_UNPINNED} for run in (asked, stored)))
    is_less, is_more = 0 < asked.steps < stored.steps, asked.steps > stored.steps
    if is_less or (is_more and stored.noise):  # noise was chosen for so many steps
        changes.append(("--steps", asked.steps, stored.steps))
    elif not asked.steps and asked.minutes != stored.minutes:
        minutes = ("--minutes", f"{asked.minutes:g}", f"{stored.minutes:g}")
        changes.append(minutes if stored.minutes else ("--steps", f"--minutes {asked.minutes:g}", stored.steps))
    for name, new, old in changes:
        if new != old:
            held = f"no {name}" if old == "" else f"{name} {old}"
            raise CheckpointError(
                f"{folder}: this run has {held}, you asked for {'none' if new == '' else new}; "
                "give --out another folder, or --fresh to start over"
            )


def _asked_settings(settings: Any) -> dict[str, Any]:
    """A family's settings without what it records by itself."""
    recorded = {field.name for field in fields(settings) if field.metadata.get("recorded")}
    return {name: value for name, value in asdict(settings).items() if name not in recorded}


def _differences(prefix: str, asked: Mapping[str, Any], stored: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """(flag, asked value, stored value) of every setting, also of settings within settings."""
    changes = []
    for name, new in asked.items():
        flag = f"{prefix}.{name.replace('_', '-')}"
        is_group = isinstance(new, Mapping)
        changes += _differences(flag, new, stored[name]) if is_group else [(flag, new, stored[name])]
    return changes
