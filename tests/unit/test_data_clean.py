"""Cleaning: near duplicates are found by whatever they were made, and unlike pictures are kept; looks are judged."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.core import plugins
from figment.core.errors import ConfigError
from figment.core.types import Record, Rejected
from figment.data.build import BuildConfig, build, dry_run
from figment.data.figures import measure
from figment.data.hashing import BITS, alike, perceptual_hashes
from figment.data.index import Index, Row
from figment.data.steps import near_duplicates
from tests.commands import done
from tests.pictures import encode, write_folder


def photo(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """uint8 (height, width, 3): noise whose power falls with frequency as that of photographs, and a few objects."""
    generator = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1
    spectrum = generator.normal(size=(3, *frequency.shape)) + 1j * generator.normal(size=(3, *frequency.shape))
    spectrum[1:] = 0.8 * spectrum[:1] + 0.4 * spectrum[1:]  # channels go together
    picture = np.fft.irfft2(spectrum / frequency**1.2, (height, width)).transpose(1, 2, 0)
    picture = 128 + 45 * (picture - picture.mean()) / picture.std()
    for _ in range(4):
        y, x, size = generator.integers(0, [height, width, height // 4])
        cv2.circle(
            picture := np.ascontiguousarray(picture), (int(x), int(y)), int(size), generator.uniform(0, 255, 3), -1
        )
    return np.clip(picture, 0, 255).astype(np.uint8)


def jpeg_again(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 20])[1], cv2.IMREAD_COLOR)


def halved(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def grey(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None]


def noisy(picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(int(picture.sum())).normal(0, 4, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def cropped(picture: np.ndarray) -> np.ndarray:
    height, width = (round(0.02 * side) for side in picture.shape[:2])
    return np.ascontiguousarray(picture[height:-height, width:-width])


def mirrored(picture: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(picture[:, ::-1])


LEAST_RECALL = {jpeg_again: 0.99, halved: 0.99, grey: 0.99, noisy: 0.99, cropped: 0.9, mirrored: 0.9}


def index_of(pictures: dict[str, np.ndarray], **facts) -> Index:
    """An index as a build makes it; facts: of rows, by their keys."""
    index = Index(None)
    for id, (key, picture) in enumerate(pictures.items()):
        figures = measure(picture)
        quality, digest = figures.looks, f"{id:064x}"
        row = {"hashes": figures.hashes, "thumbnail": figures.thumbnail, "quality": quality, "pixel_digest": digest}
        index.add([Row(id, key, "accepted", **row, **facts.get(key, {}))])
    return index


def refusals(index: Index, **config) -> dict[str, str]:
    return {one.key: one.reason for one in near_duplicates.select(index, near_duplicates.Config(**config))}


# the hash and the search


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_the_mirrors_hash_is_the_hash_of_the_mirror(seed):
    picture = grey(photo(seed, 64, 64))[..., 0]
    plain, mirror, _ = (np.frombuffer(one, np.uint8) for one in perceptual_hashes(picture))
    again, back, _ = (np.frombuffer(one, np.uint8) for one in perceptual_hashes(picture[:, ::-1]))
    assert np.bitwise_count(mirror ^ again).sum() <= 4 and np.bitwise_count(plain ^ back).sum() <= 4
    assert np.unpackbits(plain).sum() == BITS // 2


def test_brightness_and_contrast_do_not_count():
    picture = grey(photo(1, 64, 64))[..., 0]
    fainter = (picture // 2 + 60).astype(np.uint8)
    hashes = [np.frombuffer(perceptual_hashes(one)[0], np.uint8) for one in (picture, fainter)]
    assert np.bitwise_count(hashes[0] ^ hashes[1]).sum() <= 10


@pytest.mark.parametrize("radius", [0, 15, 31, 47, 63])
def test_the_index_finds_every_pair_that_comparing_all_finds(radius, monkeypatch):
    generator = np.random.default_rng(radius)
    hashes = generator.integers(0, 256, (300, 32), np.uint8)
    for place in range(150):  # planted at every distance up to a little more than the radius
        flipped = np.unpackbits(hashes[place])
        flipped[generator.choice(BITS, place % (radius + 4), replace=False)] ^= 1
        hashes[150 + place] = np.packbits(flipped)
    everything = sorted(map(tuple, np.concatenate(list(alike(hashes, hashes, radius))).tolist()))
    monkeypatch.setattr("figment.data.hashing._FLAT_BELOW", 0)
    monkeypatch.setattr("figment.data.hashing._AT_ONCE", 1000)
    assert sorted(map(tuple, np.concatenate(list(alike(hashes, hashes, radius))).tolist())) == everything
    assert len(everything) >= 150 * (radius + 1) // (radius + 4) - 3


def test_hashes_that_are_all_equal_are_all_found_once():
    hashes = np.zeros((50, 32), np.uint8)
    assert len(np.concatenate(list(alike(hashes, hashes, 0)))) == 50 * 49 // 2


# near_duplicates


@pytest.mark.parametrize("change", LEAST_RECALL, ids=lambda change: change.__name__)
def test_planted_duplicates_are_found_and_nothing_else(change):
    number = 100
    originals = {f"{seed}": photo(seed) for seed in range(number)}
    copies = {f"{seed} copy": change(picture) for seed, picture in originals.items()}
    found = refusals(index_of(originals | copies))
    pairs = {frozenset((key, reason.rpartition(" of ")[2])) for key, reason in found.items()}
    wanted = {frozenset((key, f"{key} copy")) for key in originals}
    assert not pairs - wanted, "unlike pictures were refused"
    assert len(pairs) >= LEAST_RECALL[change] * number
    if change is mirrored:
        assert all(reason.startswith("mirror image of ") for reason in found.values())


def test_the_best_picture_of_a_group_is_kept():
    large = photo(1, 192, 256)
    small, blurred = halved(large), cv2.GaussianBlur(large, (0, 0), 2)
    assert refusals(index_of({"small": small, "blurred": blurred, "large": large})) == {
        "small": "near duplicate of large",
        "blurred": "near duplicate of large",
    }


def test_a_held_out_copy_is_kept_before_a_larger_one_for_training():
    large = photo(1, 192, 256)
    index = index_of({"train": large, "test": halved(large)}, test={"source_split": "test", "label": "cat"})
    assert refusals(index) == {"train": "near duplicate of test, which is labelled 'cat' and not 'None'"}


def test_a_chain_of_small_changes_swallows_no_unlike_pictures_but_is_never_divided():
    """a is like b and b like c, but c is not like a: b is refused for a, and c stays."""
    hashes = [bytes(32), bytes([255] * 3) + bytes(29), bytes([255] * 6) + bytes(26)]
    index = index_of({key: photo(1) for key in "abc"})
    for id, one in enumerate(hashes):
        index.connection.execute("update images set hashes = ? where id = ?", (one + 64 * b"\xff", id))
    assert refusals(index, bits=31, mirrors=False) == {"b": "near duplicate of a"}
    assert {group for (group,) in index.query("select duplicate_group from images")} == {f"{0:064x}"}


def test_colours_tell_pictures_apart_where_both_have_them():
    """In grey these are one and the same."""
    field = photo(3)
    red, green = field.copy(), field.copy()
    cv2.circle(red, (64, 48), 30, (255, 0, 0), -1)
    cv2.circle(green, (64, 48), 30, (0, 130, 0), -1)
    assert np.abs(grey(red).astype(int) - grey(green)).max() <= 2
    assert refusals(index_of({"red": red, "green": green})) == {}
    assert refusals(index_of({"red": red, "green": grey(green)})) == {"green": "near duplicate of red"}


def test_small_flat_and_moving_pictures_are_left_to_exact_duplicates():
    rng = np.random.default_rng(0)
    flat = rng.integers(100, 104, (64, 64, 3), np.uint8)
    moving = np.stack([photo(1, 64, 64)] * 3)
    drawn = np.full((64, 64, 3), 255, np.uint8)
    drawn[20:40, 20:40] = [255, 0, 0]
    for picture in (photo(1, 31, 99), flat, moving, drawn):
        assert measure(picture).hashes is None
    assert measure(photo(1, 32, 32)).hashes is not None
    assert refusals(index_of({"a": flat, "b": flat})) == {}


def test_near_duplicates_never_straddle_a_split_and_are_restored_beside_each_other(tmp_path):
    files = {}
    for seed in range(24):
        files[f"{seed}.png"] = encode(photo(seed, 64, 64))
        files[f"{seed}-copy.png"] = encode(jpeg_again(photo(seed, 64, 64)))
    write_folder(tmp_path / "pictures", files)
    store = build([str(tmp_path / "pictures")], tmp_path / "data", BuildConfig(steps={"split": {"val": 0.5}}))
    refused = [one.key for one in store.rejected()]
    assert len(refused) == 24 and {one.step for one in store.rejected()} == {"near_duplicates"}
    store.restore(refused)
    sides = {key: split for split in ("train", "val") for key in store.keys(split)}
    assert len(sides) == 48 and set(sides.values()) == {"train", "val"}
    assert all(sides[f"{seed}.png"] == sides[f"{seed}-copy.png"] for seed in range(24))


def test_a_second_round_of_the_step_comes_to_the_same(tmp_path):
    index = index_of({"a": photo(1), "b": jpeg_again(photo(1)), "c": photo(2)})
    first = refusals(index)
    assert first == refusals(index) and len(first) == 1


@pytest.mark.parametrize("source", ["digits:", "shapes:600"])
def test_small_drawn_pictures_are_not_lost(source):
    trial = dry_run([source])
    assert [one for one in trial.rejected if one.step != "exact_duplicates"] == []


def test_settings_out_of_range_are_errors():
    with pytest.raises(ConfigError, match=r"--near-duplicates\.bits 64: give a number between 0 and 63"):
        near_duplicates.Config(bits=64)
    with pytest.raises(ConfigError, match=r"--near-duplicates\.likeness 1\.5"):
        near_duplicates.Config(likeness=1.5)


# looks

NIGHT = (photo(1) // 16).astype(np.uint8)
CASES = {
    "blank": (np.full((64, 64, 3), 90, np.uint8), photo(1) // 32 + 90),
    "dark": (NIGHT, photo(1) // 4),
    "bright": (240 + photo(1) // 32, 200 + photo(1) // 8),
    "blurred": (cv2.GaussianBlur(photo(1, 192, 256), (0, 0), 6), cv2.GaussianBlur(photo(1), (0, 0), 1)),
    "low_entropy": (np.where(photo(1)[..., :1] > 200, 255, 0).astype(np.uint8), photo(1)),
    "odd_aspect": (photo(1, 40, 200), photo(1, 40, 120)),
    "borders": (cv2.copyMakeBorder(photo(1), 60, 60, 0, 0, cv2.BORDER_CONSTANT), photo(1)),
}


def judged(step: str, picture: np.ndarray, **config) -> Record | Rejected:
    module = plugins.load("steps", step)
    return module.mend(Record(image=picture, key="a", measured=measure(picture)), module.Config(**config))


@pytest.mark.parametrize("step", CASES)
def test_bad_looks_are_refused_and_good_ones_kept(step):
    module, (bad, good) = plugins.load("steps", step), CASES[step]
    (setting,) = plugins.settings("steps", step)
    limit = {} if step == "blank" else {setting.name: module.SUGGESTED}
    refusal = judged(step, bad, **limit)
    assert isinstance(refusal, Rejected) and refusal.step == step, measure(bad).looks
    assert isinstance(judged(step, good, **limit), Record), measure(good).looks


@pytest.mark.parametrize("step", [step for step in CASES if step != "blank"])
def test_a_step_with_false_alarms_is_off_until_it_is_given_a_limit(step):
    assert isinstance(judged(step, CASES[step][0]), Record)


def test_a_picture_with_one_speck_is_not_blank():
    speck = np.full((64, 64, 1), 90, np.uint8)
    speck[5, 5] = 93
    assert isinstance(judged("blank", speck), Record)
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[4:8, 4:8, 3] = 255  # a black glyph on nothing
    assert isinstance(judged("blank", clear), Record)


def test_looks_are_measured_alike_at_any_size():
    large = photo(1, 768, 1024)
    small = cv2.resize(large, (512, 384), interpolation=cv2.INTER_AREA)
    one, other = measure(large).looks, measure(small).looks
    assert one["sharpness"] == pytest.approx(other["sharpness"], rel=0.05)
    assert one["brightness"] == pytest.approx(other["brightness"], abs=2)
    faint = (large // 3 + 80).astype(np.uint8)
    assert measure(faint).looks["sharpness"] == pytest.approx(one["sharpness"], rel=0.1)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 4]), st.integers(0, 255))
@settings(max_examples=40, deadline=None)
def test_any_picture_can_be_measured(height, width, channels, value):
    looks = measure(np.full((height, width, channels), value, np.uint8)).looks
    assert looks["range"] == 0 and looks["entropy"] == 0 and looks["side"] == min(height, width)
    json.dumps(looks, allow_nan=False)


def test_a_dry_run_says_what_steps_that_are_off_would_refuse(tmp_path):
    pictures = {"a.png": photo(1), "b.png": NIGHT, "c.png": photo(2, 40, 200), "d.png": photo(3)}
    write_folder(tmp_path / "pictures", {name: encode(picture) for name, picture in pictures.items()})
    answer = done("data", "build", tmp_path / "pictures", "--out", tmp_path / "data", "--dry-run", "--json").json
    assert answer["suggested"] == {"--dark.brightest 20": 1, "--odd-aspect.ratio 4": 1}
    assert answer["rejected"] == {}
    built = done(
        "data", "build", tmp_path / "pictures", "--out", tmp_path / "data", "--dark.brightest", 20, "--json"
    ).json
    assert built["rejected"] == {"dark": 1}
