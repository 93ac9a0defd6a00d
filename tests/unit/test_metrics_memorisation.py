"""Copies and blends of training pictures are named, with their sources; unseen pictures are not accused."""

import io

import numpy as np
import pytest
from PIL import Image

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.evaluate import memorisation
from figment.evaluate.memorisation import chance_of, verdict

NUM = 300


@pytest.fixture(scope="module")
def split(digits):
    """Training pictures with labels, and two halves that are held out, uint8 (N, 8, 8, 1)."""
    pixels = np.concatenate([digits.images("train"), digits.images(digits.held_out)])
    labels = np.concatenate([digits.labels("train"), digits.labels(digits.held_out)])
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels[order[2 * NUM :]], labels[order[2 * NUM :]], pixels[order[:NUM]], pixels[order[NUM : 2 * NUM]]


def sample(images):
    """Read-only, as pictures of a memory map are."""
    images = np.ascontiguousarray(images).view()
    images.flags.writeable = False
    return Sample(np.zeros((len(images), 1)), images=images)


def judge(train, real, fake):
    return verdict(real=sample(real), fake=sample(fake), train=sample(train))


def noisy(images, deviation, seed=1):
    noise = deviation * np.random.default_rng(seed).normal(size=images.shape)
    return np.clip(images + noise, 0, 255).round().astype(np.uint8)


def jpeg(images):
    again = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image[..., 0]).save(buffer, "JPEG", quality=75)
        again.append(np.asarray(Image.open(buffer))[..., None])
    return np.stack(again)


def blends(train, labels, count):
    """Means of two training pictures of a class, 0.3 to 0.7 of each; and the rows of both."""
    rng = np.random.default_rng(2)
    first = rng.permutation(len(train))[:count]
    second = np.array(
        [rng.choice(np.flatnonzero((labels == labels[row]) & (np.arange(len(train)) != row))) for row in first]
    )
    weight = rng.uniform(0.3, 0.7, size=(count, 1, 1, 1))
    return np.round((1 - weight) * train[first] + weight * train[second]).astype(np.uint8), np.stack([first, second], 1)


@pytest.mark.parametrize("seed", range(5))
def test_unseen_pictures_are_not_accused(split, seed):
    train, _, real, fake = split
    order = np.random.default_rng(seed).permutation(2 * NUM)
    held_out = np.concatenate([real, fake])[order]
    found = judge(train, held_out[:NUM], held_out[NUM:])
    assert found.name == "healthy"
    assert found.copies.value < 0.02
    assert found.blends.value < 0.02


@pytest.mark.parametrize(
    "change",
    [lambda x: x, lambda x: noisy(x, 10), lambda x: x[:, :, ::-1], jpeg],
    ids=["exact", "noise", "mirrored", "jpeg"],
)
def test_one_copy_in_ten_is_named_with_its_source(split, change):
    train, _, real, fake = split
    fake = fake.copy()
    fake[:30] = change(train[100:130])
    found = judge(train, real, fake)
    assert found.name == "copies"
    assert found.copies.low <= 0.1 <= found.copies.high
    assert found.blends.value < 0.02
    worst = {(suspect.fake, suspect.train) for suspect in found.suspects[:25]}
    assert worst <= {(row, 100 + row) for row in range(30)}
    assert "copies: of 300 generated pictures 1" in str(found)


def test_copies_that_were_shifted_by_a_pixel_are_found(split):
    """With the margin that pictures larger than these have."""
    train, _, real, fake = (np.pad(one, ((0, 0), (2, 2), (2, 2), (0, 0))) if one.ndim == 4 else one for one in split)
    fake[:30] = np.roll(train[100:130], 1, axis=2)
    found = judge(train, real, fake)
    assert found.name == "copies"
    assert found.copies.value >= 0.1
    assert {(suspect.fake, suspect.train) for suspect in found.suspects[:30]} == {(row, 100 + row) for row in range(30)}


@pytest.mark.parametrize("deviation", [0, 5])
def test_blends_of_pairs_are_told_from_copies(split, deviation):
    train, labels, real, _ = split
    fake, pairs = blends(train, labels, NUM)
    found = judge(train, real, noisy(fake, deviation))
    assert found.name == "interpolates"
    assert found.blends.value > 0.9
    assert found.copies.value < 0.02
    named = [set(suspect.pair) == set(pairs[suspect.fake]) for suspect in found.suspects]
    assert np.mean(named) > 0.9
    assert all(0.25 < suspect.weight < 0.75 for suspect in found.suspects if suspect.blend < 0.02)


def test_one_blend_in_ten_is_named(split):
    train, labels, real, fake = split
    mixed = np.concatenate([fake[30:], blends(train, labels, 30)[0]])
    assert judge(train, real, mixed).name == "interpolates"


def test_what_held_out_pictures_do_as_well_is_no_crime(split):
    """A tenth of the data are near duplicates, among held-out and generated pictures alike."""
    train, _, real, fake = (one.copy() for one in split)
    real[:30], fake[:30] = noisy(train[:30], 5), noisy(train[30:60], 5)
    found = judge(train, real, fake)
    assert found.copies.value > 0.09
    assert found.name == "healthy"


def test_blocks_and_repeated_training_pictures_do_not_change_the_verdict(split, monkeypatch):
    train, _, real, fake = split
    fake = np.concatenate([fake[:200], train[:100]])
    whole = judge(train, real, fake)
    monkeypatch.setattr(memorisation, "_ROWS", 77)
    again = judge(np.concatenate([train, train[::-1]]), real, fake)
    assert again.copies == whole.copies
    assert [suspect.train for suspect in again.suspects] == [suspect.train for suspect in whole.suspects]


def test_large_pictures_in_colour():
    rng = np.random.default_rng(3)
    coarse = rng.integers(256, size=(90, 6, 8, 3), dtype=np.uint8)
    pictures = coarse.repeat(12, axis=1).repeat(12, axis=2)
    fake = pictures[60:].copy()
    fake[:15] = np.roll(pictures[:15], 2, axis=(1, 2))
    found = judge(pictures[:30], pictures[30:60], fake)
    assert found.name == "copies"
    assert found.copies.value == 0.5


def test_chance_is_fishers_exact_test():
    """Of 8 cups 4 had milk first; all 4 are told: 1 in 70. Fisher (1935)."""
    assert chance_of(4, 4, 0, 4) == pytest.approx(1 / 70)
    assert chance_of(3, 4, 1, 4) == pytest.approx(17 / 70)
    assert chance_of(0, 10, 3, 10) == pytest.approx(1)


def test_what_cannot_be_judged_is_refused(split):
    train, _, real, fake = split
    with pytest.raises(
        DataError, match="at least 10 held-out, generated and training pictures and was given 300, 9, 1197"
    ):
        judge(train, real, fake[:9])
    with pytest.raises(DataError, match="was given 300, 0, 1197"):
        verdict(real=sample(real), fake=Sample(np.zeros((20, 1))), train=sample(train))
    with pytest.raises(DataError, match="differ in size"):
        judge(train[:, 1:], real, fake)
    with pytest.raises(DataError, match="at least 10 different training pictures and was given 4"):
        judge(train[:4].repeat(5, axis=0), real, fake)
