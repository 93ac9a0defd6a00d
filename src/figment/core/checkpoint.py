"""Weights on disk: checkpoints that are whole or absent, and the shippable model. Never pickle.

    checkpoints/00000500/   objective.safetensors  average.safetensors  optimizers.safetensors  manifest.json
    model/                  model.safetensors  config.json  sampling.json (once tuned)

A checkpoint is written to a fresh folder, every file synced, the manifest with everyone's SHA-256 last, then renamed:
a reader finds a whole one or none. A file is compared with its digest before a single tensor of it is used, because
safetensors itself has no checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from figment.core import plugins
from figment.core.config import from_json, json_digest, read_json, stamped, to_json, unstamped, write_json
from figment.core.durable import make_folder, sync_folder
from figment.core.errors import CheckpointError, ConfigError, FigmentError
from figment.core.types import ImageSpec
from figment.version import VERSION

FORMAT = 1
MANIFEST = "manifest.json"
SAMPLING = "sampling.json"
WEIGHTS = "model.safetensors"
NEW_WEIGHTS = "model.safetensors.new"  # until the config that belongs to them is in its place


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files were all found to match their digests."""

    folder: Path
    step: int
    facts: dict[str, Any]

    def read(self, part: str) -> dict[str, Tensor]:
        """The tensors of one part, on the CPU.

        Raises CheckpointError, naming the file, where its bytes differ from the manifest's digest.
        """
        digest = read_json(self.folder / MANIFEST)["files"][f"{part}.safetensors"]
        return _read_tensors(self.folder / f"{part}.safetensors", digest)


def write_checkpoint(
    checkpoints: Path, step: int, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]
) -> Path:
    """Write `parts` (name -> tensors) and `facts` (JSON) as the checkpoint of `step`; returns its folder."""
    final = checkpoints / f"{step:08d}"
    fresh = checkpoints / f"{step:08d}.tmp"
    for stale in (fresh, final):  # a crash's leftover, or an older attempt at the same step that was found damaged
        shutil.rmtree(stale, ignore_errors=True)
    make_folder(fresh)
    files = {f"{name}.safetensors": _write_tensors(fresh / f"{name}.safetensors", part) for name, part in parts.items()}
    manifest = {"format": FORMAT, "figment": VERSION, "step": step, "files": files, "facts": dict(facts)}
    write_json(fresh / MANIFEST, manifest | {"sha256": json_digest(manifest)})
    fresh.rename(final)
    sync_folder(checkpoints)
    return final


