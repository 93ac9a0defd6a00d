"""Steps after decoding: sizes, duplicates, splits."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from figment.core.errors import ConfigError
from figment.core.types import Record, Rejected
from figment.data.index import Index, Row
from figment.data.steps import exact_duplicates, min_size, resize_crop, split
from figment.data.steps.resize_crop import choose, parse
from tests.pictures import pixels


def record(image: np.ndarray) -> Record:
    return Record(image=image, key="a")


# min_size


@pytest.mark.parametrize(("height", "width", "passes"), [(8, 8, True), (8, 99, True), (7, 99, False), (99, 7, False)])
def test_pictures_that_are_too_small_are_refused(height, width, passes):
    given_record = record(np.zeros((height, width, 3), np.uint8))
    refusal = Rejected("a", "min_size", f"{height}x{width} is smaller than 8 pixels")
    assert min_size.mend(given_record, min_size.Config()) == (given_record if passes else refusal)


def test_a_smallest_size_below_one_is_an_error():
    with pytest.raises(ConfigError, match=r"--min-size\.pixels 0: give a number at least 1"):
        min_size.Config(pixels=0)


# resize_crop


@pytest.mark.parametrize(("text", "size"), [("32", (32, 32)), ("48x64", (48, 64)), ("", None), ("4096", (4096, 4096))])
def test_sizes_are_read(text, size):
    assert parse(text) == size


@pytest.mark.parametrize("text", ["0", "-1", "32x", "x32", "32X32", "32,32", "big", "4097", "1e3", " 32", "٣٢"])
def test_other_sizes_are_errors(text):
    with pytest.raises(ConfigError) as caught:
        resize_crop.Config(size=text)
    assert str(caught.value) == f"--size {text}: give a side (32) or height x width (48x64), each from 1 to 4096"


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from([1, 3, 4]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 255),
)
def test_any_picture_comes_to_any_size_and_a_plain_one_stays_plain(
    height, width, channels, new_height, new_width, value
):
    plain = np.full((height, width, channels), value, np.uint8)
    plain[..., 3:] = 255
    resized = resize_crop.resize_crop(plain, new_height, new_width)
    assert resized.shape == (new_height, new_width, channels) and resized.dtype == np.uint8
    assert (resized[..., :3] == value).all() and (resized[..., 3:] == 255).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 30), st.integers(2, 30), st.sampled_from([1, 3, 4]))
def test_a_picture_of_the_right_size_is_not_touched(height, width, channels):
    picture = record(pixels(1, height, width, channels))
    assert resize_crop.mend(picture, resize_crop.Config(size=f"{height}x{width}")) is picture
    assert resize_crop.mend(picture, resize_crop.Config()) is picture


def test_the_shorter_side_is_scaled_and_the_longer_cut_in_the_centre():
    picture = pixels(1, 20, 60)
    result = resize_crop.mend(record(picture), resize_crop.Config(size="10"))
    scaled = np.asarray(Image.fromarray(picture).resize((30, 10), Image.Resampling.LANCZOS))
    assert np.array_equal(result.image, scaled[:, 10:20])
    upright = resize_crop.resize_crop(picture.swapaxes(0, 1), 10, 10)
    assert np.array_equal(upright, result.image.swapaxes(0, 1))


def test_scaling_is_lanczos_over_the_whole_reduction():
    picture = pixels(1, 64, 64)
    expected = np.asarray(Image.fromarray(picture).resize((16, 16), Image.Resampling.LANCZOS))
    assert np.array_equal(resize_crop.resize_crop(picture, 16, 16), expected)
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))[..., None]
    assert np.abs(resize_crop.resize_crop(stripes, 16, 16)[:, 2:-2].astype(int) - 127).max() <= 2


def test_colours_under_full_transparency_do_not_bleed():
    picture = np.zeros((16, 16, 4), np.uint8)
    picture[..., 0] = 255  # red, and clear
    picture[:, 8:] = [0, 0, 255, 255]  # blue, and opaque
    resized = resize_crop.resize_crop(picture, 5, 5)
    assert (resized[resized[..., 3] > 0][:, 0] <= 1).all()


@pytest.mark.parametrize(
    ("sizes", "chosen"),
    [
        ([(28, 28)] * 9 + [(99, 99)], "28x28"),
        ([(48, 64)] * 10, "48x64"),
        ([(28, 28)] * 8 + [(99, 99)] * 2, "16x16"),
        ([(3000, 4000)] * 10, "64x64"),
        ([(128, 128)], "128x128"),
        ([(129, 64)], "64x64"),
        ([(100, 80), (200, 300)], "64x64"),
        ([(5, 5), (6, 6)], "8x8"),
        ([], "64x64"),
    ],
)
def test_the_size_that_nobody_asked_for_suits_the_pictures(sizes, chosen):
    assert choose(sizes) == chosen


# exact_duplicates


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def index_of(*rows: tuple) -> Index:
    """An index of accepted rows (key, pixels, label, source split)."""
    index = Index(None)
    index.add(
        Row(id, key, "accepted", pixel_digest=digest(picture), label=label, source_split=source_split)
        for id, (key, picture, label, source_split) in enumerate(rows)
    )
    return index


def duplicates(index: Index) -> dict[str, str]:
    return {one.key: one.reason for one in exact_duplicates.select(index, exact_duplicates.Config())}


def test_the_first_of_equal_pictures_is_kept():
    index = index_of(("a", "x", None, None), ("b", "y", None, None), ("c", "x", None, None), ("d", "x", None, None))
    assert duplicates(index) == {"c": "same pixels as a", "d": "same pixels as a"}


def test_a_held_out_copy_is_kept_before_one_for_training():
    index = index_of(
        ("a", "x", None, "train"), ("b", "x", None, "val"), ("c", "x", None, "test"), ("d", "x", None, "test")
    )
    assert duplicates(index) == {"a": "same pixels as c", "b": "same pixels as c", "d": "same pixels as c"}


def test_copies_with_other_labels_are_named():
    index = index_of(("a", "x", "cat", None), ("b", "x", "dog", None))
    assert duplicates(index) == {"b": "same pixels as a, which is labelled 'cat' and not 'dog'"}


def test_refused_pictures_are_no_copies():
    index = index_of(("a", "x", None, None), ("b", "x", None, None))
    index.reject([Rejected("a", "blur", "blurred")])
    assert duplicates(index) == {}


# split


def splits(index: Index, **config) -> dict[str, str]:
    assert not list(split.select(index, split.Config(**config)))
    return dict(index.query("select key, split from images"))


def many(num: int, labels: str = "ab", source_split: str | None = None) -> list[tuple]:
    return [(f"{label}{place}", f"{label}{place}", label, source_split) for label in labels for place in range(num)]


def test_a_tenth_of_every_class_is_held_out_where_the_source_holds_out_nothing():
    given_splits = splits(index_of(*many(300)))
    counts = Counter((key[0], name) for key, name in given_splits.items())
    assert set(given_splits.values()) == {"train", "val"}
    assert 18 <= counts["a", "val"] <= 44 and 18 <= counts["b", "val"] <= 44


def test_what_the_source_holds_out_is_kept_and_nothing_is_added():
    rows = [*many(30, "a", "train"), *many(5, "b", "test"), *many(5, "c", None)]
    counts = Counter((key[0], name) for key, name in splits(index_of(*rows)).items())
    assert counts == {("a", "train"): 30, ("b", "test"): 5, ("c", "train"): 5}


def test_a_source_with_train_alone_is_divided():
    assert set(splits(index_of(*many(100, "a", "train"))).values()) == {"train", "val"}


def test_a_share_that_is_asked_for_is_taken_beside_what_the_source_brings():
    rows = [*many(300, "a", "train"), *many(5, "b", "test")]
    counts = Counter(splits(index_of(*rows), val=0.2).values())
    assert counts["test"] == 5 and 40 <= counts["val"] <= 80


def test_both_shares_can_be_asked_for():
    counts = Counter(splits(index_of(*many(1000, "a")), val=0.1, test=0.2).values())
    assert 70 <= counts["val"] <= 130 and 160 <= counts["test"] <= 240


def test_a_share_of_a_split_that_the_source_brings_is_an_error():
    with pytest.raises(ConfigError) as caught:
        splits(index_of(*many(5, "a", "test")), test=0.2)
    assert str(caught.value) == "--split.test 0.2: the source brings its own test pictures; leave it out"


@pytest.mark.parametrize("shares", [{"val": 1.0}, {"val": -0.1}, {"val": 0.5, "test": 0.5}])
def test_shares_that_leave_nothing_for_training_are_errors(shares):
    with pytest.raises(ConfigError, match="--split"):
        split.Config(**shares)


@pytest.mark.parametrize("num", [1, 2, 3])
def test_small_classes_stay_in_train_and_something_is_held_out(num):
    index = index_of(*many(num, "abcdefgh"))
    given_splits = splits(index, val=0.5)
    in_train = {key[0] for key, name in given_splits.items() if name == "train"}
    assert in_train == set("abcdefgh")
    assert ("val" in given_splits.values()) == (num > 1)


def test_one_picture_alone_is_for_training():
    assert splits(index_of(("a", "x", None, None))) == {"a": "train"}


def test_two_pictures_without_labels_are_one_for_each_side():
    assert sorted(splits(index_of(("a", "x", None, None), ("b", "y", None, None))).values()) == ["train", "val"]


def test_refused_pictures_are_in_no_split():
    index = index_of(*many(10, "a"))
    index.reject([Rejected("a3", "blur", "blurred")])
    assert splits(index)["a3"] is None


def test_pictures_of_a_duplicate_group_stay_together():
    index = index_of(*many(60, "a"))
    index.connection.execute("update images set duplicate_group = ? where id < 50", (digest("a0"),))
    assert len({name for key, name in splits(index, val=0.5).items() if int(key[1:]) < 50}) == 1


pictures_of_classes = st.dictionaries(
    st.integers(0, 400).map(lambda n: digest(str(n))), st.sampled_from("abc"), min_size=1
)


@settings(max_examples=150, deadline=None)
@given(pictures_of_classes, st.sampled_from([0.0, 0.05, 0.1, 0.5]), st.sampled_from([0.0, 0.1, 0.4]))
def test_no_class_is_lost_from_training_and_no_share_from_a_class(pictures, val, test):
    given_splits = split.assign({group: {label} for group, label in pictures.items()}, {"test": test, "val": val})
    counts = Counter((label, given_splits[group]) for group, label in pictures.items())
    can_spare = False
    for label, size in Counter(pictures.values()).items():
        assert counts[label, "train"] >= 1
        can_spare |= counts[label, "train"] > 1
        for name, share in (("val", val), ("test", test)):
            assert counts[label, name] or size * share < 1 or counts[label, "train"] == 1
    for name, share in (("val", val), ("test", test)):
        assert name in given_splits.values() or share == 0 or not can_spare


def test_a_share_of_nothing_is_nothing():
    assert set(splits(index_of(*many(30)), val=0.0).values()) == {"train"}


@settings(max_examples=150, deadline=None)
@given(pictures_of_classes, pictures_of_classes, st.sampled_from([0.1, 0.3]))
def test_pictures_stay_on_their_side_when_others_are_added(old, new, val):
    before = split.assign({group: {label} for group, label in old.items()}, {"val": val})
    after = split.assign({group: {label} for group, label in (new | old).items()}, {"val": val})
    moved = Counter(old[group] for group in old if before[group] != after[group])
    # Only the one picture that stood in for a class that was too small, and that which has to do so now.
    assert all(number <= 2 for number in moved.values())
    # None at all that was drawn: train stays train unless its class had nothing else there.
    drawn = {group: int(group[:16], 16) / 16**16 < val for group in old}
    large = {label for label in "abc" if Counter(old.values())[label] * val >= 1}
    for group, label in old.items():
        others = [other for other in old if old[other] == label and drawn[other]]
        if label in large and others and len(others) < Counter(old.values())[label]:
            assert (before[group] == "val") == (after[group] == "val") == drawn[group]
