"""Protected datasets: faces and regions are hidden everywhere, and nothing of a source's files comes along."""

from __future__ import annotations

import io
import json
import os

import numpy as np
import pytest
from PIL import Image

from figment.core.errors import DataError
from figment.data.build import BuildConfig, build
from figment.data.faces import find_faces, hide
from figment.data.protecting import Protection, protect
from figment.data.steps.split import Config
from figment.data.store import Store
from tests.commands import done, figment
from tests.pictures import classes, encode, write_folder
from tests.unit.test_data_clean import halved, photo

data = pytest.importorskip("skimage.data")


def silent(done: int, total: int) -> None:
    """Tell nobody."""


def secret_jpeg(seed: int) -> bytes:
    """A photograph with a position, a maker, a comment, a small picture of itself and a colour profile's name."""
    exif = Image.Exif()
    exif[0x010F] = "SECRET-maker"
    exif[0x9286] = "SECRET-comment"
    exif.get_ifd(0x8825)[29] = "SECRET-gps"
    thumbnail = encode(photo(seed, 24, 32), "JPEG", comment="SECRET-thumbnail")
    exif.get_ifd(0x8769)[0x927C] = thumbnail
    return encode(Image.fromarray(photo(seed)), "JPEG", exif=exif, comment="SECRET-jpeg", xmp=b"<x>SECRET-xmp</x>")


