"""Fréchet distances of other kinds: extrapolated, of places, of classes, and informed of memorisation."""

from __future__ import annotations

import numpy as np
import pytest

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import class_fd, fd, fd_infinite, mifid, spatial_fd


def distance(x, y):
    return fd.score(real=Sample(x), fake=Sample(y))["fd"]


# Extrapolated


def test_the_line_of_an_exact_law_is_found():
    sizes = np.linspace(500, 5000, 15)
    assert fd_infinite.extrapolate(sizes, 3.25 + 700 / sizes) == pytest.approx((3.25, 0), abs=1e-9)


def test_the_standard_error_is_that_of_the_regression():
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    sizes = np.linspace(500, 5000, 15)
    values = 3.25 + 700 / sizes + rng.normal(size=15)
    line = stats.linregress(1 / sizes, values)
    assert fd_infinite.extrapolate(sizes, values) == pytest.approx((line.intercept, line.intercept_stderr), rel=1e-9)


def test_both_biases_go_or_only_that_of_the_generated_side():
    """Unit Gaussians of 16 features: the truth is 0, the bias of 1000 + 1000 pictures 0.168, half of it each side's."""
    rng = np.random.default_rng(1)
    raw, one_sided, two_sided = [], [], []
    for _ in range(30):
        x, y = rng.normal(size=(2, 1000, 16))
        raw.append(distance(x, y))
        scores = fd_infinite.score(real=Sample(x), fake=Sample(y))
        one_sided.append(scores["fd_infinite"])
        two_sided.append(scores["fd_infinite_both"])
    assert np.mean(raw) == pytest.approx(0.168, abs=0.01)
    assert np.mean(one_sided) == pytest.approx(0.084, abs=0.02)
    assert np.mean(two_sided) == pytest.approx(0, abs=0.02)


def test_sizes_are_those_of_the_paper_for_50000_pictures_and_never_too_few_for_their_features():
    def least(count, width):
        return fd_infinite._least(np.empty((count, width))) * count

    assert least(50_000, 2048) == 5000
    assert least(10_000, 64) == 1000
    assert least(10_000, 2048) == 4096
    assert least(3000, 2048) == 1500


def test_extrapolated_values_come_with_the_error_of_the_line():
    rng = np.random.default_rng(2)
    real, fake = Sample(rng.normal(size=(200, 8))), Sample(rng.normal(size=(150, 8)))
    scores = fd_infinite.score(real=real, fake=fake)
    found = fd_infinite.resamples(real=real, fake=fake, rng=np.random.default_rng(3), draws=400)
    plain = fd.resamples(real=real, fake=fake, rng=np.random.default_rng(3), draws=400)["fd"][1]
    for key, (value, drawn) in found.items():
        assert value == scores[key]
        assert drawn.mean() == pytest.approx(value, abs=0.02)
        assert plain.std() < drawn.std() < 3 * plain.std()


def test_too_few_to_extrapolate_are_refused():
    with pytest.raises(DataError, match="fd_infinite needs at least 20 generated pictures and was given 19"):
        fd_infinite.score(real=Sample(np.zeros((40, 2))), fake=Sample(np.zeros((19, 2))))


# Of places


def test_spatial_distance_is_the_distance_of_places():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(40, 6)), rng.normal(size=(30, 6)) + 1
    real, fake = (Sample(np.zeros((len(z), 2)), spatial=z.astype(np.float32)) for z in (x, y))
    assert spatial_fd.score(real=real, fake=fake)["spatial_fd"] == pytest.approx(distance(x, y), rel=1e-5)
    value, drawn = spatial_fd.resamples(real=real, fake=fake, rng=rng, draws=5)["spatial_fd"]
    assert value == spatial_fd.score(real=real, fake=fake)["spatial_fd"]
    assert np.isfinite(drawn).all()


def test_what_is_moved_elsewhere_shows_in_places_alone():
    """Every picture has one bright place; of the generated ones it lies on the other side."""
    rng = np.random.default_rng(5)
    places = rng.normal(size=(2, 500, 8)) + np.eye(8)[[0, 7]][:, None] * 5
    real, fake = (Sample(z.mean(axis=1, keepdims=True), spatial=z) for z in places)
    assert fd.score(real=real, fake=fake)["fd"] < 0.1
    assert spatial_fd.score(real=real, fake=fake)["spatial_fd"] == pytest.approx(50, rel=0.1)


def test_an_extractor_without_places_is_told_so():
    real = Sample(np.zeros((5, 2)), spatial=np.zeros((5, 3)))
    with pytest.raises(DataError, match="spatial_fd compares features of places, and the extractor of the generated"):
        spatial_fd.score(real=real, fake=Sample(np.zeros((5, 2))))
    with pytest.raises(DataError, match="real 3, generated 4"):
        spatial_fd.score(real=real, fake=Sample(np.zeros((5, 2)), spatial=np.zeros((5, 4))))


# Of classes


def labelled(rng, shifts, count=100):
    labels = np.repeat(np.arange(len(shifts)), count)
    return Sample(rng.normal(size=(len(labels), 4)) + np.array(shifts)[labels][:, None], labels=labels)


