"""ImageNet (ILSVRC 2012) and Tiny ImageNet as their makers give them: synset folders, words, a validation mapping.

Part of the data room. Below `imagenet:PATH` lie `train/n01440764/...`, `val/` in folders too or flat with a mapping
(LOC_val_solution.csv, val_annotations.txt or lines of "file synset"), and the words of the synsets
(LOC_synset_mapping.txt, synset_words.txt, words.txt). Label: the synset's first word, "tench"; where two synsets share
it, "crane (n03126707)". Caption: all its words. The official test pictures have no labels and are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.files import read_file
from figment.data.headers import Unreadable
from figment.data.layout import PICTURE_SUFFIXES, is_hidden, natural

_SYNSET = re.compile(r"n\d{8}")
_MAPPED = re.compile(r"^([^\s,]+?)(?:\.JPEG)?[\s,]+(n\d{8})\b", re.MULTILINE)
_MAPPINGS = ("LOC_val_solution.csv", "val_annotations.txt", "val.txt", "val_map.txt")
_WORDS = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
_LICENCE = "ImageNet terms of access: non-commercial research and education"


@dataclass(frozen=True)
class Config:
    """Where the dataset lies."""

    argument: str = ""
    """The folder that holds train/ and val/."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("imagenet: give the folder that holds train/ and val/, as in imagenet:ILSVRC")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Train, then val, each in natural order, as the bytes of their files; key: the path below train/ and val/.

    Raises DataError where there are no synset folders, or a flat val/ has no mapping.
    """
    root = Path(config.argument)
    train, val = _folder(root, "train"), _folder(root, "val")
    if train is None:
        raise DataError(f"{root}: no train/ with folders such as n01440764 in it; give the folder that holds it")
    synsets = sorted({entry.name for entry in train.iterdir() if _SYNSET.fullmatch(entry.name)})
    words = _words(root)
    labels = _labels(synsets, words)
    truth = _truth(root, val) if val else {}
    for folder in (train, val) if val else (train,):
        split = folder.name
        for file in _pictures(folder):
            key = f"{split}/{file.relative_to(folder).as_posix()}"
            synset = next((part for part in file.parts[::-1] if _SYNSET.fullmatch(part)), truth.get(file.stem))
            if synset not in labels:
                yield Rejected(key, "imagenet", f"has no label: {synset or 'the mapping does not name it'}")
                continue
            yield _record(file, key, split, synset, labels, words)


def _folder(root: Path, name: str) -> Path | None:
    """The folder of a split, at the top or as deep as Kaggle's ILSVRC/Data/CLS-LOC."""
    return next(
        (
            found
            for deep in ("", "*/", "*/*/", "*/*/*/")
            for found in sorted(root.glob(f"{deep}{name}"))
            if found.is_dir()
        ),
        None,
    )


def _pictures(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*"), key=lambda file: natural(file.as_posix())):
        if file.name.lower().endswith(PICTURE_SUFFIXES) and not is_hidden(file.name):
            yield file


def _named(root: Path, names: tuple[str, ...]) -> str:
    """The text of the first file of these names; empty where there is none."""
    for name in names:
        for file in sorted(root.rglob(name)):
            if file.is_file():
                return file.read_text(encoding="utf-8", errors="replace")
    return ""


def _words(root: Path) -> dict[str, str]:
    """synset -> its words, "tench, Tinca tinca"."""
    lines = (line.split(maxsplit=1) for line in _named(root, _WORDS).splitlines())
    return {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}


def _labels(synsets: list[str], words: Mapping[str, str]) -> dict[str, str]:
    """synset -> a name that no other has."""
    names = {synset: words.get(synset, synset).partition(",")[0] for synset in synsets}
    number = Counter(names.values())
    return {synset: name if number[name] == 1 else f"{name} ({synset})" for synset, name in names.items()}


def _truth(root: Path, val: Path) -> dict[str, str]:
    """File without its ending -> synset, for a flat val/; empty where it has folders."""
    if any(_SYNSET.fullmatch(entry.name) for entry in val.iterdir()):
        return {}
    truth = {name: synset for name, synset in _MAPPED.findall(_named(root, _MAPPINGS))}
    if not truth:
        raise DataError(f"{val}: has no synset folders and no mapping; put LOC_val_solution.csv beside it")
    return truth


def _record(
    file: Path, key: str, split: str, synset: str, labels: Mapping[str, str], words: Mapping[str, str]
) -> Record | Rejected:
    try:
        content = read_file(file)
    except Unreadable as reason:
        return Rejected(key, "imagenet", str(reason))
    origin = {"source": "ImageNet", "path": key, "synset": synset, "licence": _LICENCE}
    captions = (words[synset],) if synset in words else ()
    return Record(image=content, key=key, label=labels[synset], split=split, captions=captions, origin=origin)
