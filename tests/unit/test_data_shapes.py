"""Drawn figures: always the same, with captions that are true, and a reader that reads them back."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.core.errors import ConfigError
from figment.data.build import BuildConfig, build
from figment.data.shapes_drawing import coverage, draw, moments
from figment.data.shapes_reader import read, read_clip, shows
from figment.data.shapes_scene import COLOURS, SHAPES, Figure, Scene, captions_of
from figment.data.sources import shapes
from figment.data.sources.shapes import BACKGROUNDS, Config, held_out, record, records

NOISE = 8  # of 255


def noisy(image: np.ndarray, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return np.clip(np.rint(image + random.normal(scale=NOISE, size=image.shape)), 0, 255).astype(np.uint8)


# What is drawn.


def test_a_picture_follows_from_seed_and_number_alone():
    first = [one.image for one in records(Config("6"))]
    assert all(np.array_equal(record(Config("99999"), place).image, image) for place, image in enumerate(first))
    others = record(Config(seed=1), 3)
    assert not np.array_equal(others.image, first[3])


def test_a_picture_is_what_its_record_says():
    for one in records(Config("20", size=48)):
        drawn = json.loads(one.origin["drawn"])
        figures = [Figure(**figure) for figure in drawn["figures"]]
        assert np.array_equal(draw(figures, BACKGROUNDS[drawn["background"]], 48), one.image)
        assert one.label == figures[0].shape and one.captions == captions_of(Scene(tuple(figures), drawn["relation"]))
        assert one.attributes["figures"] == len(figures)
        said = Counter(word for figure in figures for word in (figure.colour, figure.shape, figure.size or "medium"))
        assert {name: value for name, value in one.attributes.items() if value and name != "figures"} == said


def test_captions_are_told_in_both_orders_and_languages():
    star = Figure("red", "star", "small", 0.3, 0.3, 0.12, "moving up")
    ring = Figure("blue", "ring", "large", 0.7, 0.3, 0.2)
    assert captions_of(Scene((star, ring), "left of")) == (
        "a small red star moving up, left of a large blue ring",
        "a large blue ring right of a small red star moving up",
        "一个向上移动的小的红色五角星在一个大的蓝色圆环的左边",
        "一个大的蓝色圆环在一个向上移动的小的红色五角星的右边",
    )
    assert captions_of(Scene((ring,))) == ("a large blue ring", "一个大的蓝色圆环")
    assert captions_of(Scene(())) == captions_of(Scene((star, ring, star))) == ()


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_anti_aliased_and_lie_within_their_box(shape):
    ink = coverage(shape, 0.5, 0.5, 0.25, 32)
    assert ((ink > 0) & (ink < 1)).any() and ink[8:24, 8:24].sum() > 0.98 * ink.sum()
    shifted = coverage(shape, 0.5 + 1 / 64, 0.5, 0.25, 32)  # by half a pixel
    centre = (np.arange(32) + 0.5) @ ink.sum(0) / ink.sum()
    assert (np.arange(32) + 0.5) @ shifted.sum(0) / shifted.sum() == pytest.approx(centre + 0.5, abs=0.02)
    assert ink.sum() / 64 == pytest.approx(moments(shape)[0], rel=0.05)


def test_nothing_touches_anything():
    for one in records(Config("80", size=64)):
        picture = np.asarray(one.image, int)
        assert (picture[[0, -1]] == picture[0, 0]).all() and (picture[:, [0, -1]] == picture[0, 0]).all()
        assert len(read(np.asarray(one.image)).figures) == one.attributes["figures"]


# What is held out.


def combinations(one) -> set[tuple[str, str, str]]:
    drawn = json.loads(one.origin["drawn"])
    places = {"": ["centre"], "left of": ["left", "right"], "right of": ["right", "left"]}
    places |= {"above": ["top", "bottom"], "below": ["bottom", "top"]}
    figures = drawn["figures"]
    return {
        (figure["colour"], figure["shape"], place)
        for figure, place in zip(figures, places[drawn["relation"]], strict=True)
    }


def test_combinations_that_are_held_out_occur_in_test_alone_and_nothing_else_does():
    config = Config("1200", size=16, hold_out=0.2)
    kept = held_out(config)
    assert len(kept) == round(0.2 * len(COLOURS) * len(SHAPES) * 5)
    assert {colour for colour, _, _ in kept} == set(COLOURS) and {shape for _, shape, _ in kept} == set(SHAPES)
    counts = Counter()
    for one in records(config):
        counts[one.split] += 1
        assert (one.split == "test") == bool(combinations(one) & kept)
    assert set(counts) == {"train", "val", "test"} and counts["train"] > counts["test"] > counts["val"] > 50
    assert {one.split for one in records(Config("20"))} == {None}


# What is read.


@pytest.mark.parametrize(("side", "number"), [(32, 300), (64, 80)])
def test_the_reader_is_right(side, number):
    pictures = list(records(Config(str(number), size=side)))
    for change in (lambda image, seed: image, noisy):
        read_rightly = [captions_of(read(change(one.image, seed)))[:1] for seed, one in enumerate(pictures)]
        right = sum(bool(said) and said[0] in one.captions for said, one in zip(read_rightly, pictures, strict=True))
        assert right >= 0.995 * number


@pytest.mark.parametrize("side", [32, 64])
def test_the_reader_measures_place_and_radius(side):
    for seed, one in enumerate(records(Config("60", size=side))):
        drawn = [Figure(**figure) for figure in json.loads(one.origin["drawn"])["figures"]]
        found = {(figure.colour, figure.shape): figure for figure in read(noisy(np.asarray(one.image), seed)).figures}
        for figure in drawn:
            near = found[figure.colour, figure.shape]
            assert abs(near.x - figure.x) < 0.4 / side and abs(near.y - figure.y) < 0.4 / side
            assert near.radius == pytest.approx(figure.radius, rel=0.06)


def test_the_reader_is_right_about_sequences():
    clips = list(records(Config("40", frames=4)))
    assert all(
        shows(noisy(np.asarray(clip.image), seed), text) for seed, clip in enumerate(clips) for text in clip.captions
    )
    assert {figure.motion for clip in clips for figure in read_clip(np.asarray(clip.image)).figures} > {"growing", ""}


def test_captions_of_other_pictures_are_not_true():
    pictures = list(records(Config("40")))
    for one, other in pairwise(pictures):
        if set(one.captions) != set(other.captions):
            assert not any(shows(np.asarray(one.image), text) for text in other.captions)


def test_a_blurred_picture_is_read():
    from PIL import Image, ImageFilter

    for one in records(Config("60", size=64)):
        blurred = np.asarray(Image.fromarray(one.image).filter(ImageFilter.GaussianBlur(0.8)))
        assert shows(blurred, one.captions[0])


def test_what_is_no_figure_is_not_named():
    background = np.full((32, 32, 3), BACKGROUNDS["sky"], np.uint8)
    assert read(background) == Scene(()) and captions_of(read(background)) == ()
    line = background.copy()
    line[15:17, 2:30] = COLOURS["red"][1]
    assert [figure.shape for figure in read(line).figures] == [""] and captions_of(read(line)) == ()
    speck = background.copy()
    speck[3, 3] = 0
    assert read(speck) == Scene(())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3, 4]))
def test_the_reader_answers_on_any_pixels(seed, channels):
    pixels = np.random.default_rng(seed).integers(0, 256, (20, 20, channels), np.uint8)
    assert isinstance(captions_of(read(pixels)), tuple)


# As a dataset.


def test_a_moving_dataset_is_built(tmp_path):
    config = BuildConfig(sources={"shapes": {"frames": 3, "size": 24}})
    store = build(["shapes:30"], tmp_path / "out", config)
    assert (store.spec.frames, store.spec.height, store.spec.channels) == (3, 24, 3)
    clips = {
        key: clip for split in store.counts for key, clip in zip(store.keys(split), store.images(split), strict=True)
    }
    assert all(np.array_equal(clips[one.key], one.image) for one in records(Config("30", size=24, frames=3)))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"argument": "many"}, "shapes:many: give how many pictures to draw, as in shapes:10000"),
        ({"argument": "0"}, "shapes:0: give how many pictures to draw, as in shapes:10000"),
        ({"argument": "-3"}, "shapes:-3: give how many pictures to draw, as in shapes:10000"),
        ({"hold_out": 0.9}, "--shapes.hold-out 0.9: give a number between 0 and 0.5"),
        ({"figures": 3}, "--shapes.figures 3: give a number between 1 and 2"),
        ({"size": 8}, "--shapes.size 8: give a number between 16 and 1024"),
    ],
)
def test_what_cannot_be_drawn_is_said(values, message):
    with pytest.raises(ConfigError) as caught:
        Config(**values)
    assert str(caught.value) == message


def test_a_number_is_not_needed():
    assert shapes.count(Config()) == 10_000


def test_only_the_shapes_that_are_named_are_drawn():
    config = Config("60", only=("circle", "square"))
    assert {one["shape"] for found in records(config) for one in json.loads(found.origin["drawn"])["figures"]} == {
        "circle",
        "square",
    }
    with pytest.raises(ConfigError, match=r"--shapes\.only cirle: no such shape; did you mean 'circle'\?"):
        Config("60", only=("circle", "cirle"))
