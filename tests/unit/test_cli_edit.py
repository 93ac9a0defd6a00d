"""`figment edit`: what it opens and how, where answers go, what they carry, and what it says where it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from figment.core import plugins
from figment.core.checkpoint import write_model
from figment.core.engine import seeded
from figment.core.errors import DataError
from figment.core.images import read_recipe, to_uint8
from figment.core.types import ImageSpec
from figment.data.pixels import digest, to_channels
from figment.evaluate.opening import MOST_FRAMES, open_frames, open_image, open_mask
from figment.families import frame_rnn
from tests.commands import QUICK, contents, done, figment
from tests.pictures import encode, jpeg, pixels, png, write_folder

QUICKLY = ("--sampling.steps", "2")


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("edit") / "run"
    done("train", "flow", "--data", digits.path, "--out", run, *QUICK, "--steps", 2)
    return run


@pytest.fixture
def photo(tmp_path) -> Path:
    return write_folder(tmp_path, {"photo.png": png(0, 8, 11, 1)}) / "photo.png"


def levels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


# What it opens.


def test_orientation_is_applied_and_sixteen_bits_become_eight():
    stored = pixels(0, 10, 14)
    exif = Image.Exif()
    exif[0x0112] = 6
    opened = open_image(encode(stored, exif=exif), "turned.png", 3)
    assert np.array_equal(to_uint8(opened.image)[0], np.rot90(stored, -1))
    assert opened.digest == digest(np.rot90(stored, -1))
    deep = Image.fromarray(np.array([[0, 128, 32768, 65535]], np.uint16))
    assert to_uint8(open_image(encode(deep), "deep.png", 1).image)[0, 0, :, 0].tolist() == [0, 0, 128, 255]


def test_colours_are_taken_as_their_profile_means_them():
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
    plain = open_image(png(0), "plain.png", 3)
    tagged = open_image(encode(pixels(0), icc_profile=profile.tobytes()), "tagged.png", 3)
    assert np.abs(to_uint8(plain.image).astype(int) - to_uint8(tagged.image)).max() <= 1


@pytest.mark.parametrize(("channels", "own"), [(1, 1), (3, 3), (None, 3), (4, 4)])
def test_a_picture_takes_the_models_channels_and_alpha_is_kept_aside(channels, own):
    stored = np.dstack([pixels(0), pixels(1, channels=1)])
    opened = open_image(encode(stored), "glass.png", channels)
    assert opened.image.shape == (1, own, 12, 12)
    if own == 4:
        assert opened.alpha is None
        return
    assert np.array_equal(to_uint8(opened.image)[0], to_channels(stored[..., :3], own))
    assert np.array_equal(opened.alpha, stored[..., 3])


def test_a_mask_is_where_it_is_white_and_opaque():
    painted = np.zeros((2, 3, 4), np.uint8)
    painted[..., 3] = [[255, 255, 255], [255, 0, 128]]
    painted[..., :3] = np.array([[127, 128, 255], [0, 255, 255]])[..., None]
    mask, _ = open_mask(encode(painted), "mask.png", (2, 3))
    assert mask[0, 0].tolist() == [[0, 1, 1], [0, 0, 1]]


# Where answers go.


def test_a_picture_becomes_a_picture_with_its_recipe(run, photo, tmp_path):
    out = tmp_path / "out/large.png"
    answer = done("edit", "upscale", run, photo, "--out", out, "--seed", 7, *QUICKLY, "--json").json
    assert answer["files"] == [str(out)] and answer["edit"] == "upscale" and answer["num"] == 1
    assert answer["answers"] == [{"images": [str(photo)], "files": [str(out)], "figures": {}}]
    assert levels(out).shape == (16, 22)
    recipe = read_recipe(out)
    assert recipe["edit"] == "upscale" and recipe["seed"] == 7 and recipe["family"] == "flow"
    assert recipe["config"] == {"factor": 2, "noise": 0.0} and recipe["settings"]["steps"] == 2
    assert recipe["images"] == [digest(pixels(0, 8, 11, 1))]
    again = tmp_path / "again.png"
    done("edit", "upscale", run, photo, "--out", again, "--seed", 7, *QUICKLY)
    assert again.read_bytes() == out.read_bytes()


def test_several_answers_have_their_seed_in_the_name_and_a_map_beside_them(run, photo, tmp_path):
    done("edit", "denoise", run, photo, "--out", tmp_path / "out", "--num", 3, "--seed", 4, *QUICKLY)
    names = ("photo", "photo-5", "photo-6", "photo-average", "photo-disagreement")
    assert contents(tmp_path / "out").keys() == {f"{name}.png" for name in names}
    assert read_recipe(tmp_path / "out/photo-6.png")["seed"] == 6
    done("edit", "denoise", run, photo, "--out", tmp_path / "one.png", "--seed", 6, *QUICKLY)
    difference = levels(tmp_path / "one.png").astype(int) - levels(tmp_path / "out/photo-6.png")
    assert np.abs(difference).max() <= 1


def test_a_folder_becomes_a_folder_and_what_cannot_be_read_is_left_out(run, tmp_path):
    files = {"a.jpg": jpeg(0, 9, 9), "deep/b.png": png(1, 8, 8, 1), "bad.png": b"no picture", "notes.txt": b""}
    write_folder(tmp_path / "in", files)
    answer = done("edit", "denoise", run, tmp_path / "in", "--out", tmp_path / "out", *QUICKLY)
    assert contents(tmp_path / "out").keys() == {"a.png", "deep/b.png"}
    assert "warning: " in answer.err and "bad.png: not a picture" in answer.err


def test_several_files_go_into_a_folder_too(run, photo, tmp_path):
    write_folder(tmp_path, {"other.png": png(3, 8, 8, 1)})
    done("edit", "denoise", run, photo, tmp_path / "other.png", "--out", tmp_path / "out", *QUICKLY)
    assert contents(tmp_path / "out").keys() == {"photo.png", "other.png"}


@pytest.mark.parametrize(
    ("edit", "config", "size", "opaque"),
    [("denoise", (), (8, 9), 0), ("upscale", (), (16, 18), 0), ("outpaint", ("--edit.left", 4), (8, 13), 32)],
)
def test_alpha_is_laid_over_the_answer(run, tmp_path, edit, config, size, opaque):
    stored = np.dstack([pixels(0, 8, 9), np.full((8, 9), 90, np.uint8)])
    write_folder(tmp_path, {"glass.png": encode(stored)})
    done("edit", edit, run, tmp_path / "glass.png", "--out", tmp_path / "out.png", *config, *QUICKLY)
    found = levels(tmp_path / "out.png")
    assert found.shape == (*size, 4)
    assert sorted(np.unique(found[..., 3])) == ([90, 255] if opaque else [90])
    assert (found[..., 3] == 255).sum() == opaque


def test_known_pixels_come_back_from_the_file_as_they_were(run, photo, tmp_path):
    painted = np.zeros((8, 11, 1), np.uint8)
    painted[2:5, 3:8] = 255
    write_folder(tmp_path, {"mask.png": encode(painted)})
    out = tmp_path / "out.png"
    done("edit", "inpaint", run, photo, "--mask", tmp_path / "mask.png", "--out", out, "--label", 3, *QUICKLY)
    kept = painted[..., 0] == 0
    assert np.array_equal(levels(out)[kept], levels(photo)[kept])
    assert read_recipe(out)["label"] == "3" and read_recipe(out)["mask"] == digest(painted)


def animation(kind: str, frames: list[np.ndarray], **options) -> bytes:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    return encode(first, kind, save_all=True, append_images=rest, **options)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("GIF", {})])
def test_a_file_that_moves_is_its_frames(kind, options):
    greys = [np.full((6, 9, 3), level, np.uint8) for level in (0, 90, 200)]  # which a GIF keeps as they are
    opened = open_frames(animation(kind, greys, **options), "moving", 3)
    assert [to_uint8(one.image)[0].tolist() for one in opened] == [frame.tolist() for frame in greys]
    assert len({one.digest for one in opened}) == 3
    (still,) = open_frames(png(0), "still.png", 1)
    assert still.image.shape == (1, 1, 12, 12)


def test_a_film_is_refused():
    frames = [np.full((1, 1), place % 2 * 255, np.uint8) for place in range(MOST_FRAMES + 1)]
    with pytest.raises(DataError, match=f"film.gif: has {MOST_FRAMES + 1} frames; cut it to {MOST_FRAMES} at most"):
        open_frames(animation("GIF", frames), "film.gif", 3)


def test_a_clip_that_moves_goes_on(tmp_path):
    spec = ImageSpec(3, 16, 16, frames=4)
    with seeded(0):
        config = frame_rnn.Config.preset("tiny")
        model = frame_rnn.build(config, spec).model
    write_model(tmp_path / "run/model", model.state_dict(), "frame_rnn", config, spec, {})
    frames = [pixels(seed, 16, 16) for seed in range(3)]
    write_folder(tmp_path, {"clip.png": animation("PNG", frames)})
    out = tmp_path / "longer.png"
    done("edit", "continue", tmp_path / "run", tmp_path / "clip.png", "--edit.frames", 2, "--out", out)
    assert np.array_equal(levels(out)[3:51:3, 3:51:3], frames[0])  # of the strip: enlarged 3 times, a line about each
    with Image.open(tmp_path / "longer.gif") as film:
        assert film.n_frames == 5
    complaint = figment("edit", "animate", tmp_path / "run", "--out", tmp_path / "x.gif").complaint
    assert complaint.startswith("'animate' is for single pictures, this run draws 4 frames of 16x16x3")


# What it says.


def test_help_needs_no_run():
    answer = done("edit", "inpaint", "--help")
    assert "--mask" in answer.out and "--sampling" not in answer.out
    assert "--edit.factor" in done("edit", "upscale", "--help").out
    assert all(name in done("edit", "--help").out for name in plugins.names("edits"))


def test_a_run_adds_its_settings_to_the_help(run):
    assert "--sampling.steps" in done("edit", "inpaint", run, "--help").out


@pytest.mark.parametrize("out", ["photo.png", "here/../photo.png", "link.png"])
def test_an_original_is_never_overwritten(run, photo, tmp_path, out):
    (tmp_path / "here").mkdir()
    (tmp_path / "link.png").symlink_to(photo)
    before = contents(tmp_path)
    complaint = figment("edit", "denoise", run, photo, "--out", tmp_path / out, *QUICKLY).complaint
    assert complaint.endswith("is a picture that was given, which is never overwritten; give another name")
    assert contents(tmp_path) == before


def test_no_answer_takes_the_place_of_an_original_or_of_another_answer(photo, tmp_path):
    colours = ("--edit.colors", "red,blue", "--num", 2)
    folder = write_folder(tmp_path / "given", {"a.jpg": jpeg(0, 8, 8), "a-1.png": png(1), "b.png": png(2)})
    before = contents(folder)
    told = figment("edit", "recolor", folder / "a.jpg", folder / "a-1.png", "--out", folder, *colours).complaint
    assert (
        told
        == f"--out {folder / 'a-1.png'}: is a picture that was given, which is never overwritten; give another name"
    )
    told = figment(
        "edit", "recolor", folder / "a.jpg", folder / "a-1.png", "--out", tmp_path / "new", *colours
    ).complaint
    assert told.endswith(f"both would be written to {tmp_path / 'new' / 'a-1.png'}; rename one")
    assert contents(folder) == before and not (tmp_path / "new").exists()


def test_a_name_with_a_dot_that_is_no_pictures_is_a_folder(tmp_path):
    folder = write_folder(tmp_path, {"photo.png": png(0)})
    before = (folder / "photo.png").read_bytes()
    done("edit", "recolor", folder / "photo.png", "--edit.colors", "red,blue", "--out", tmp_path / "photo.v2")
    assert (tmp_path / "photo.v2" / "photo.png").exists()
    assert (folder / "photo.png").read_bytes() == before


def test_a_picture_that_does_not_fit_is_left_out_by_name(tmp_path):
    folder = write_folder(tmp_path / "given", {"a.png": png(0), "grey.png": png(1, 8, 8, 1), "z.png": png(2)})
    answer = done("edit", "recolor", folder, "--edit.colors", "red,blue", "--out", tmp_path / "new")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a.png", "z.png"]
    assert f"{folder / 'grey.png'}: these pictures are grey" in answer.err


def test_a_folder_is_not_written_into_itself(run, photo):
    complaint = figment("edit", "denoise", run, photo.parent, "--out", photo.parent, *QUICKLY).complaint
    assert "is a picture that was given" in complaint


MISTAKES = {
    "edit --num 1": "name an edit first: figment edit EDIT [RUN] [IMAGE...] --out FILE",
    "edit impaint RUN PHOTO --out x.png": "no edit 'impaint'; did you mean 'inpaint'?",
    "edit inpaint --out x.png": "'inpaint' needs a trained run before the pictures: figment edit inpaint RUN IMAGE",
    "edit inpaint PHOTO --out x.png": "is not a figment run",
    "edit inpaint RUN PHOTO --out x.png": "'inpaint' needs a mask: give --mask FILE",
    "edit denoise RUN PHOTO --mask PHOTO --out x.png": "--mask: 'denoise' takes none; leave it out",
    "edit denoise RUN --out x.png": "'denoise' takes one picture at a time, 0 were given; give an image file",
    "edit denoise RUN PHOTO PHOTO --out x.png": "--out x.png: 2 pictures are given; give a folder",
    "edit denoise RUN PHOTO PHOTO --out x": "both would be written to x/photo.png; rename one",
    "edit denoise RUN nowhere.png --out x.png": "nowhere.png: no such file; give a picture or a folder of pictures",
    "edit denoise RUN EMPTY --out x": "holds no pictures (.jpg, ",
    "edit denoise RUN PHOTO --out x.jpg": "--out x.jpg: what is edited is written without loss; give a .png file",
    "edit denoise RUN PHOTO --out x.png --label cat": "--label cat: no such class",
    "edit denoise RUN PHOTO --out x.png --num 0": "--num 0: give a number of at least 1",
    "edit upscale RUN PHOTO --out x.png --edit.factor 9": "--edit.factor 9: give a number between 2 and 8",
    "edit upscale RUN PHOTO --out x.png --edit.facto 2": "unknown --edit.facto; did you mean '--edit.factor'?",
    "edit inpaint RUN PHOTO --mask SMALL --out x.png": "8x8 pixels, the picture has 11x8; give one of that size",
    "edit denoise RUN MOVING --out x.png": "has several frames or pages; save the one that you mean",
    "edit denoise CLASSIFIER PHOTO --out x.png": "'denoise' needs a model that Denoises; 'figment list families'",
}


@pytest.mark.parametrize("command", MISTAKES)
def test_a_mistake_is_told_in_one_line(run, photo, tmp_path, monkeypatch, command, classifier):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    frames = [Image.fromarray(pixels(seed)) for seed in (0, 1)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    write_folder(tmp_path, {"small.png": png(0, 8, 8, 1)})
    places = {"RUN": run, "PHOTO": photo, "EMPTY": "empty", "SMALL": "small.png", "MOVING": "moving.gif"}
    words = [places.get(word, word) for word in command.split()]
    words = [classifier if word == "CLASSIFIER" else word for word in words]
    assert MISTAKES[command] in figment(*words).complaint
    assert not list(tmp_path.glob("x*"))


@pytest.fixture(scope="module")
def classifier(digits, tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("judge") / "run"
    done("train", "classifier", "--data", digits.path, "--out", run, *QUICK, "--steps", 1)
    return run
