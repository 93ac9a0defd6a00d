"""Exported datasets: every form is read again by figment's own sources, to the same dataset."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from figment.data.build import BuildConfig, build
from figment.data.store import Store
from tests.commands import done, figment
from tests.pictures import encode, pixels, write_folder


@pytest.fixture(scope="module")
def rich(tmp_path_factory) -> Store:
    """Pictures grey and coloured with labels that no file system likes, captions, attributes, splits and licences."""
    root = tmp_path_factory.mktemp("rich")
    lines, files = [], {}
    for number in range(30):
        name = f"{number}.png"
        files[name] = encode(pixels(number, channels=1 if number % 5 == 0 else 3))
        lines.append(
            {
                "path": name,
                "label": ["cat", "a/b: c?", "..", None][number % 4],
                "split": ["train", "train", "val", "test"][number % 4 if number % 3 else 0],
                "captions": [f"picture {number}", "图"] if number % 2 else [],
                "attributes": {"age": number / 3, "old": number % 2} if number % 3 else {},
                "licence": "CC0" if number % 2 else None,
            }
        )
    files["table.jsonl"] = "\n".join(json.dumps(line) for line in lines).encode()
    write_folder(root / "pictures", files)
    return build([str(root / "pictures/table.jsonl")], root / "data")


def facts(store: Store, *, with_keys: bool) -> dict[str, list]:
    found = {}
    for split in ("train", "val", "test"):
        rows = [store.images(split).tobytes(), store.labels(split).tolist(), store.captions(split)]
        found[split] = [*rows, np.nan_to_num(store.attributes(split), nan=-1).tolist()]
        found[split] += [store.keys(split)] if with_keys else []
    with store.index() as index:
        found["licences"] = [row.licence for row in index.rows("status = 'accepted'")]
    return found


SOURCES = {"folder": "{}/metadata.jsonl", "webdataset": "webdataset:{}", "parquet": "parquet:{}"}


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_exported_is_read_again_as_it_was(kind, rich, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    answer = done("data", "export", rich.path, "--to", kind, "--out", tmp_path / "out", "--json").json
    assert answer == {"out": str(tmp_path / "out"), "pictures": sum(rich.counts.values())}
    again = build([SOURCES[kind].format(tmp_path / "out")], tmp_path / "again")
    keeps_keys = kind != "folder"
    assert again.spec == rich.spec and again.pixel_digest == rich.pixel_digest
    assert (again.label_digest == rich.label_digest) == keeps_keys
    assert sorted(map(str, facts(again, with_keys=keeps_keys).items())) == sorted(
        map(str, facts(rich, with_keys=keeps_keys).items())
    ) or facts(again, with_keys=keeps_keys) | {"licences": []} == facts(rich, with_keys=keeps_keys) | {"licences": []}


def test_a_folder_says_label_and_split_by_its_place_too(rich, tmp_path):
    done("data", "export", rich.path, "--to", "folder", "--out", tmp_path / "out")
    again = build([str(tmp_path / "out")], tmp_path / "again")
    assert again.counts == rich.counts
    cats = rich.spec.classes.index("cat"), again.spec.classes.index("cat")
    assert [(store.labels("train") == cat).sum() for store, cat in zip((rich, again), cats, strict=True)] == [
        (rich.labels("train") == cats[0]).sum()
    ] * 2
    assert all(tmp_path / "out" in path.parents for path in tmp_path.rglob("*.png") if "again" not in str(path))


def test_labels_that_were_changed_are_exported_and_refused_pictures_are_not(tmp_path):
    files = {f"cat/{number}.png": encode(pixels(number)) for number in range(6)}
    write_folder(tmp_path / "pictures", files | {"cat/copy.png": files["cat/0.png"]})
    store = build([str(tmp_path / "pictures")], tmp_path / "data")
    store.relabel({"cat/3.png": "dog"})
    done("data", "export", store.path, "--to", "webdataset", "--out", tmp_path / "out")
    again = build([f"webdataset:{tmp_path / 'out'}"], tmp_path / "again")
    assert again.spec.classes == ("cat", "dog") and sum(again.counts.values()) == 6
    assert again.label_digest == store.label_digest and not again.rejected()


@pytest.mark.parametrize("frames", [1, 4])
def test_sequences_are_exported_as_shards_alone(frames, tmp_path):
    config = BuildConfig(sources={"shapes": {"frames": frames}})
    store = build(["shapes:8"], tmp_path / "data", config)
    done("data", "export", store.path, "--to", "webdataset", "--out", tmp_path / "out")
    again = build([f"webdataset:{tmp_path / 'out'}"], tmp_path / "again")
    assert again.spec == store.spec and again.pixel_digest == store.pixel_digest
    folder = figment("data", "export", store.path, "--to", "folder", "--out", tmp_path / "folder")
    if frames > 1:
        assert folder.complaint == (
            f"{store.path}: holds sequences, which --to folder cannot hold; give --to webdataset"
        )
    assert (tmp_path / "folder").exists() == (frames == 1)


def test_pairs_are_exported_as_shards(tmp_path):
    files = {f"{half}/{n}.png": encode(pixels(10 * n + len(half))) for n in range(6) for half in ("photo", "art")}
    store = build([f"pairs:{write_folder(tmp_path / 'pictures', files)}"], tmp_path / "data")
    done("data", "export", store.path, "--to", "webdataset", "--out", tmp_path / "out")
    again = build([f"webdataset:{tmp_path / 'out'}"], tmp_path / "again")
    assert again.spec == store.spec and np.array_equal(again.pairs("train"), store.pairs("train"))


def test_many_pictures_take_several_shards(rich, tmp_path, monkeypatch):
    monkeypatch.setattr("figment.data.exporting.PER_SHARD", 7)
    done("data", "export", rich.path, "--to", "webdataset", "--out", tmp_path / "out")
    train = sorted(path.name for path in (tmp_path / "out").glob("train-*"))
    assert len(train) == -(-rich.counts["train"] // 7) and train[1] == "train-000001.tar"
    assert build([f"webdataset:{tmp_path / 'out'}"], tmp_path / "again").label_digest == rich.label_digest


def test_nothing_is_written_over(rich, tmp_path):
    write_folder(tmp_path / "out", {"mine.txt": b"hello"})
    refused = figment("data", "export", rich.path, "--to", "folder", "--out", tmp_path / "out")
    assert refused.complaint == f"{tmp_path / 'out'}: is there already; give a new folder"
    assert [path.name for path in Path(tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_unknown_form_is_an_error(rich, tmp_path):
    assert "--to" in figment("data", "export", rich.path, "--to", "tfrecord", "--out", tmp_path / "out").complaint