def newest_checkpoint(checkpoints: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest whole checkpoint; a damaged one is named through `warn` and skipped."""
    for folder in sorted(checkpoints.glob("[0-9]" * 8), reverse=True):
        try:
            return verify(folder)
        except FigmentError as error:
            warn(f"{error}; using the checkpoint before it")
    return None


def verify(folder: Path) -> Checkpoint:
    """The checkpoint in `folder`, every byte of it compared with its digest.

    Raises CheckpointError, naming the file, for a damaged, missing or newer-format one.
    """
    try:
        manifest = read_json(folder / MANIFEST)
        if manifest["format"] != FORMAT:
            raise CheckpointError(
                f"{folder}: format {manifest['format']}, this figment reads {FORMAT}; upgrade figment"
            )
        if manifest.pop("sha256") != json_digest(manifest):
            raise CheckpointError(f"{folder / MANIFEST}: damaged (it differs from its own SHA-256)")
        for name, digest in manifest["files"].items():
            _read_checked(folder / name, digest)
        return Checkpoint(folder, int(manifest["step"]), manifest["facts"])
    except (ConfigError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(f"{folder / MANIFEST}: damaged ({error})") from None


def prune(checkpoints: Path, keep: int, best_step: int | None, newest_step: int) -> None:
    """Delete all but the newest `keep` checkpoints up to `newest_step` and the best one, and what kills left half done.

    Later ones are damaged, or the run would have gone on from there: they count for nothing until written anew.
    """
    folders = [folder for folder in sorted(checkpoints.glob("[0-9]" * 8)) if int(folder.name) <= newest_step]
    for folder in folders[:-keep]:
        if int(folder.name) != best_step:
            shutil.rmtree(folder, ignore_errors=True)
    for folder in checkpoints.glob("*.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class LoadedModel:
    """A shipped model with the facts needed to use it. `digest` is the SHA-256 of its weights; `sampling` the settings
    that 'figment tune' chose, None for the family's own; `room` the kind of plugin that `family` names."""

    model: nn.Module
    family: str
    settings: Any
    spec: ImageSpec
    digest: str
    facts: dict[str, Any]
    sampling: Any = None
    room: str = "families"

    @property
    def sampling_type(self) -> Any:
        """The class of the settings that it is drawn with, its family's Sampling; None where nothing can be set."""
        return getattr(plugins.load(self.room, self.family), "Sampling", None)


def write_model(
    folder: Path, model_tensors: Mapping[str, Tensor], family: str, settings: Any, spec: ImageSpec, facts: Mapping
) -> None:
    """Write the shippable half of a run: config.json and model.safetensors.

    The config is what decides: until it is in its place the old model is whole, from then on the new one.
    """
    make_folder(folder)
    digest = _write_tensors(folder / NEW_WEIGHTS, model_tensors)
    sync_folder(folder)
    config = {"format": FORMAT, "figment": VERSION, "family": family, "settings": to_json(settings)}
    config |= {"spec": to_json(spec), "sha256": digest, "facts": dict(facts)}
    write_json(folder / "config.json", stamped(config))
    (folder / NEW_WEIGHTS).replace(folder / WEIGHTS)
    sync_folder(folder)


def load_model(path: Path) -> LoadedModel:
    """The trained model in a run folder or its `model/` folder, in evaluation mode, on the CPU.

    FORMAT:PATH names one that another program has trained: 'figment list imports'.

    Raises CheckpointError where there is none, it is damaged, or its family is not installed.
    """
    room, place = _imported(path)
    if room:
        return plugins.load("imports", room).load(place)
    folder = shippable(path)
    try:
        config = read_json(folder / "config.json")
        if config["format"] != FORMAT:
            raise CheckpointError(f"{folder}: format {config['format']}, this figment reads {FORMAT}; upgrade figment")
        tensors = _read_weights(folder, config["sha256"])
        family = plugins.load("families", config["family"])
        settings = from_json(family.Config, config["settings"], str(folder / "config.json"))
        spec = from_json(ImageSpec, config["spec"], str(folder / "config.json"))
        sampling = _read_sampling(folder, family)
        unstamped(folder / "config.json", config)
    except (ConfigError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder / 'config.json'}: damaged or of another version ({error})") from None
    model = family.build(settings, spec).model
    try:
        model.load_state_dict(tensors)
    except RuntimeError:  # which lists every tensor
        odd = sorted(model.state_dict().keys() ^ tensors.keys()) or ["the shape of one"]
        raise CheckpointError(
            f"{folder}: the weights do not fit the family '{config['family']}' of this figment {VERSION} "
            f"({len(odd)} tensors differ, such as {odd[0]}); the run is of figment {config['figment']}, train it anew"
        ) from None
    model.eval().requires_grad_(False)
    return LoadedModel(model, config["family"], settings, spec, config["sha256"], config["facts"], sampling)


def shippable(run: Path) -> Path:
    """The half of a run that is shipped: the folder of its config.json and model.safetensors.

    Raises CheckpointError where there is none.
    """
    folder = run / "model" if (run / "model").is_dir() else run
    if not (folder / WEIGHTS).exists() and not (folder / NEW_WEIGHTS).exists():
        raise CheckpointError(no_run(run))
    return folder


def _imported(path: Path) -> tuple[str, Path]:
    """The format and the place of a model that another program has trained; an empty format for a run of figment's."""
    name, _, place = str(path).partition(":")
    return (name, Path(place)) if place and name in plugins.names("imports") else ("", path)


def write_sampling(run: Path, settings: Any) -> None:
    """Make `settings`, the family's Sampling, what the run in this folder draws with where nothing else is asked."""
    write_json(run / "model" / SAMPLING, stamped(to_json(settings)))


def _read_sampling(folder: Path, family: Any) -> Any:
    if not (folder / SAMPLING).exists() or not hasattr(family, "Sampling"):
        return None
    values = unstamped(folder / SAMPLING, read_json(folder / SAMPLING))
    return from_json(family.Sampling, values, str(folder / SAMPLING))


@dataclass(frozen=True)
class Inner:
    """How a model that another one contains is built. Its weights travel inside the outer checkpoint.

    sha256: of the weights that it began with.
    """

    family: str
    settings: Mapping[str, Any]
    spec: ImageSpec
    sha256: str

    @classmethod
    def of(cls, loaded: LoadedModel) -> Inner:
        if loaded.room != "families":
            raise CheckpointError(f"a model of '{loaded.family}' cannot be part of a run; give one that figment trains")
        return cls(loaded.family, to_json(loaded.settings), loaded.spec, loaded.digest)

    def build(self) -> Any:
        """The model, with initial weights."""
        family = plugins.load("families", self.family)
        return family.build(from_json(family.Config, self.settings, f"the inner '{self.family}'"), self.spec).model

    def weights(self, run: Path) -> dict[str, Tensor]:
        """The weights that it is to begin with, from the run that they were trained in.

        Raises CheckpointError where the run is gone or was trained further since.
        """
        loaded = load_model(run)
        if loaded.digest != self.sha256:
            raise CheckpointError(f"{run}: was trained further since this run was begun; give --fresh to begin again")
        return dict(loaded.model.state_dict())


def no_run(path: Path) -> str:
    """What to tell of a path that is no finished run of figment's."""
    if _imported(path)[0]:
        return f"{path}: figment did not train it, and only its own runs can be shipped or tuned; give one of those"
    if not path.exists():
        return f"{path}: no such run; train one with 'figment train FAMILY --data DATASET --out {path}'"
    if (path / "card.json").exists():
        return f"{path}: is a dataset, not a run; train on it with 'figment train FAMILY --data {path} --out RUN'"
    if (path / "checkpoints").is_dir():
        return f"{path}: its training has not finished; give its 'figment train' command again to go on"
    return f"{path}: is not a figment run (no model/model.safetensors); give the --out folder of 'figment train'"


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write a safetensors file, synced to disk; returns its SHA-256."""
    # .contiguous() and .clone(): channels_last weights and tensors that share memory cannot be stored as they are.
    data = safetensors.torch.save(
        {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    )
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(data).hexdigest()


def _read_checked(path: Path, digest: str) -> bytes:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror})") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise CheckpointError(f"{path}: damaged (its SHA-256 differs from the manifest's)")
    return data


def _read_weights(folder: Path, digest: str) -> dict[str, Tensor]:
    """The weights that belong to a model's config; a kill may have come before they were given their name."""
    if (folder / NEW_WEIGHTS).exists():
        try:
            return _read_tensors(folder / NEW_WEIGHTS, digest)
        except CheckpointError:
            pass  # of a model that was never finished: its config is not there yet
    return _read_tensors(folder / WEIGHTS, digest)


def _read_tensors(path: Path, digest: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(_read_checked(path, digest))
    except (safetensors.SafetensorError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path}: not a safetensors file ({error})") from None
