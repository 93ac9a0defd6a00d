"""Settings: frozen dataclasses in, JSON out, and back, strictly.

A settings class is a frozen dataclass whose fields are documented by the string below each; the same string is its
help on the command line. Checks belong in `__post_init__` and raise ConfigError with the field's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from figment.core.durable import sync_folder
from figment.core.errors import ConfigError, did_you_mean

T = TypeVar("T")

STAMP = "own_sha256"

# Which averages an optimizer keeps.
BETAS = {"adamw": ("beta1", "beta2"), "adam": ("beta1", "beta2"), "rmsprop": ("beta2",), "sgd": ("beta1",)}

Scale = Literal["tiny", "small", "base"]


def check_range(name: str, value: float, low: float, high: float = float("inf")) -> None:
    """Raise ConfigError, naming the flag, unless low <= value <= high."""
    if not low <= value <= high:
        wanted = f"at least {low:g}" if high == float("inf") else f"between {low:g} and {high:g}"
        raise ConfigError(f"--{name.replace('_', '-')} {value:g}: give a number {wanted}")


def refuse_changed(group: str, settings: Any, usual: Any, names: Sequence[str], why: str) -> None:
    """Raise ConfigError, naming the flag, where one of these settings is not the usual one: it would have no effect.

    why: where that is so, and what to do; "without --family.augment; give both", for instance.
    """
    for name in names:
        if (value := getattr(settings, name)) != getattr(usual, name):
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else f"{value:g}"
            raise ConfigError(f"--{group}.{name.replace('_', '-')} {shown}".strip() + f": has no effect {why}")


@dataclass(frozen=True)
class Augment:
    """What training pictures are changed by, at random, each time they are seen."""

    flip: bool = False
    """Mirror left and right, half of the time."""
    rotate: float = 0.0
    """Largest rotation, in degrees."""
    crop: int = 0
    """Shift by up to this many pixels, the border repeated by reflection."""
    color: float = 0.0
    """Largest relative change of brightness and contrast, 0 to 1."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise, in units of [-1, 1] images."""
    salt_pepper: float = 0.0
    """Share of pixels set to black or white."""

    def __post_init__(self):
        for name, low, high in (
            ("rotate", 0, 180),
            ("crop", 0, 1024),
            ("color", 0, 1),
            ("noise", 0, 2),
            ("salt_pepper", 0, 1),
        ):
            check_range(f"train.augment.{name}", getattr(self, name), low, high)


@dataclass(frozen=True)
class Privacy:
    """How little a run gives away of any one training picture."""

    epsilon: float = 0.0
    """Largest privacy loss of a training picture (DP-SGD, docs/privacy.md); needs --steps and the extra 'privacy'. 0
    switches it off."""
    delta: float = 1e-5
    """Chance with which the loss may be larger; well below one over the number of training pictures."""
    clip: float = 1.0
    """Largest norm of one picture's gradient; the noise grows with it."""

    def __post_init__(self):
        if self.epsilon:
            check_range("train.privacy.epsilon", self.epsilon, 0.05, 100)
        elif (self.delta, self.clip) != (type(self).delta, type(self).clip):
            raise ConfigError("--train.privacy.delta, --train.privacy.clip: no effect without --train.privacy.epsilon")
        check_range("train.privacy.delta", self.delta, 1e-15, 0.1)
        check_range("train.privacy.clip", self.clip, 1e-6, 1e6)


