"""Shards in WebDataset layout, figment's own and others': `webdataset:FOLDER` or one .tar.

Part of the data room. Members whose names are the same up to the first dot are one sample: a picture, and beside it
`.json` (label, captions, attributes, split, as figment writes them), `.cls` (a label), `.txt` or `.caption`. Shards are
read as streams; what archives are refused for holds here too. Of a figment dataset, its shards are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data import tars
from figment.data.files import only_files
from figment.data.layout import PICTURE_SUFFIXES, SPLITS, is_hidden, natural
from figment.data.members import Member, refusal_of_name
from figment.data.pixels import decode_png
from figment.data.source import CARD

_ABOUT = (".json", ".cls", ".txt", ".text", ".caption")
_SHARDS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_PACKINGS = {b"\x1f\x8b": "gz", b"BZ": "bz2", b"\xfd7": "xz"}


@dataclass(frozen=True)
class Config:
    """Which shards."""

    argument: str = ""
    """A .tar, or a folder of them."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("webdataset: give a shard or a folder of them, as in webdataset:shards")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every sample that has a picture, in order; key: as its .json says, else its name in the shard.

    Raises DataError where there is no shard, one is damaged, or no sample has a picture.
    """
    path = Path(config.argument)
    is_empty = True
    for shard in _shards(path):
        for name, sample in _samples(shard):
            if record := _record(path, shard, name, sample):
                is_empty = False
                yield record
    if is_empty:
        raise DataError(f"{path}: no sample with a picture in it; give shards in WebDataset layout")


def _shards(path: Path) -> list[Path]:
    folder = path / "shards" if (path / CARD).exists() else path
    shards = (file for file in folder.rglob("*") if file.name.lower().endswith(_SHARDS))
    found = [path] if path.is_file() else only_files(shards)
    if not found:
        raise DataError(f"{path}: no .tar in it; give a shard or a folder of them")
    return sorted(found, key=lambda file: natural(file.as_posix()))


def _samples(shard: Path) -> Iterator[tuple[str, dict[str, bytes | str]]]:
    """(name, content or reason of refusal by suffix) of members in a row that share a name up to the first dot."""
    name, sample = "", {}
    for member in tars.members(shard, _packing(shard), wanted=_is_wanted):
        folder, _, file = member.key.rpartition("/")
        stem, _, suffix = file.partition(".")
        place = f"{folder}/{stem}" if folder else stem
        if place != name and sample:
            yield name, sample
            sample = {}
        name = place
        sample[f".{suffix.lower()}"] = _content(member)
    if sample:
        yield name, sample


def _is_wanted(key: str) -> bool:
    if refusal_of_name(key) is not None:
        return True
    return key.lower().endswith((*PICTURE_SUFFIXES, *_ABOUT)) and not any(is_hidden(part) for part in key.split("/"))


def _content(member: Member) -> bytes | str:
    """A member's bytes, or the text that says why there are none."""
    return member.refusal or member.read()


def _packing(shard: Path) -> str:
    try:
        with shard.open("rb") as file:
            return _PACKINGS.get(file.read(2), "tar")
    except OSError as error:
        raise DataError(f"{shard}: cannot be read ({error.strerror}); give a shard") from None


def _record(path: Path, shard: Path, name: str, sample: Mapping[str, bytes | str]) -> Record | Rejected | None:
    """None for a sample without a picture."""
    suffix = next((suffix for suffix in sample if suffix.endswith(PICTURE_SUFFIXES)), None)
    if suffix is None:
        return None
    image = sample[suffix]
    if isinstance(image, str):
        return Rejected(f"{name}{suffix}", "webdataset", image)
    try:
        about = json.loads(sample.get(".json", b"{}"))
        about = about if isinstance(about, dict) else {}
        key, frames = str(about.get("key", f"{name}{suffix}")), int(about.get("frames", 1))
        halves = decode_png(image, 2) if about.get("paired") else None
        pixels = image if frames == 1 else decode_png(image, frames)
    except ValueError as error:
        return Rejected(f"{name}{suffix}", "webdataset", f"its .json cannot be used: {error}")
    licence = about.get("licence")
    return Record(
        image=pixels if halves is None else halves[0],
        key=key,
        label=_label(sample, about),
        split=SPLITS.get(str(about.get("split", "")).casefold()),
        attributes=_numbers(about.get("attributes")),
        captions=_captions(sample, about),
        pair=None if halves is None else halves[1],
        origin={"source": path.name, "path": f"{shard.name}/{name}", **({"licence": str(licence)} if licence else {})},
    )


def _label(sample: Mapping[str, bytes | str], about: Mapping[str, Any]) -> str | None:
    label = about.get("label", _text(sample.get(".cls")))
    return None if label is None else str(label)


def _captions(sample: Mapping[str, bytes | str], about: Mapping[str, Any]) -> tuple[str, ...]:
    told = about.get("captions", about.get("caption", []))
    texts = [told] if isinstance(told, str) else list(told)
    texts += [_text(sample.get(suffix)) for suffix in (".txt", ".text", ".caption")]
    return tuple(dict.fromkeys(str(text) for text in texts if text))


def _numbers(value: Any) -> dict[str, float]:
    given = value if isinstance(value, dict) else {}
    return {str(name): float(one) for name, one in given.items() if isinstance(one, int | float)}


def _text(content: bytes | str | None) -> str | None:
    return content.decode("utf-8", "replace").strip() if isinstance(content, bytes) else None
