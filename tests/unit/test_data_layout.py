"""Which split and class a path means."""

from __future__ import annotations

import pytest

from figment.data.layout import is_picture, natural, place


@pytest.mark.parametrize(
    ("path", "split", "label"),
    [
        ("1.png", None, None),
        ("cat/1.png", None, "cat"),
        ("animals/cat/1.png", None, "cat"),
        ("train/1.png", "train", None),
        ("train/cat/1.png", "train", "cat"),
        ("cifar10/train/cat/1.png", "train", "cat"),
        ("TEST/cat/1.png", "test", "cat"),
        ("Validation/cat/1.png", "val", "cat"),
        ("valid/cat/1.png", "val", "cat"),
        ("training/cat/close/1.png", "train", "cat"),
        ("tiny/train/n01/images/n01_0.png", "train", "n01"),
        ("test/train/1.png", "test", "train"),
    ],
)
def test_the_folders_of_a_file_say_its_split_and_class(path, split, label):
    assert place(path.split("/")[:-1]) == (split, label)


def test_natural_order_counts():
    names = ["img10", "img2", "Img1", "b", "a", "a1b10", "a1b9"]
    assert sorted(names, key=natural) == ["a", "a1b9", "a1b10", "b", "Img1", "img2", "img10"]


def test_names_that_differ_only_in_case_have_one_order():
    assert sorted(["b", "B"], key=natural) == sorted(["B", "b"], key=natural)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("cat/1.png", True),
        ("cat/1.JPEG", True),
        ("cat/labels.csv", False),
        ("cat/.1.png", False),
        (".trash/1.png", False),
        ("__MACOSX/cat/1.png", False),
        ("png", False),
    ],
)
def test_pictures_are_known_by_suffix_and_hidden_ones_left_out(path, is_one):
    assert is_picture(path.split("/")) is is_one