def test_the_mean_and_the_worst_of_the_classes():
    rng = np.random.default_rng(6)
    real, fake = labelled(rng, [0, 10, 20]), labelled(rng, [0, 12, 20])
    by_class = class_fd.by_class(real=real, fake=fake)
    assert by_class == pytest.approx(
        {c: distance(real.features[real.labels == c], fake.features[fake.labels == c]) for c in range(3)}
    )
    scores = class_fd.score(real=real, fake=fake)
    assert scores["class_fd"] == pytest.approx(np.mean([*by_class.values()]))
    assert scores["class_fd_worst"] == by_class[1]
    assert by_class[1] == pytest.approx(16, rel=0.2)


def test_swapped_classes_show_although_all_pictures_together_do_not():
    rng = np.random.default_rng(7)
    real, fake = labelled(rng, [0, 9]), labelled(rng, [9, 0])
    assert fd.score(real=real, fake=fake)["fd"] < 2
    assert class_fd.score(real=real, fake=fake)["class_fd"] > 200


def test_class_resamples_are_of_the_same_scores():
    rng = np.random.default_rng(8)
    real, fake = labelled(rng, [0, 5]), labelled(rng, [0, 6])
    found = class_fd.resamples(real=real, fake=fake, rng=rng, draws=50)
    assert {key: value for key, (value, _) in found.items()} == class_fd.score(real=real, fake=fake)
    assert found["class_fd_worst"][1].mean() > found["class_fd"][1].mean()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 0, 1], "2 real and 1 generated of class 1"),
        ([0, 0, 2, 2, 1, 1], "0 real and 2 generated of class 2"),
        ([0, 0, -1], "2 real and 0 generated of class 1"),
        (None, "one side has no labels"),
    ],
)
def test_a_class_with_too_few_pictures_is_named(labels, words):
    real = Sample(np.zeros((4, 2)), labels=np.array([0, 0, 1, 1]))
    fake = Sample(np.zeros((len(labels or "abc"), 2)), labels=None if labels is None else np.array(labels))
    with pytest.raises(DataError, match=words):
        class_fd.score(real=real, fake=fake)


def test_no_label_at_all_is_refused():
    unknown = Sample(np.zeros((4, 2)), labels=np.full(4, -1))
    with pytest.raises(DataError, match="no picture has a label"):
        class_fd.score(real=unknown, fake=unknown)


# Informed of memorisation


def spread_out(rng, count):
    return rng.normal(size=(count, 32))


def test_memorisation_distance_by_hand(monkeypatch):
    train = np.array([[2.0, 0.0], [0.0, 3.0]])
    fake = np.array([[5.0, 0.0], [1.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])
    expected = (0 + 1 - np.sqrt(0.5) + 0 + 1) / 4
    for tile in (2048, 1):
        monkeypatch.setattr(mifid, "_TILE", tile)
        assert mifid.memorisation_distance(fake, train) == pytest.approx(expected, rel=1e-12)


def test_honest_pictures_have_the_plain_distance_and_copies_an_enormous_one():
    rng = np.random.default_rng(9)
    train, real, fake = (spread_out(rng, 100) for _ in range(3))
    sides = {"real": Sample(real), "train": Sample(train)}
    assert mifid.score(**sides, fake=Sample(fake))["mifid"] == pytest.approx(distance(real, fake), rel=1e-12)
    near = mifid.score(**sides, fake=Sample(train + 0.01 * fake))["mifid"]
    assert near > 1000 * distance(real, train)
    assert near < mifid.score(**sides, fake=Sample(train))["mifid"] < np.inf


def test_mifid_resamples_are_scaled_alike():
    rng = np.random.default_rng(10)
    train, real = spread_out(rng, 60), spread_out(rng, 50)
    sides = {"real": Sample(real), "fake": Sample(train + 0.1), "train": Sample(train)}
    value, drawn = mifid.resamples(**sides, rng=np.random.default_rng(11), draws=5)["mifid"]
    assert value == mifid.score(**sides)["mifid"]
    plain = fd.resamples(real=sides["real"], fake=sides["fake"], rng=np.random.default_rng(11), draws=5)["fd"]
    np.testing.assert_allclose(drawn / value, plain[1] / plain[0], rtol=1e-9)


def test_agrees_with_torchmetrics():
    """Which averages over its first argument, the paper over generated pictures: so the sides change places."""
    oracle = pytest.importorskip("torchmetrics.image.mifid")
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(12)
    train = spread_out(rng, 80)
    fake = train[:60] + 0.2 * spread_out(rng, 60)
    sides = [(z.mean(axis=0), np.cov(z, rowvar=False), z) for z in (fake, train)]
    expected = oracle._mifid_compute(*(torch.from_numpy(part) for side in sides for part in side))
    found = mifid.score(real=Sample(train), fake=Sample(fake), train=Sample(train))["mifid"]
    assert found == pytest.approx(float(expected), rel=1e-9)
