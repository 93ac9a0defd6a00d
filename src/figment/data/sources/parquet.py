"""Tables of pictures in Parquet, as Hugging Face publishes them: `train.parquet`, or `parquet:FOLDER`.

Part of the data room. Needs the extra `parquet`. A column of pictures (bytes, or bytes and path), by name or the first
of that kind; `label` (texts, or numbers with the names that the file's metadata lists); `caption`, `captions` or
`text`; `attributes`, a struct or map of numbers; `key`; `licence`; `split`, else the split that a file's name says, as
in train-00000-of-00001.parquet. Rows are read in small groups: a file may be larger than memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.errors import ConfigError, DataError, MissingExtra
from figment.core.types import Record, Rejected
from figment.data.files import only_files
from figment.data.headers import one_line
from figment.data.layout import SPLITS, natural

SUFFIXES = (".parquet",)
ROWS = 64  # held at once

_IMAGES = ("image", "img", "picture", "pixels", "jpg", "png")
_LABELS = ("label", "labels", "class", "fine_label")
_CAPTIONS = ("caption", "captions", "text", "texts")


@dataclass(frozen=True)
class Config:
    """Which files."""

    argument: str = ""
    """A .parquet file, or a folder of them."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("parquet: give the file or folder, as in parquet:train-00000-of-00001.parquet")


def records(config: Config) -> Iterator[Record | Rejected]:
    """A record for every row, in order, as the bytes of its picture; key: the column `key`, else the file's name and
    the row's number.

    Raises MissingExtra without pyarrow, DataError where there is no file, or one has no pictures.
    """
    for path in _files(Path(config.argument)):
        with _open(path) as file:
            columns = _columns(path, file.schema_arrow)
            names = _class_names(file.schema_arrow.metadata or {}, columns.get("label"))
            split = next((SPLITS[word] for word in re.split(r"[^a-z]+", path.stem.lower()) if word in SPLITS), None)
            number = 0
            for batch in _batches(path, file, list(columns.values())):
                for row in batch.to_pylist():
                    told = {what: row[column] for what, column in columns.items() if row[column] is not None}
                    yield _record(path, f"{path.stem}/{number:06d}", told, names, split)
                    number += 1


def count(config: Config) -> int:
    """How many records there will be, from the files' footers."""
    total = 0
    for path in _files(Path(config.argument)):
        with _open(path) as file:
            total += file.metadata.num_rows
    return total


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else only_files(path.rglob("*.parquet"))
    files = sorted(found, key=lambda file: natural(file.as_posix()))
    if not files:
        raise DataError(f"{path}: no .parquet files in it; give a file or a folder of them")
    return files


def _open(path: Path) -> Any:
    """The file, to be closed."""
    with _damage(path):
        from pyarrow.parquet import ParquetFile

        return ParquetFile(path)


def _batches(path: Path, file: Any, columns: list[str]) -> Iterator[Any]:
    """Some rows at a time."""
    with _damage(path):
        yield from file.iter_batches(batch_size=ROWS, columns=columns)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    try:
        from pyarrow import ArrowException
    except ModuleNotFoundError:
        raise MissingExtra("parquet", "parquet") from None
    try:
        yield
    except (OSError, ArrowException) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({one_line(error)}); fetch it again") from None


def _columns(path: Path, schema: Any) -> dict[str, str]:
    """What figment calls a column -> its name in the file."""
    kinds = {field.name: str(field.type) for field in schema}
    pictures = [name for name, kind in kinds.items() if "binary" in kind]
    image = next((name for name in _IMAGES if name in pictures), next(iter(pictures), None))
    if image is None:
        raise DataError(f"{path}: no column holds pictures; there are {', '.join(kinds)}")
    found = {"image": image}
    for what, names in (
        ("label", _LABELS),
        ("captions", _CAPTIONS),
        ("attributes", ("attributes",)),
        ("split", ("split",)),
        ("key", ("key",)),
        ("licence", ("licence", "license")),
    ):
        column = next((name for name in names if name in kinds and name != image), None)
        found |= {what: column} if column else {}
    return found


def _class_names(metadata: Mapping[bytes, bytes], column: str | None) -> Sequence[str]:
    """Names of the numbers in a column of labels, as the `datasets` library writes them; none for other files."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        return [str(name) for name in features[column]["names"]]
    except (KeyError, TypeError, ValueError):
        return ()


def _record(
    path: Path, key: str, told: Mapping[str, Any], names: Sequence[str], split: str | None
) -> Record | Rejected:
    content = told.get("image")
    content = content.get("bytes") if isinstance(content, dict) else content
    if not isinstance(content, bytes):
        return Rejected(key, "parquet", "has no bytes of a picture")
    label, captions = told.get("label"), told.get("captions", ())
    if isinstance(label, int) and names:
        label = names[label] if 0 <= label < len(names) else None  # -1 is how test sets hide their labels
    given = dict(told.get("attributes", {}))
    return Record(
        image=content,
        key=str(told.get("key", key)),
        label=None if label is None else str(label),
        split=SPLITS.get(str(told.get("split", "")).casefold(), split),
        attributes={name: float(value) for name, value in given.items() if isinstance(value, int | float)},
        captions=tuple(str(one) for one in ([captions] if isinstance(captions, str) else captions)),
        origin={"source": path.name, **({"licence": str(told["licence"])} if told.get("licence") else {})},
    )
