"""A table that names pictures and says what they show, CSV or JSONL: `pictures.csv`, `metadata.jsonl`.

Part of the data room. Columns: `path` (or `file_name`, `file`, `image`), relative to the table's folder; `label`;
`split`; `caption`, `text`, and any that begin with caption; `pair`, a second picture; `licence`. Every other column is
an attribute and holds numbers. In JSONL, `captions` may be a list, and `attributes` an object. Empty cells say nothing.
The metadata files of Hugging Face's image folders are such tables.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.errors import ConfigError, DataError, did_you_mean
from figment.core.types import Record, Rejected
from figment.data.files import read_file
from figment.data.headers import Unreadable, one_line
from figment.data.layout import SPLITS

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson")

_PATHS = ("path", "file_name", "file", "image", "filename")
_TEXTS = ("text", "texts")
_OTHERS = {"label", "split", "pair", "licence", "license", "attributes"}


@dataclass(frozen=True)
class Config:
    """Which table."""

    argument: str = ""
    """The .csv, .tsv or .jsonl file."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("manifest: give the table, as in manifest:pictures.csv")


def records(config: Config) -> Iterator[Record | Rejected]:
    """A record for every line, in order, as the bytes of its file; key: the path as the table spells it.

    A picture that is not there, or a value that cannot be used, comes as Rejected. Raises DataError where the table is
    none, or has no column of paths.
    """
    table = Path(config.argument)
    column: str | None = None
    for number, row in _rows(table):
        if column is None:
            column = _path_column(table, row)
        key = str(row.get(column) or f"line {number}")
        try:
            yield _record(table.parent, key, row, column)
        except ValueError as error:
            yield Rejected(key, "manifest", f"line {number}: {error}")
    if column is None:
        raise DataError(f"{table}: has no line; give a table of pictures with a column 'path'")


def count(config: Config) -> int:
    """How many records there will be: one a line."""
    return sum(1 for _ in _rows(Path(config.argument)))


def _rows(table: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """(number of the line, its cells by column)"""
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            if table.suffix.lower() in (".jsonl", ".ndjson"):
                for number, line in enumerate(file, 1):
                    if line.strip():
                        yield number, _object(json.loads(line))
            else:
                reader = csv.DictReader(file, delimiter="\t" if table.suffix.lower() == ".tsv" else ",")
                for row in reader:
                    yield reader.line_num, {name: cell for name, cell in row.items() if name}
    except (OSError, UnicodeError, ValueError, RecursionError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table ({one_line(error)}); give CSV or JSONL in UTF-8") from None


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("a line of JSONL is not an object")
    return value


def _path_column(table: Path, row: Mapping[str, Any]) -> str:
    for name in _PATHS:
        if name in row:
            return name
    raise DataError(f"{table}: has no column 'path'{did_you_mean('path', row)}")


def _record(folder: Path, key: str, row: Mapping[str, Any], column: str) -> Record:
    """Raises ValueError for what cannot be used."""
    told = {name: value for name, value in row.items() if value not in (None, "") and name != column}
    split = told.get("split")
    if split is not None and str(split).casefold() not in SPLITS:
        raise ValueError(f"split '{split}' is none of train, val and test")
    licence = told.get("licence", told.get("license"))
    return Record(
        image=_file(folder, key),
        key=key,
        label=str(told["label"]) if "label" in told else None,
        split=SPLITS[str(split).casefold()] if split is not None else None,
        attributes=_attributes(told),
        captions=_captions(told),
        pair=_file(folder, str(told["pair"])) if "pair" in told else None,
        origin={"source": folder.name, "path": key, **({"licence": str(licence)} if licence else {})},
    )


def _file(folder: Path, name: str) -> bytes:
    if "://" in name:
        raise ValueError(f"{name} is a URL; fetch it first and name the file")
    try:
        return read_file(folder / name)
    except Unreadable as reason:
        raise ValueError(f"{name} {reason}") from None


def _captions(told: Mapping[str, Any]) -> tuple[str, ...]:
    found = [value for name, value in told.items() if name.startswith("caption") or name in _TEXTS]
    return tuple(str(text) for value in found for text in (value if isinstance(value, list) else [value]))


def _attributes(told: Mapping[str, Any]) -> dict[str, float]:
    """Numbers; true and false are 1 and 0."""
    rest = {name: value for name, value in told.items() if not (name.startswith("caption") or name in _TEXTS)}
    given = {**_object(rest.get("attributes", {})), **{name: rest[name] for name in rest if name not in _OTHERS}}
    return {name: _number(name, value) for name, value in given.items() if value not in (None, "")}


def _number(name: str, value: Any) -> float:
    try:
        number = float(
            {"true": 1, "false": 0}.get(value.strip().casefold(), value) if isinstance(value, str) else value
        )
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{name} is '{value}', and attributes are numbers")
    return number
