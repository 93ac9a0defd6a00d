"""Datasets of the Hugging Face hub, read as a stream: `hub:ylecun/mnist`, or `hub:FOLDER` for one on disk.

Part of the data room. Needs the extra `hub`. A column of pictures, by its kind; the label from a column of classes, or
of texts named `label`; captions from `caption`, `captions`, `text` or `texts`; splits by their names; the licence that
the dataset states. On disk: Parquet files, an image folder, or what `save_to_disk` wrote. Data are read, and no program
that came with them is run; a picture is read from the dataset's own files only, whatever path a row names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.errors import ConfigError, DataError, MissingExtra
from figment.core.types import Record, Rejected
from figment.data.headers import one_line
from figment.data.layout import SPLITS

MAX_FILE_BYTES = 256 * 2**20

_IMAGES = ("image", "img", "picture", "pixel_values", "jpg", "png")
_LABELS = ("label", "labels", "class", "fine_label", "cls")
_CAPTIONS = ("caption", "captions", "text", "texts", "txt")


@dataclass(frozen=True)
class Config:
    """Which dataset."""

    argument: str = ""
    """Its name on the hub, as in ylecun/mnist, or a folder."""
    subset: str = ""
    """Which of its parts, where it has several (the hub calls them subsets or configurations)."""
    revision: str = ""
    """Which state of it: a branch, tag or commit; the newest where it is not said."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("hub: give the name of a dataset, as in hub:ylecun/mnist")


def records(config: Config) -> Iterator[Record | Rejected]:
    """A record for every row of every split, in order, as the bytes of its picture; key: split and number.

    Raises MissingExtra without the `datasets` library, and DataError where the dataset cannot be read or reached, or
    has no column of pictures.
    """
    for name, rows in _splits(config).items():
        columns = _columns(config, rows.features or {})
        class_names = getattr(rows.features[columns["label"]], "names", ()) if "label" in columns else ()
        split = next((SPLITS[word] for word in re.split(r"[^a-z]+", name.lower()) if word in SPLITS), None)
        about = {"source": Path(config.argument).name if _folder(config) else config.argument}
        about |= {"licence": licence} if (licence := rows.info.license) else {}
        for number, row in enumerate(_read(config, rows, columns)):
            key = f"{name}/{number:06d}" if name else f"{number:06d}"
            told = {what: row[column] for what, column in columns.items()}
            try:
                content = _content(told["image"], config)
            except ValueError as reason:
                yield Rejected(key, "hub", str(reason))
                continue
            yield Record(
                image=content,
                key=key,
                label=_label(told.get("label"), class_names),
                split=split,
                captions=_captions(told.get("captions")),
                origin=about,
            )


def _folder(config: Config) -> Path | None:
    """The folder that a dataset on disk lies in."""
    path = Path(config.argument).expanduser()
    return path.resolve() if path.is_dir() else None


def _splits(config: Config) -> Mapping[str, Any]:
    """Rows of each split by its name, none of them read yet."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise MissingExtra("hub", "hub") from None
    datasets.disable_progress_bars()
    folder = _folder(config)
    try:
        if folder and any((folder / name).exists() for name in ("state.json", "dataset_dict.json")):
            found: Any = datasets.load_from_disk(str(folder))
        else:
            found = datasets.load_dataset(
                str(folder or config.argument),
                config.subset or None,
                revision=config.revision or None,
                streaming=True,
            )
    except Exception as error:  # networks, files and services fail in any way
        raise _unreadable(config, error) from None
    return found if isinstance(found, dict) else {"": found}


def _columns(config: Config, features: Mapping[str, Any]) -> dict[str, str]:
    """What figment calls a column -> its name in the dataset."""
    from datasets import ClassLabel, Image

    def first(names: tuple[str, ...], there: list[str]) -> str | None:
        return next((name for name in names if name in there), None)

    pictures = [name for name, kind in features.items() if isinstance(kind, Image)]
    classes = [name for name, kind in features.items() if isinstance(kind, ClassLabel)]
    texts = [name for name, kind in features.items() if "string" in str(kind) and name not in pictures]
    if not pictures:
        there = f"there are {', '.join(features)}" if features else "its columns are not known"
        raise DataError(f"hub:{config.argument}: no column holds pictures; {there}")
    found = {
        "image": first(_IMAGES, pictures) or pictures[0],
        "label": first(_LABELS, classes) or next(iter(classes), None) or first(_LABELS, texts),
        "captions": first(_CAPTIONS, texts),
    }
    return {what: name for what, name in found.items() if name}


def _read(config: Config, rows: Any, columns: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """The rows, with the columns that are wanted and pictures as they are stored."""
    from datasets import Image

    try:
        wanted = rows.select_columns(list(columns.values()))
        yield from wanted.cast_column(columns["image"], Image(decode=False))
    except Exception as error:
        raise _unreadable(config, error) from None


def _content(value: Any, config: Config) -> bytes:
    """The bytes of a picture, which a row has or says the place of.

    Raises ValueError.
    """
    given = value if isinstance(value, dict) else {}
    if given.get("bytes"):
        return given["bytes"]
    if not given.get("path"):
        raise ValueError("has no bytes of a picture")
    import fsspec

    path, folder = str(given["path"]), _folder(config)
    file = path.rpartition("::")[2]  # of "zip://1.png::FILE.zip", the file that is opened
    own = f"hf://datasets/{config.argument}@"
    if not (Path(file).resolve().is_relative_to(folder) if folder else file.startswith(own) and ".." not in file):
        raise ValueError("names a picture that does not belong to the dataset")
    try:
        with fsspec.open(path, "rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)  # type: ignore[union-attr]
    except OSError as error:
        raise ValueError(f"cannot be read: {one_line(error)}") from None
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"larger than {MAX_FILE_BYTES >> 20} MiB")
    return content


def _label(value: Any, names: Sequence[str]) -> str | None:
    if isinstance(value, int) and names:
        return names[value] if 0 <= value < len(names) else None  # -1 is how test sets hide their labels
    return None if value is None else str(value)


def _captions(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [value]
    return tuple(text for text in given if isinstance(text, str) and text)


def _unreadable(config: Config, error: Exception) -> DataError:
    return DataError(
        f"hub:{config.argument}: cannot be read ({one_line(error)[:300]}); check its name and the network, and give"
        " --hub.subset where it has several parts"
    )