@dataclass(frozen=True)
class TrainConfig:
    """How a run is trained; the defaults are the family's own."""

    batch_size: int = 128
    """Images in one step, over all slices."""
    slices: int = 1
    """Parts that a step's batch is cut into, one after the other: more slices need less memory."""
    optimizer: Literal["adamw", "adam", "rmsprop", "sgd"] = "adamw"
    """Rule that turns gradients into steps."""
    lr: float = 1e-3
    """Learning rate."""
    beta1: float = 0.9
    """Averaging of the gradient (momentum for sgd)."""
    beta2: float = 0.99
    """Averaging of the squared gradient (adam, adamw, rmsprop)."""
    weight_decay: float = 0.0
    """L2 penalty; decoupled from the gradient for adamw."""
    l1: float = 0.0
    """L1 penalty on the weights."""
    clip_norm: float = 0.0
    """Largest norm of a phase's gradient; 0 leaves it alone."""
    schedule: Literal["constant", "cosine", "step", "plateau"] = "cosine"
    """Course of the learning rate: step divides it by 10 at 60% and 85%; plateau halves it when validation stalls."""
    warmup: float = 0.03
    """Share of the run during which the learning rate rises from 0."""
    ema_half_life: int = 20_000
    """Images after which a weight counts half in the averaged model; ramped up at the start. 0 switches it off."""
    ema_snapshots: int = 0
    """Snapshots of two more averages to keep, from which 'figment tune' rebuilds one of any length. Each is as large as
    two models; 12 are enough."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass; auto measures at the start."""
    layout: Literal["auto", "contiguous", "channels_last"] = "auto"
    """Memory order of pictures; auto measures at the start."""
    attention: Literal["auto", "math", "flash"] = "auto"
    """Attention kernel; auto measures at the start."""
    compile: bool = False
    """Run networks through torch.compile: minutes of compiling first. For long trainings on a GPU; on a CPU it gained
    nothing."""
    augment: Augment = Augment()
    privacy: Privacy = Privacy()
    shard: bool = False
    """Of several processes, each keeps a part of every weight, of its moments and its average (FSDP2)."""
    save_every: int = 500
    """Steps between checkpoints; one is always written at the end."""
    log_every: int = 20
    """Steps between lines of log.jsonl."""
    validate_every: int = 200
    """Steps between measurements of the loss on held-out pictures; 0 switches it off."""
    sample_every: int = 500
    """Steps between sample grids; 0 switches it off."""
    score_every: int = 0
    """Steps between scores of generated pictures against held-out ones; the best step is shipped. 0 switches it off."""
    score_by: tuple[str, ...] = ("fd",)
    """Metrics to score by; the first one chooses the best."""
    score_num: int = 500
    """Pictures to draw for a score."""
    score_share: float = 0.1
    """Largest share of the time that goes into scores; where it would be more, they are taken less often."""
    patience: int = 0
    """Stop after this many validations (or scores, where asked for) without a better one, and ship the best; 0 trains
    to the end."""
    tensorboard: bool = False
    """Also write TensorBoard event files; needs the extra 'track'."""

    def __post_init__(self):
        for name, low in (("batch_size", 1), ("slices", 1), ("save_every", 1), ("log_every", 1), ("patience", 0)):
            check_range(f"train.{name}", getattr(self, name), low)
        for name in ("weight_decay", "l1", "clip_norm", "ema_half_life", "ema_snapshots"):
            check_range(f"train.{name}", getattr(self, name), 0)
        for name in ("validate_every", "sample_every", "score_every"):
            check_range(f"train.{name}", getattr(self, name), 0)
        check_range("train.lr", self.lr, 0, 10)
        if not self.score_by:
            raise ConfigError("--train.score-by: name a metric: figment list metrics")
        check_range("train.score_num", self.score_num, 2)
        check_range("train.score_share", self.score_share, 0.001, 1)
        for name in ("beta1", "beta2", "warmup"):
            check_range(f"train.{name}", getattr(self, name), 0, 1)
        for name in BETAS[self.optimizer]:
            if getattr(self, name) == 1:
                raise ConfigError(f"--train.{name} 1: give a number below 1, such as {getattr(type(self), name)}")
        if self.compile and (self.shard or self.privacy.epsilon):
            other = "--train.shard" if self.shard else "--train.privacy.epsilon"
            raise ConfigError(f"--train.compile: cannot be had with {other}; leave one of them out")
        if self.slices > self.batch_size:
            raise ConfigError(
                f"--train.slices {self.slices}: a batch of {self.batch_size} cannot be cut into more parts"
            )


def to_json(settings: Any) -> dict[str, Any]:
    """A settings object as plain JSON values."""
    return json.loads(json.dumps(asdict(settings)))


def from_json(kind: type[T], values: Mapping[str, Any], where: str = "config.json") -> T:
    """The settings object that `to_json` made `values` from.

    Raises ConfigError for a key that the class does not have, one that it needs and is not given, or a value of another
    type.
    """
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for name in values:
        if name not in known:
            raise ConfigError(f"{where}: no setting '{name}'{did_you_mean(name, known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigError(f"{where}: the setting '{name}' is missing")
    hints = typing.get_type_hints(kind)
    for name, value in values.items():
        if not _fits(hints[name], value):
            wanted = getattr(hints[name], "__name__", None) or str(hints[name])
            raise ConfigError(f"{where}: the setting '{name}' is {str(value)[:40]!r}, expected {wanted}")
    return kind(**{name: _restore(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _fits(hint: Any, value: Any) -> bool:
    """Whether a JSON value may be a setting of this type; what is within lists is not looked at."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(option, value) for option in options)
    if origin is Literal:
        return value in options
    if hint in (int, float):
        return isinstance(value, int | hint) and not isinstance(value, bool)
    if hint in (str, bool, types.NoneType):
        return isinstance(value, hint)
    if origin is tuple:
        return isinstance(value, list | tuple)
    return not is_dataclass(hint) or isinstance(value, Mapping | hint)  # type: ignore[operator]


def _restore(hint: Any, value: Any, where: str) -> Any:
    """JSON has lists and dicts only: bring back tuples and nested settings."""
    options = [part for part in typing.get_args(hint) if is_dataclass(part)]  # Engine | None
    hint = options[0] if options and not is_dataclass(hint) else hint
    if is_dataclass(hint) and isinstance(value, Mapping):
        return from_json(hint, value, where)  # type: ignore[arg-type]
    if isinstance(value, list):
        inner = [part for part in typing.get_args(hint) if part is not Ellipsis and part is not types.NoneType]
        item = inner[0] if inner else object
        return tuple(_restore(item, part, where) for part in value)
    return value


def read_json(path: Path) -> Any:
    """The JSON value in a file.

    Raises ConfigError, naming the file, where it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (ValueError, OSError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as JSON ({error})") from None


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader, also after a power cut, finds the old file or the new one, never half of it."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    sync_folder(path.parent)


def json_digest(values: Mapping[str, Any]) -> str:
    """SHA-256 of what a JSON object says, however it is laid out."""
    plain = json.loads(json.dumps(values))
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def stamped(values: Mapping[str, Any]) -> dict[str, Any]:
    """A JSON object with its own digest, by which `unstamped` notices a change."""
    return {**values, STAMP: json_digest(values)}


def unstamped(path: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """What was stamped, as it was read from a file; an earlier figment's has no stamp.

    Raises ConfigError, naming the file, where it is not what was stamped.
    """
    plain = {name: value for name, value in values.items() if name != STAMP}
    if values.get(STAMP, digest := json_digest(plain)) != digest:
        raise ConfigError(f"{path}: damaged or changed by hand (it differs from its own SHA-256)")
    return plain
