"""ImageNet, CelebA and COCO, as small trees of the same form as the official ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from figment.core import plugins
from figment.core.errors import DataError
from figment.core.types import Rejected
from figment.data.build import BuildConfig, build
from tests.pictures import encode, jpeg, pixels, png, write_folder, write_zip


def read(source: str, root: Path, **settings: Any) -> list[Any]:
    module = plugins.load("sources", source)
    return list(module.records(module.Config(str(root), **settings)))


def complaint(source: str, root: Path) -> str:
    with pytest.raises(DataError) as caught:
        read(source, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ImageNet.

CRANES = ("n02012849", "n03126707", "n01440764")
WORDS = b"n01440764 tench, Tinca tinca\nn02012849 crane\nn03126707 crane\n"


def test_imagenet_of_kaggle_with_a_flat_val(tmp_path):
    train = {
        f"ILSVRC/Data/CLS-LOC/train/{name}/{name}_{place}.JPEG": jpeg(place) for name in CRANES for place in (2, 10)
    }
    val = {f"ILSVRC/Data/CLS-LOC/val/ILSVRC2012_val_0000000{place}.JPEG": jpeg(50 + place) for place in (1, 2)}
    truth = b"ImageId,PredictionString\nILSVRC2012_val_00000001,n03126707 85 131 499 499 n03126707 1 2 3 4\n"
    files = train | val | {"LOC_val_solution.csv": truth, "LOC_synset_mapping.txt": WORDS}
    *train_found, known, unknown = read("imagenet", write_folder(tmp_path, files))
    assert [one.label for one in train_found] == ["tench"] * 2 + ["crane (n02012849)"] * 2 + ["crane (n03126707)"] * 2
    assert train_found[0].key == "train/n01440764/n01440764_2.JPEG" and {one.split for one in train_found} == {"train"}
    assert train_found[0].captions == ("tench, Tinca tinca",) and train_found[0].origin["synset"] == "n01440764"
    assert (known.label, known.split) == ("crane (n03126707)", "val")
    assert unknown == Rejected(
        "val/ILSVRC2012_val_00000002.JPEG", "imagenet", "has no label: the mapping does not name it"
    )


def test_tiny_imagenet(tmp_path):
    files = {f"train/{CRANES[0]}/images/{CRANES[0]}_{place}.JPEG": jpeg(place) for place in range(2)}
    files |= {"val/images/val_0.JPEG": jpeg(9), "test/images/test_0.JPEG": jpeg(10)}
    files |= {
        "val/val_annotations.txt": f"val_0.JPEG\t{CRANES[0]}\t0\t32\t44\t62\n".encode(),
        "words.txt": b"n02012849\tcrane\n",
    }
    found = read("imagenet", write_folder(tmp_path, files))
    assert [(one.split, one.label) for one in found] == [("train", "crane")] * 2 + [("val", "crane")]


def test_imagenet_with_val_in_folders_becomes_a_dataset(tmp_path):
    files = {
        f"{split}/{name}/{place}.JPEG": jpeg(place)
        for place, (split, name) in enumerate((s, n) for s in ("train", "val") for n in CRANES)
    }
    store = build([f"imagenet:{write_folder(tmp_path / 'in', files)}"], tmp_path / "out")
    assert store.counts == {"train": 3, "val": 3} and set(store.spec.classes) == set(CRANES)


def test_an_imagenet_that_is_not_whole_says_what_is_missing(tmp_path):
    assert "no train/ with folders such as n01440764" in complaint("imagenet", tmp_path)
    files = {f"train/{CRANES[0]}/1.JPEG": jpeg(1), "val/1.JPEG": jpeg(2)}
    assert "no synset folders and no mapping; put LOC_val_solution.csv beside it" in complaint(
        "imagenet", write_folder(tmp_path, files)
    )


# CelebA.

ATTRIBUTES = b"4\nBald Smiling\n000001.jpg  1 -1\n000002.jpg -1  1\n000003.jpg -1 -1\n000004.jpg  1  1\n"
PARTITION = b"000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n000004.jpg 0\n"
FACES = {f"00000{place}.jpg": jpeg(place) for place in (1, 2, 3, 5)}


@pytest.mark.parametrize("is_packed", [False, True], ids=["folder", "zip"])
def test_celeba_has_attributes_and_the_official_partition(tmp_path, is_packed):
    lists = {"Anno/list_attr_celeba.txt": ATTRIBUTES, "Eval/list_eval_partition.txt": PARTITION}
    if is_packed:
        write_folder(tmp_path, lists)
        write_zip(tmp_path / "img_align_celeba.zip", {f"img_align_celeba/{name}": face for name, face in FACES.items()})
    else:
        write_folder(tmp_path, lists | {f"img_align_celeba/img_align_celeba/{name}": FACES[name] for name in FACES})
    *found, stranger = read("celeba", tmp_path)
    assert [(one.key, one.split) for one in found] == [
        ("000001.jpg", "train"),
        ("000002.jpg", "val"),
        ("000003.jpg", "test"),
    ]
    assert [dict(one.attributes) for one in found] == [
        {"Bald": 1.0, "Smiling": 0.0},
        {"Bald": 0.0, "Smiling": 1.0},
        {"Bald": 0.0, "Smiling": 0.0},
    ]
    assert found[0].image == FACES["000001.jpg"]
    assert stranger == Rejected("000005.jpg", "celeba", "is not in list_attr_celeba")


def test_celeba_as_kaggle_packs_it(tmp_path):
    lists = {"list_attr_celeba.csv": b"image_id,Bald,Smiling\n000001.jpg,1,-1\n"}
    lists["list_eval_partition.csv"] = b"image_id,partition\n000001.jpg,2\n"
    (face,) = read("celeba", write_folder(tmp_path, lists | {"img_align_celeba/000001.jpg": jpeg(1)}))
    assert (face.split, dict(face.attributes)) == ("test", {"Bald": 1.0, "Smiling": 0.0})


def test_a_celeba_that_is_not_whole_says_what_is_missing(tmp_path):
    assert "no list_attr_celeba.txt in it; fetch it" in complaint("celeba", tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_bytes(ATTRIBUTES)
    assert "no img_align_celeba in it, neither a folder nor a .zip" in complaint("celeba", tmp_path)
    (tmp_path / "img_align_celeba.zip").write_bytes(b"<html>quota exceeded</html>")
    assert "is damaged" in complaint("celeba", tmp_path)
    (tmp_path / "list_attr_celeba.txt").write_bytes(ATTRIBUTES[:-4])
    assert "list_attr_celeba ends in the middle of 000004.jpg; fetch it again" in complaint("celeba", tmp_path)


# COCO.

OBJECTS = [
    {
        "image_id": 9,
        "category_id": 2,
        "bbox": [2.0, 3.0, 10.0, 8.0],
        "area": 60.0,
        "segmentation": [[2, 3, 12, 3, 12, 11]],
    },
    {"image_id": 9, "category_id": 1, "bbox": [0.5, 0.5, 20.2, 20.0], "area": 300.0, "iscrowd": 0},
    {"image_id": 9, "category_id": 1, "bbox": [0, 0, 32, 32], "area": 10.0, "iscrowd": 1},
]


@pytest.fixture
def coco(tmp_path) -> Path:
    images = [{"id": 9, "file_name": "0009.png", "license": 4}, {"id": 12, "file_name": "0012.png"}]
    shared = {"images": images, "licenses": [{"id": 4, "url": "http://creativecommons.org/licenses/by/2.0/"}]}
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "cat"}]
    captions = [{"image_id": 9, "caption": text} for text in ("A cat on a man. ", "A man", "A man")]
    files = {
        "annotations/instances_val2017.json": json.dumps({**shared, "categories": categories, "annotations": OBJECTS}),
        "annotations/captions_val2017.json": json.dumps({**shared, "annotations": captions}),
    }
    found = {name: text.encode() for name, text in files.items()}
    return write_folder(tmp_path / "coco", found | {"val2017/0009.png": png(9, 32, 32)})


def test_coco_has_captions_categories_boxes_and_masks(coco):
    photograph, missing = read("coco", coco)
    assert (photograph.key, photograph.label, photograph.split) == ("val2017/0009.png", "person", "val")
    assert photograph.captions == ("A cat on a man.", "A man")
    assert photograph.attributes == {"person": 2.0, "cat": 1.0}
    assert photograph.origin["licence"].endswith("/by/2.0/")
    kept = json.loads(photograph.origin["objects"])
    assert [one["category"] for one in kept] == ["cat", "person", "person"]
    assert (kept[0]["box"], kept[0]["mask"]) == (OBJECTS[0]["bbox"], OBJECTS[0]["segmentation"])
    assert missing == Rejected("val2017/0012.png", "coco", missing.reason) and "cannot be read" in missing.reason


def test_coco_cut_into_its_objects(coco):
    cat, person, missing = read("coco", coco, crop_boxes=True)
    assert (cat.key, cat.label, person.key, person.label) == (
        "val2017/0009.png#1",
        "cat",
        "val2017/0009.png#2",
        "person",
    )
    whole = pixels(9, 32, 32)
    assert np.array_equal(cat.image, whole[3:11, 2:12]) and np.array_equal(person.image, whole[0:21, 0:21])
    assert isinstance(missing, Rejected)


def test_a_box_outside_its_picture_is_refused(coco):
    file = coco / "annotations/instances_val2017.json"
    file.write_text(file.read_text().replace("[2.0, 3.0, 10.0, 8.0]", "[40.0, 3.0, 10.0, 8.0]"))
    outside, *_ = read("coco", coco, crop_boxes=True)
    assert outside == Rejected("val2017/0009.png#1", "coco", "its box [40.0, 3.0, 10.0, 8.0] holds no pixel")


def test_coco_becomes_a_dataset(coco, tmp_path):
    (coco / "val2017/0012.png").write_bytes(encode(pixels(12, 20, 30)))
    store = build([f"coco:{coco}"], tmp_path / "out")
    assert store.counts == {"val": 2} and store.spec.attributes == ("cat", "person")
    cut = build([f"coco:{coco}"], tmp_path / "cut", BuildConfig(sources={"coco": {"crop_boxes": True}}))
    assert set(cut.spec.classes) == {"cat", "person"}


def test_a_coco_that_cannot_be_read_is_named(coco, tmp_path):
    assert "no annotations/instances_*.json or captions_*.json in it" in complaint("coco", tmp_path / "nowhere")
    for text in ("{", "[]", '{"images": [1], "annotations": []}'):
        (coco / "annotations/captions_val2017.json").write_text(text)
        assert "captions_val2017.json: is no list of COCO's" in complaint("coco", coco)
    file = coco / "annotations/instances_val2017.json"
    file.write_text(file.read_text().replace('"category_id": 2', '"category_id": 3'))
    assert "instances_val2017.json: is no list of COCO's" in complaint("coco", coco)