def secret_png(seed: int) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Author", "SECRET-author")
    info.add_itxt("XML:com.adobe.xmp", "SECRET-xmp", zip=False)
    buffer = io.BytesIO()
    Image.fromarray(photo(seed)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def test_no_metadata_of_an_accepted_picture_is_kept_anywhere(tmp_path):
    files = {f"{seed}.jpg": secret_jpeg(seed) for seed in range(4)} | {"5.png": secret_png(5)}
    for content in files.values():
        assert content.count(b"SECRET") >= 2
    folder = write_folder(tmp_path / "pictures", files)
    done("data", "build", folder, "--out", tmp_path / "data", "--size", 32)
    store = Store(tmp_path / "data")
    assert sum(store.counts.values()) == 5
    store.images("train")  # and the cache
    made = [path for path in store.path.rglob("*") if path.is_file()]
    assert {"index.sqlite", "card.json", "report.html"} <= {path.name for path in made}
    assert not [path for path in made if b"SECRET" in path.read_bytes()]


def test_files_that_were_refused_are_left_behind(tmp_path):
    files = {f"{seed}.jpg": secret_jpeg(seed) for seed in range(4)}
    files["damaged.jpg"] = secret_jpeg(9)[:-200]
    build([str(write_folder(tmp_path / "pictures", files))], tmp_path / "data", BuildConfig(size="32"))
    assert any(b"SECRET" in path.read_bytes() for path in (tmp_path / "data/rejected").iterdir())  # the file itself
    done("data", "protect", tmp_path / "data", "--out", tmp_path / "safe")
    made = [path for path in (tmp_path / "safe").rglob("*") if path.is_file()]
    assert made and not [path for path in made if b"SECRET" in path.read_bytes() or b"damaged.jpg" in path.read_bytes()]


def test_a_face_is_found_and_faces_of_many_people_are():
    """One photograph of an astronaut, and the hundred faces of 25x25 that scikit-image ships, on a wall."""
    astronaut = data.astronaut()
    boxes = find_faces(astronaut)
    assert any(
        left <= 200 and top <= 100 and left + wide >= 245 and top + high >= 150 for left, top, wide, high in boxes
    )
    faces = (255 * data.lfw_subset()[:100]).clip(0, 255).astype(np.uint8)[..., None]
    found = sum(bool(find_faces(np.pad(face, ((8, 8), (8, 8), (0, 0)), mode="edge"))) for face in faces[:40])
    assert found >= 20, "best effort, but not as little as that"
    assert not find_faces(np.full((64, 64, 3), 90, np.uint8))


@pytest.mark.parametrize("fill", ["solid", "pixelate", "noise"])
def test_what_is_hidden_cannot_be_read_and_the_rest_stays(fill):
    picture = photo(1)
    hidden = hide(picture, [(20, 30, 40, 24)], fill, seed=3)
    outside = np.ones(picture.shape[:2], bool)
    outside[30:54, 20:60] = False
    assert np.array_equal(hidden[outside], picture[outside])
    inside = hidden[30:54, 20:60]
    other = hide(photo(2), [(20, 30, 40, 24)], fill, seed=3)[30:54, 20:60]
    if fill == "pixelate":
        assert len(np.unique(inside.reshape(-1, 3), axis=0)) <= 36
    else:
        assert np.array_equal(inside, other), "what is left depends on what was hidden"
    assert np.array_equal(hide(picture, [(20, 30, 40, 24)], fill, seed=3), hidden)


@pytest.fixture(scope="module")
def people(tmp_path_factory) -> Store:
    """Four pictures of the astronaut and six of nobody, in two classes, of 128x128."""
    root = tmp_path_factory.mktemp("people")
    astronaut = data.astronaut()[:256, 96:352]
    files = {f"person/{shift}.png": encode(np.roll(astronaut, 12 * shift, axis=0)) for shift in range(4)}
    files |= {f"thing/{seed}.png": encode(photo(seed, 128, 128)) for seed in range(6)}
    config = BuildConfig(size="128", skip=("near_duplicates",), steps={"split": {"val": 0.3}})
    return build([str(write_folder(root / "pictures", files))], root / "data", config)


def test_a_protected_dataset_is_the_same_but_for_what_is_hidden(people, tmp_path):
    regions = tmp_path / "regions.json"
    regions.write_text(json.dumps({"thing/0.png": [[0, 0, 128, 64]]}))
    answer = done("data", "protect", people.path, "--out", tmp_path / "safe", "--regions", regions, "--json")
    safe = Store(tmp_path / "safe")
    assert (safe.spec, safe.counts) == (people.spec, people.counts)
    assert answer.json["pictures"] == 10 and answer.json["hidden"] >= 5
    assert "warning: faces are found as far as the detectors can, which miss some" in answer.err
    assert os.path.getsize(answer.json["audit"]) > 10_000
    for split in people.counts:
        assert safe.keys(split) == people.keys(split)
        assert np.array_equal(safe.labels(split), people.labels(split))
        for key, before, after in zip(safe.keys(split), people.images(split), safe.images(split), strict=True):
            if key.startswith("person/"):
                assert ((after == 128).all(2) & (before != 128).any(2)).sum() > 400  # pixels of a face
            elif key == "thing/0.png":
                assert (after[:64] == 128).all() and np.array_equal(after[64:], before[64:])
    with safe.index() as index, people.index() as old:
        new, before = (dict(one.query("select key, pixel_digest || hex(thumbnail) || hex(hashes) from images"))
                       for one in (index, old))  # fmt: skip
        marks = dict(index.query("select key, json_extract(origin, '$.hidden') from images"))
    assert marks["person/0.png"].endswith("faces") and "1 regions" in marks["thing/0.png"]
    assert new["thing/0.png"] != before["thing/0.png"]
    assert safe.card["recipe"]["protected"] == {"faces": True, "fill": "solid", "regions": 1}


def test_a_face_is_hidden_in_every_frame(people, tmp_path):
    """Even in those where the detector loses it."""
    from PIL.Image import fromarray

    face = data.astronaut()[:256, 96:352]
    frames = [fromarray(face if place % 2 else face // 16) for place in range(4)]
    frames[0].save(tmp_path / "clip.png", save_all=True, append_images=frames[1:])
    (tmp_path / "clips").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "clips" / name).write_bytes((tmp_path / "clip.png").read_bytes() + name.encode())
    config = BuildConfig(size="128", sources={"frames": {"length": 4}}, skip=("exact_duplicates",))
    store = build([f"frames:{tmp_path / 'clips'}"], tmp_path / "data", config)
    safe = protect(store, tmp_path / "safe", Protection(), silent)
    for clip in safe.images("train"):
        grey = (clip == 128).all(-1)
        assert grey[1].sum() > 400 and all((grey[frame] >= grey[1]).all() for frame in range(4))


def test_groups_of_duplicates_stay_together(tmp_path):
    pictures = {f"{seed}.png": encode(photo(seed)) for seed in range(12)}
    pictures |= {f"{seed}-copy.png": encode(halved(photo(seed))) for seed in range(12)}
    store = build([str(write_folder(tmp_path / "pictures", pictures))], tmp_path / "data", BuildConfig(size="32"))
    store.restore([one.key for one in store.rejected()])
    safe = protect(store, tmp_path / "safe", Protection(faces=False), silent)
    safe.resplit(Config(val=0.5))
    sides = {key: split for split in safe.counts for key in safe.keys(split)}
    assert set(sides.values()) == {"train", "val"}
    assert all(sides[f"{seed}.png"] == sides[f"{seed}-copy.png"] for seed in range(12))


def test_what_cannot_be_protected_is_said(people, tmp_path):
    (tmp_path / "r.json").write_text('{"thing/0.png": [[0, 0, 5]]}')
    words = ("data", "protect", people.path, "--out", tmp_path / "safe", "--regions", tmp_path / "r.json")
    assert "expected JSON like" in figment(*words).complaint
    (tmp_path / "r.json").write_text('{"nobody.png": [[0, 0, 5, 5]]}')
    assert figment(*words).complaint.endswith("there is no picture 'nobody.png' to hide a region of")
    with pytest.raises(DataError, match=r"the region \[100, 0, 40, 5\] leaves the picture, which is 128 wide"):
        protect(people, tmp_path / "safe", Protection(regions={"thing/0.png": [(100, 0, 40, 5)]}), silent)
    assert not (tmp_path / "safe").exists() and not (tmp_path / "safe.tmp").exists()
    write_folder(tmp_path / "taken", classes(1))
    with pytest.raises(DataError, match="is there already; give --out a new folder"):
        protect(people, tmp_path / "taken", Protection(), silent)
