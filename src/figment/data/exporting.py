"""The data room: a dataset written out for other programs, losslessly: as a folder, as shards, or as Parquet.

Each form is one that figment reads too, and then makes the same dataset of: the same pixels, labels, attributes,
captions and splits; of shards and Parquet also the same keys. Pictures are copied as they are stored, as PNG.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from figment.core.errors import ConfigError, DataError, MissingExtra, did_you_mean
from figment.data.disk import disk_errors
from figment.data.index import IS_ACCEPTED, Index, Row
from figment.data.shards import ShardReader, tar_member, write_shard
from figment.data.store import SPLITS, Store

PER_SHARD = 1_000  # held in memory until they are written
_PER_GROUP = 256  # rows of Parquet written at once

Pictures = Iterator[tuple[Row, bytes]]


def export(store: Store, kind: str, out: Path) -> int:
    """Write every accepted picture into the folder `out`, which must be new or empty; how many there were.

    folder: `<split>/<class>/<number>.png` and metadata.jsonl. webdataset: `<split>-<number>.tar`. parquet:
    `<split>.parquet`, with the columns that Hugging Face's viewer shows.

    Raises ConfigError for another kind, DataError where `out` holds something or the form cannot hold the dataset,
    and MissingExtra for Parquet without pyarrow.
    """
    if kind not in KINDS:
        raise ConfigError(f"--to {kind}: not a form to export to{did_you_mean(kind, KINDS)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out}: is there already; give a new folder")
    if kind != "webdataset" and (store.spec.paired or store.spec.frames > 1):
        what = "pairs" if store.spec.paired else "sequences"
        raise DataError(f"{store.path}: holds {what}, which --to {kind} cannot hold; give --to webdataset")
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        return sum(KINDS[kind](out, split, pictures) for split, pictures in _splits(store))


def _splits(store: Store) -> Iterator[tuple[str, Pictures]]:
    with disk_errors(store.path), store.index() as index:
        for split in SPLITS:
            if store.counts.get(split):
                yield split, _pictures(store, index, split)


def _pictures(store: Store, index: Index, split: str) -> Pictures:
    """Rows of a split with their PNGs, in the dataset's order."""
    with ShardReader(store.path) as shards:
        for row in index.rows(f"{IS_ACCEPTED} and split = ?", split):
            assert row.shard is not None and row.offset is not None and row.length is not None
            content = shards.read(row.shard, row.offset, row.length)
            if len(content) != row.length:
                raise DataError(f"{store.path / row.shard}: ends before '{row.key}'; build the dataset again")
            yield row, content


def _to_folder(out: Path, split: str, pictures: Pictures) -> int:
    number = 0
    with (out / "metadata.jsonl").open("a", encoding="utf-8") as table:
        for row, content in pictures:
            name = "/".join([split, *([_file_name(row.label)] if row.label is not None else []), f"{row.id:09d}.png"])
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)
            about = {"file_name": name, **_about(row, split), "attributes": dict(row.attributes)}
            table.write(json.dumps(about, ensure_ascii=False) + "\n")
            number += 1
    return number


def _to_shards(out: Path, split: str, pictures: Pictures) -> int:
    number = 0
    while first := next(pictures, None):
        members: list[bytes] = []
        for row, content in chain([first], islice(pictures, PER_SHARD - 1)):
            members += _members(row, content, split)
            number += 1
        write_shard(out / f"{split}-{(number - 1) // PER_SHARD:06d}.tar", members)
    return number


def _members(row: Row, content: bytes, split: str) -> Iterator[bytes]:
    layout = {"frames": row.frames} if row.frames > 1 else {"paired": True} if row.paired else {}
    about = {"key": row.key, **_about(row, split), "attributes": dict(row.attributes), **layout}
    yield tar_member(f"{row.id:09d}.png", content)
    yield tar_member(f"{row.id:09d}.json", json.dumps(about, ensure_ascii=False).encode())


def _to_parquet(out: Path, split: str, pictures: Pictures) -> int:
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ModuleNotFoundError:
        raise MissingExtra("export --to parquet", "parquet") from None
    text = pa.string()
    schema = pa.schema(
        {
            "image": pa.struct({"bytes": pa.binary(), "path": text}),
            "key": text,
            "label": text,
            "captions": pa.list_(text),
            "attributes": pa.map_(text, pa.float64()),
            "split": text,
            "licence": text,
        },
        # What the `datasets` library and the viewer of Hugging Face need to know that these are pictures.
        metadata={"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})},
    )
    number = 0
    with ParquetWriter(out / f"{split}.parquet", schema) as writer:
        while group := list(islice(pictures, _PER_GROUP)):
            rows = [{"image": _image(row, content), "key": row.key, **_cells(row, split)} for row, content in group]
            writer.write_table(pa.Table.from_pylist(rows, schema))
            number += len(group)
    return number


def _image(row: Row, content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": f"{row.id:09d}.png"}


def _cells(row: Row, split: str) -> dict[str, Any]:
    return {**_about(row, split), "attributes": list(row.attributes.items())}


def _about(row: Row, split: str) -> dict[str, Any]:
    """What is known of a picture, without what is not."""
    known = {"label": row.label, "split": split, "captions": list(row.captions) or None, "licence": row.licence}
    return {name: value for name, value in known.items() if value is not None}


def _file_name(label: str) -> str:
    """A label as the name of a folder on every system; metadata.jsonl holds it as it is."""
    return re.sub(r"[^\w\- ().,+]|^[. ]|[. ]$", "_", label) or "_"


KINDS: dict[str, Callable[[Path, str, Pictures], int]] = {
    "folder": _to_folder,
    "webdataset": _to_shards,
    "parquet": _to_parquet,
}
