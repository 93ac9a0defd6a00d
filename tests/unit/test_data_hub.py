"""Datasets that the `datasets` library reads: streams, offline, from folders that look like those of the hub."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.sources.hub import Config, records
from tests.pictures import png, write_folder


def table(num: int = 4) -> datasets.Dataset:
    """Pictures with a class (-1 in the last row), a caption and a number."""
    features = datasets.Features(
        {
            "idx": datasets.Value("int64"),
            "text": datasets.Value("string"),
            "picture": datasets.Image(),
            "species": datasets.ClassLabel(names=["cat", "dog"]),
        }
    )
    rows = {
        "idx": list(range(num)),
        "text": [f"number {number}" for number in range(num)],
        "picture": [{"bytes": png(number + 1), "path": None} for number in range(num)],
        "species": [*(number % 2 for number in range(num - 1)), -1],
    }
    return datasets.Dataset.from_dict(rows, features=features)


def read(path: Path | str, **settings: str) -> list[Record | Rejected]:
    return list(records(Config(str(path), **settings)))


def test_parquet_as_the_hub_keeps_it(tmp_path):
    (tmp_path / "pets/data").mkdir(parents=True)
    for name in ("train", "validation"):
        table().to_parquet(tmp_path / f"pets/data/{name}-00000-of-00001.parquet")
    found = read(tmp_path / "pets")
    assert [one.key for one in found] == [
        f"{name}/{number:06d}" for name in ("train", "validation") for number in range(4)
    ]
    assert [one.split for one in found] == ["train"] * 4 + ["val"] * 4
    assert [one.label for one in found[:4]] == ["cat", "dog", "cat", None]
    assert [one.captions for one in found[:2]] == [("number 0",), ("number 1",)]
    assert [one.image for one in found[:4]] == [png(number + 1) for number in range(4)]
    assert found[0].origin == {"source": "pets"}


def test_an_image_folder(tmp_path):
    root = write_folder(
        tmp_path / "pets",
        {f"{split}/{name}/1.png": png(len(split + name)) for split in ("train", "test") for name in ("cat", "dog")},
    )
    found = sorted(read(root), key=lambda one: one.key)
    assert [(one.split, one.label) for one in found] == [
        ("test", "cat"),
        ("test", "dog"),
        ("train", "cat"),
        ("train", "dog"),
    ]
    assert found[2].image == png(len("traincat"))


def test_what_save_to_disk_wrote(tmp_path):
    datasets.DatasetDict(train=table(2)).save_to_disk(tmp_path / "many")
    table(3).save_to_disk(tmp_path / "one")
    assert [one.key for one in read(tmp_path / "many")] == ["train/000000", "train/000001"]
    assert [(one.key, one.label) for one in read(tmp_path / "one")] == [
        ("000000", "cat"),
        ("000001", "dog"),
        ("000002", None),
    ]


def test_a_row_cannot_name_a_file_elsewhere(tmp_path):
    write_folder(tmp_path, {"secret.png": png(1), "pets/.pictures/own.png": png(2)})
    secret = tmp_path / "secret.png"
    places = [secret, tmp_path / "pets/../secret.png", f"zip://a.png::{secret}", tmp_path / "pets/.pictures/own.png"]
    kind = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    rows = pyarrow.array([{"bytes": None, "path": str(path)} for path in places], kind)
    said = {"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}})}
    schema = pyarrow.schema([pyarrow.field("image", kind)], metadata=said)
    pyarrow.parquet.write_table(pyarrow.table([rows], schema=schema), tmp_path / "pets/train.parquet")
    *others, own = read(tmp_path / "pets")
    assert [one.reason for one in others] == ["names a picture that does not belong to the dataset"] * 3
    assert own.image == png(2)


def test_a_dataset_without_pictures_is_answered(tmp_path):
    (tmp_path / "texts").mkdir()
    table().remove_columns("picture").to_parquet(tmp_path / "texts/train.parquet")
    with pytest.raises(DataError, match="no column holds pictures; there are idx, text, species"):
        read(tmp_path / "texts")


def test_a_network_that_fails_is_one_line(monkeypatch):
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(
        DataError, match=r"hub:somebody/pets: cannot be read .*; check its name and the network"
    ) as caught:
        read("somebody/pets")
    assert "\n" not in str(caught.value)


def test_it_must_be_named():
    with pytest.raises(ConfigError, match="as in hub:ylecun/mnist"):
        Config()
