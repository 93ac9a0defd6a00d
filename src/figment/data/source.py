"""The data room: from what a person types as SOURCE to a source plugin and its settings.

SOURCE is a path (a folder, or a file whose suffix some source names in its SUFFIXES) or `name:argument`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from figment.core import plugins
from figment.core.config import from_json, to_json
from figment.core.errors import DataError
from figment.data.files import refuse_no_file
from figment.data.layout import PICTURE_SUFFIXES

INDEX = "index.sqlite"
CARD = "card.json"  # makes a folder a dataset: written last, when everything else is there


def resolve(text: str, settings: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> tuple[str, Any]:
    """(name of the source plugin, its Config) for one SOURCE.

    settings: of sources by their names, as in {"shapes": {"frames": 8}}.

    Raises DataError or ConfigError, telling what to type, for a path that is not there, that holds a run or a dataset
    instead of pictures, or that no source reads; and for an unknown name before the colon.
    """
    path = Path(text).expanduser()
    # Windows drives have one letter, so names of sources have two at least.
    named = re.fullmatch(r"([A-Za-z][\w-]+):(.*)", text)
    if named and not path.exists():
        return _configured(named[1], named[2], settings)
    if not text or not path.exists():
        raise DataError(_missing(text, path))
    return _configured("folder" if path.is_dir() else _reader_of(path), str(path), settings)


def refuse_own_folder(path: Path) -> None:
    """Raise DataError where a folder is figment's own work, a dataset or a run, and not somebody's pictures."""
    if (path / CARD).exists() or (path / INDEX).exists():
        raise DataError(f"{path}: is a dataset already, not a folder of pictures; use it with --data {path}")
    config = path / "config.json"
    if config.exists() and '"family"' in config.read_text(encoding="utf-8", errors="replace"):
        raise DataError(f"{path}: is a run, not a folder of pictures; give the pictures that it should be trained on")


def settings_of(config: Any) -> dict[str, Any]:
    """What was chosen for a source beside its argument, as JSON."""
    return {name: value for name, value in to_json(config).items() if name != "argument"}


def _configured(name: str, argument: str, settings: Mapping[str, Mapping[str, Any]]) -> tuple[str, Any]:
    if name == "folder":
        refuse_own_folder(Path(argument))
    refuse_no_file(Path(argument))
    values = {"argument": argument, **settings.get(name, {})}
    return name, from_json(plugins.load("sources", name).Config, values, f"--{name.replace('_', '-')}")


def _reader_of(path: Path) -> str:
    """The source that names the file's suffix."""
    suffixes: dict[str, str] = {}
    for name in plugins.names("sources"):
        for suffix in plugins.constant("sources", name, "SUFFIXES", ()):  # type: ignore[attr-defined]
            suffixes[suffix] = name
    for suffix, name in suffixes.items():
        if path.name.lower().endswith(suffix):
            return name
    if path.name.lower().endswith(PICTURE_SUFFIXES):
        raise DataError(f"{path}: is a single picture; give the folder that it lies in: {path.parent}")
    raise DataError(f"{path}: no source reads such a file; give a folder of pictures or one of {', '.join(suffixes)}")


def _missing(text: str, path: Path) -> str:
    if text in plugins.names("sources"):
        return f"{text}: no such file or folder; did you mean the source '{text}:'?"
    beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, n=1, cutoff=0.6)
    hint = f"; did you mean '{path.parent / near[0]}'?" if near else ""
    return (
        f"'{text}': no such file or folder{hint or '; give a folder of pictures, an archive, or a source like digits:'}"
    )
