"""The data room: what a build is going to do: which sources it reads and which steps, with all settings decided."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from figment.core import plugins
from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.chain import Chain, make_chain
from figment.data.headers import open_picture, upright_size, warnings_as_errors
from figment.data.layout import is_hidden
from figment.data.source import CARD, INDEX, resolve, settings_of

LOOKED_AT = 256  # pictures that decide the size, where none is asked for

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class BuildConfig:
    """How pictures become a dataset."""

    size: str = ""
    """Side of a square ("32") or height x width ("48x64"); empty lets the pictures decide."""
    skip: tuple[str, ...] = ()
    """Steps to leave out."""
    steps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of steps, as in {"min_size": {"pixels": 16}}."""
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Settings of sources, as in {"shapes": {"frames": 8}}."""


DEFAULTS = BuildConfig()


@dataclass(frozen=True)
class Plan:
    """readers: names of sources with their settings. total: records in all, or None where a source cannot tell."""

    readers: tuple[tuple[str, Any], ...]
    chain: Chain
    total: int | None

    @property
    def recipe(self) -> dict[str, Any]:
        """All that decides what the dataset becomes, as JSON."""
        sources = [_title(*reader) for reader in self.readers]
        settings = {name: chosen for name, config in self.readers if (chosen := settings_of(config))}
        return {
            "sources": sources,
            **({"source_settings": settings} if settings else {}),
            "steps": self.chain.to_json(),
        }

    @property
    def early_recipe(self) -> dict[str, Any]:
        """The part of the recipe that shards depend on: without the steps that come when all pictures are there."""
        return {**self.recipe, "steps": self.chain.single().to_json()}

    def records(self) -> Generator[Record | Rejected, None, None]:
        """All records of all sources; with several sources, keys begin with the name of theirs."""
        for (name, config), prefix in zip(self.readers, _prefixes(self.readers), strict=True):
            for record in plugins.load("sources", name).records(config):
                yield replace(record, key=prefix + record.key) if prefix else record


def make_plan(sources: Sequence[str], config: BuildConfig, progress: Progress | None = None) -> Plan:
    """Look at the sources and decide. progress: called with (pictures looked at, None).

    Raises DataError or ConfigError for sources without a picture, and for steps or settings that there are not.
    """
    if not sources:
        raise ConfigError("no SOURCE: give a folder of pictures, an archive, or a source like digits:")
    readers = tuple(resolve(text, config.sources) for text in sources)
    for name in config.sources:
        if name not in {reader for reader, _ in readers}:
            raise ConfigError(
                f"--{name.replace('_', '-')}: is no source of this build; give {name}:ARGUMENT or leave it out"
            )
    plan = Plan(readers, Chain(()), _total(readers))
    first: list[Record | Rejected] = []
    with closing(plan.records()) as records:
        for record in islice(records, LOOKED_AT if _is_size_open(config) else 1):
            first.append(record)
            if progress:
                progress(len(first), None)
    return replace(plan, chain=make_chain(_settings(config, first), config.skip))


def _total(readers: Sequence[tuple[str, Any]]) -> int | None:
    """Records of all sources; None where one cannot tell, or does not offer to."""
    total = 0
    for name, config in readers:
        count = getattr(plugins.load("sources", name), "count", lambda config: None)(config)
        if count is None:
            return None
        total += count
    return total


def _is_size_open(config: BuildConfig) -> bool:
    """Whether the pictures decide; if not, a first one shows that the sources can be read."""
    return not (config.size or config.steps.get("resize_crop", {}).get("size") or "resize_crop" in config.skip)


def _settings(config: BuildConfig, first: Sequence[Record | Rejected]) -> dict[str, Mapping[str, Any]]:
    """The settings of the steps, with the size decided."""
    settings = dict(config.steps)
    resizing = dict(settings.get("resize_crop", {}))
    if config.size and resizing.get("size", config.size) != config.size:
        raise ConfigError(f"--size {config.size} and --resize-crop.size {resizing['size']}: give one of them")
    if "resize_crop" in config.skip:
        if config.size:
            raise ConfigError(f"--size {config.size}: has no effect with --skip resize_crop; leave one out")
        return settings
    choose = plugins.load("steps", "resize_crop").choose
    size = config.size or resizing.get("size") or choose([size for record in first if (size := _size(record))])
    return {**settings, "resize_crop": {**resizing, "size": size}}


def _size(record: Record | Rejected) -> tuple[int, int] | None:
    """(height, width) of a record's picture; None where it does not tell."""
    if isinstance(record, Rejected):
        return None
    if not isinstance(record.image, bytes):
        return record.image.shape[-3], record.image.shape[-2]
    try:
        with warnings_as_errors():
            return upright_size(open_picture(record.image))
    except Exception:  # decoders raise anything on damaged bytes; the decode step will say what
        return None


def _title(name: str, config: Any) -> str:
    """A source in a recipe; the same from whatever folder the command is given.

    Of a path only its last name, and a digest of the whole: whoever is given the dataset learns of no other folders.
    """
    path = Path(config.argument)
    if not config.argument or not path.exists():
        return f"{name}:{config.argument}"
    whole = path.resolve()
    return f"{name}:{whole.name} ({hashlib.sha256(os.fsencode(whole)).hexdigest()[:8]})"


def _prefixes(readers: Sequence[tuple[str, Any]]) -> list[str]:
    """What keys of each source begin with: nothing for a single one."""
    if len(readers) == 1:
        return [""]
    paths = [Path(config.argument) for _, config in readers]
    names = [path.name if path.name and path.exists() else name for path, (name, _) in zip(paths, readers, strict=True)]
    return [f"{name}/" if names.count(name) == 1 else f"{name}-{place}/" for place, name in enumerate(names, 1)]


def refuse_place(out: Path, plan: Plan) -> None:
    """Raise DataError where a dataset must not be made: on top of something else, or within its own source."""
    for _, config in plan.readers:
        source = Path(config.argument)
        if config.argument and source.is_dir() and out.resolve().is_relative_to(source.resolve()):
            raise DataError(f"{out}: lies within the source {source}; give --out a folder beside it")
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: is a file; give --out a new folder")
    # SQLite writes a journal first: after a power cut there may be nothing but that.
    has_dataset = any((out / name).exists() for name in (INDEX, f"{INDEX}-journal", CARD))
    if out.exists() and not has_dataset and not all(is_hidden(entry.name) for entry in out.iterdir()):
        raise DataError(f"{out}: is not empty and holds no dataset; give --out a new folder")
