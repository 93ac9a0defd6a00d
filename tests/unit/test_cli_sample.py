"""`figment sample`: where pictures go, and pictures that are drawn again from the recipe that they carry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from figment.core.images import read_recipe, write_png
from tests.commands import QUICK, contents, done, figment
from tests.pictures import pixels


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory) -> Path:
    """A flow, because it has settings of its own."""
    run = tmp_path_factory.mktemp("sample") / "run"
    done("train", "flow", "--data", digits.path, "--out", run, *QUICK, "--steps", 2)
    return run


# Where to.


@pytest.mark.parametrize("name", ["pics.v1", "2024.05.01", "pics.png.d"])
def test_a_folder_may_have_a_dot_in_its_name(run, tmp_path, name):
    done("sample", run, "--num", 2, "--label", 3, "--out", tmp_path / name)
    assert contents(tmp_path).keys() == {f"{name}/3/0.png", f"{name}/3/1.png"}


@pytest.mark.parametrize("name", ["one.jpg", "one.webp", "one.GIF"])
def test_a_picture_of_a_kind_that_loses_something_is_refused(run, tmp_path, name):
    complaint = figment("sample", run, "--out", tmp_path / name).complaint
    assert complaint == f"--out {tmp_path / name}: samples are lossless; give a .png file or a folder"


# Again.


def again(run: Path, picture: Path, out: Path) -> bytes:
    done("sample", run, "--again", picture, "--out", out)
    return out.read_bytes()


@pytest.mark.parametrize("label", ["all", "7", "none"])
def test_a_picture_is_drawn_again_to_the_last_byte(run, tmp_path, label):
    """Also the 65th, which was drawn in the second batch, and with settings that are not the usual ones."""
    asked = ("--num", 66, "--seed", 4, "--label", label, "--sampling.steps", 3, "--sampling.guidance", 2)
    done("sample", run, *asked, "--out", tmp_path / "many")
    pictures = {int(path.stem): path for path in (tmp_path / "many").rglob("*.png")}
    for seed in (4, 30, 68):
        assert again(run, pictures[seed], tmp_path / f"{seed}.png") == pictures[seed].read_bytes()


def test_a_grid_is_drawn_again_to_the_last_byte(run, tmp_path):
    done("sample", run, "--num", 20, "--seed", 9, "--sampling.steps", 3, "--out", tmp_path / "grid.png")
    assert again(run, tmp_path / "grid.png", tmp_path / "again.png") == (tmp_path / "grid.png").read_bytes()


def test_without_labels_too(digits, tmp_path):
    from figment.data.store import Store

    shutil.copytree(digits.path, tmp_path / "data")
    Store(tmp_path / "data").relabel(dict.fromkeys(digits.keys("train") + digits.keys("val")))
    done("train", "vae", "--data", tmp_path / "data", "--out", tmp_path / "run", *QUICK, "--steps", 1)
    done("sample", tmp_path / "run", "--num", 3, "--out", tmp_path / "many")
    assert (
        again(tmp_path / "run", tmp_path / "many/1.png", tmp_path / "1.png") == (tmp_path / "many/1.png").read_bytes()
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"run": "0" * 64}, "was drawn by a 'flow' with the weights 000000000000, this run has "),
        ({"settings": {"steps": 0}}, "cannot be drawn from, --sampling.steps 0: give a number between 1 and 1000"),
        ({"settings": {"speed": 1}}, "cannot be drawn from, config.json: no setting 'speed'"),
        ({"of": {"num": 2, "label": "all", "seed": "x"}}, "cannot be drawn from, "),
        ({"seed": 99}, "cannot be drawn from, 99 is not in "),
        ({"seeds": 5}, "cannot be drawn from, "),
    ],
)
def test_a_recipe_that_nothing_can_be_drawn_from_is_told_in_one_line(run, tmp_path, change, told):
    done("sample", run, "--num", 2, "--out", tmp_path / "two")
    recipe = read_recipe(tmp_path / "two/0/0.png") | change
    write_png(tmp_path / "changed.png", pixels(1, 8, 8, 1), recipe)
    refused = figment("sample", run, "--again", tmp_path / "changed.png", "--out", tmp_path / "out.png")
    assert refused.complaint.startswith(f"{tmp_path}/changed.png: ") and told in refused.complaint
    assert not (tmp_path / "out.png").exists()
