"""COCO as its makers give it: captions, objects with boxes and masks, official splits: `coco:FOLDER`.

Part of the data room. The folder holds annotations/instances_*.json and captions_*.json (either will do) and the
pictures, in train2017/, val2017/ and so on. Label: the category of the largest object; attributes: how many objects of
each category there are; origin: all objects, with box [x, y, width, height] and mask, as JSON. With
`--coco.crop-boxes` every object is a picture of its own. T.-Y. Lin et al., Microsoft COCO, ECCV 2014.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.decoding import decode
from figment.data.files import only_files, read_file
from figment.data.headers import Unreadable, one_line
from figment.data.layout import SPLITS, natural


@dataclass(frozen=True)
class Config:
    """Where the dataset lies."""

    argument: str = ""
    """The folder that holds annotations/ and the pictures."""
    crop_boxes: bool = False
    """Make a picture of every object, cut out by its box, instead of one of every photograph."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("coco: give the folder that holds annotations/, as in coco:downloads/coco")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every photograph as the bytes of its file, or every object as pixels; set by set, in the order of the lists.

    Key: "train2017/000000000009.jpg", with "#1" behind it for the first object. A photograph that is not there comes as
    Rejected. Raises DataError where there are no annotations, or they cannot be read.
    """
    root = Path(config.argument)
    for name in _sets(root):
        categories, images, objects, captions = _annotations(root, name)
        split = SPLITS.get(name.rstrip("0123456789"))
        for number, image in images.items():
            key = f"{name}/{image['file_name']}"
            try:
                content = read_file(root / name / str(image["file_name"]))
            except Unreadable as reason:
                yield Rejected(key, "coco", str(reason))
                continue
            licence = {"licence": image["licence"]} if image["licence"] else {}
            photograph = _photograph(key, content, objects[number], categories, split, licence)
            if config.crop_boxes:
                yield from _crops(photograph, objects[number], categories)
            else:
                yield replace(photograph, captions=tuple(dict.fromkeys(captions[number])))


def _sets(root: Path) -> list[str]:
    """train2017, val2017, ...: those that have annotations."""
    named = [*root.glob("annotations/instances_*.json"), *root.glob("annotations/captions_*.json")]
    files = only_files(named)
    if not files:
        raise DataError(
            f"{root}: no annotations/instances_*.json or captions_*.json in it; give the folder that holds them"
        )
    return sorted({file.stem.partition("_")[2] for file in files}, key=natural)


def _annotations(root: Path, name: str) -> tuple[dict[int, str], dict[int, dict[str, str]], Any, Any]:
    """Category -> its name; picture -> file and licence; picture -> objects; picture -> captions."""
    categories: dict[int, str] = {}
    images: dict[int, dict[str, str]] = {}
    objects: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    captions: dict[int, list[str]] = defaultdict(list)
    for kind in ("instances", "captions"):
        file = root / "annotations" / f"{kind}_{name}.json"
        if not file.is_file():
            continue
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            licences = {one["id"]: one.get("url", "") for one in found.get("licenses", ())}
            categories |= {one["id"]: str(one["name"]) for one in found.get("categories", ())}
            for one in found["images"]:
                images[one["id"]] = {"file_name": one["file_name"], "licence": licences.get(one.get("license"), "")}
            for one in found["annotations"]:
                if kind == "captions":
                    captions[one["image_id"]].append(one["caption"].strip())
                else:
                    _ = categories[one["category_id"]], _box(one), _area(one)  # wrong ones are told of here, not later
                    objects[one["image_id"]].append(one)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{file}: is no list of COCO's ({one_line(error)}); fetch it again") from None
    return categories, images, objects, captions


def _box(told: Mapping[str, Any]) -> list[float]:
    """[x, y, width, height] in pixels.

    Raises ValueError or TypeError for anything else.
    """
    left, top, width, height = map(float, told["bbox"])
    if not np.isfinite([left, top, width, height]).all():
        raise ValueError(f"a box is {told['bbox']}")
    return [left, top, width, height]


def _area(told: Mapping[str, Any]) -> float:
    return float(told.get("area", 0))


def _photograph(
    key: str,
    content: bytes,
    objects: Sequence[Mapping[str, Any]],
    categories: Mapping[int, str],
    split: str | None,
    licence: Mapping[str, str],
) -> Record:
    """A photograph without its captions."""
    kept = [
        {"category": categories[one["category_id"]], "box": one["bbox"], "mask": one.get("segmentation")}
        for one in objects
    ]
    largest = max(objects, key=_area, default=None)
    number = Counter(one["category"] for one in kept)
    return Record(
        image=content,
        key=key,
        label=categories[largest["category_id"]] if largest else None,
        split=split,
        attributes={name: float(number[name]) for name in categories.values()},
        origin={"source": "COCO", "path": key, "objects": json.dumps(kept), **licence},
    )


def _crops(
    photograph: Record, objects: Sequence[Mapping[str, Any]], categories: Mapping[int, str]
) -> Iterator[Record | Rejected]:
    """The objects of a photograph; crowds, whose boxes hold many, are left out."""
    assert isinstance(photograph.image, bytes)
    try:
        pixels, _ = decode(photograph.image)
    except Unreadable as reason:
        yield Rejected(photograph.key, "coco", str(reason))
        return
    alone = (one for one in objects if not one.get("iscrowd"))
    for number, one in enumerate(alone, 1):
        key, cut = f"{photograph.key}#{number}", _cut(pixels, _box(one))
        if cut.size == 0:
            yield Rejected(key, "coco", f"its box {one['bbox']} holds no pixel")
            continue
        origin = {name: text for name, text in photograph.origin.items() if name != "objects"}
        label = categories[one["category_id"]]
        yield Record(cut, key, label, photograph.split, origin={**origin, "box": json.dumps(one["bbox"])})


def _cut(pixels: np.ndarray, box: Sequence[float]) -> np.ndarray:
    """uint8 (H, W, C) and [x, y, width, height] in pixels -> the part of it, all pixels that the box touches."""
    left, top, width, height = box
    rows = slice(max(0, int(np.floor(top))), max(0, int(np.ceil(top + height))))
    columns = slice(max(0, int(np.floor(left))), max(0, int(np.ceil(left + width))))
    return np.ascontiguousarray(pixels[rows, columns])
