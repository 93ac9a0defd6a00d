"""Precision, recall, density, coverage and nearest distances: tables by hand, ties, brute force, expectations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import _neighbours, authenticity, density_coverage, nearest, precision_recall


def prdc(real, fake, k, closed):
    """(precision, recall, density, coverage)"""
    fake_hit, real_hit = precision_recall.manifold_hits(real, fake, k=k, closed=closed)
    hits, covered = density_coverage.ball_hits(real, fake, k=k, closed=closed)
    return fake_hit.mean(), real_hit.mean(), hits.mean() / k, covered.mean()


def line(*points):
    return np.array(points, dtype=float)[:, None]


@pytest.mark.parametrize(
    ("fake", "closed", "expected"),
    [
        ([0.5, 10], False, (0.5, 1, 1, 0.5)),
        ([0.5, 10], True, (0.5, 1, 1, 0.5)),
        ([0.5, 10, 11], False, (1 / 3, 1, 2 / 3, 0.5)),
        ([0.5, 10, 11], True, (1 / 3, 1, 2 / 3, 0.5)),
        ([1, 4], False, (0.5, 1, 0.5, 0.25)),
        ([1, 4], True, (1, 1, 2, 1)),
        ([0, 1, 2, 3], False, (1, 1, 1, 1)),
        ([0, 1, 2, 3], True, (1, 1, 2.5, 1)),
    ],
)
@pytest.mark.parametrize("offset", [0, 1e6], ids=["at 0", "far away"])
def test_one_dimension_by_hand(fake, closed, expected, offset):
    assert prdc(line(0, 1, 2, 3) + offset, line(*fake) + offset, k=1, closed=closed) == pytest.approx(expected)


def brute_force(real, fake, k, closed):
    """The definitions in integers, where ties are exact."""

    def squared(a, b):
        return np.square(a[:, None] - b[None]).sum(axis=2)

    def inside(distance, radius):
        return distance <= radius if closed else distance < radius

    across = squared(real, fake)
    real_radii, fake_radii = (np.sort(squared(z, z), axis=1)[:, k] for z in (real, fake))
    in_real = inside(across, real_radii[:, None])
    return (
        in_real.any(axis=0).mean(),
        inside(across, fake_radii).any(axis=1).mean(),
        in_real.sum(axis=0).mean() / k,
        in_real.any(axis=1).mean(),
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 4), st.booleans(), st.integers(1, 3), st.sampled_from([0, 1000]), st.integers(0, 2**32 - 1))
def test_ties_and_copies_count_as_the_convention_says(k, closed, width, offset, seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(k + 1, 25, size=2)
    real, fake = (rng.integers(4, size=(count, width)) + offset for count in counts)
    # 0.1 is not exact in binary: distances that are equal on paper differ in the last digit.
    assert prdc(0.1 * real, 0.1 * fake, k, closed) == pytest.approx(brute_force(real, fake, k, closed), rel=1e-12)


def test_blocks_do_not_change_the_values(monkeypatch):
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(31, 4)), rng.normal(size=(17, 4))
    whole, distances = prdc(real, fake, 3, True), _neighbours.nearest_distances(real, fake)
    for numbers, rows in ((1, 4096), (40, 5), (100, 1)):
        monkeypatch.setattr(_neighbours, "_BLOCK", numbers)
        monkeypatch.setattr(_neighbours, "_CHUNK", rows)
        assert prdc(real, fake, 3, True) == whole
        np.testing.assert_array_equal(_neighbours.nearest_distances(real, fake), distances)


@pytest.mark.parametrize(("num_real", "num_fake"), [(60, 60), (40, 90)])
def test_equal_distributions_score_as_expected(num_real, num_fake):
    """Density 1 and coverage 1 - prod (N - i) / (N + M - i); in two dimensions, without hubs, few seeds suffice."""
    rng = np.random.default_rng(1)
    scores = [
        density_coverage.score(real=Sample(rng.normal(size=(num_real, 2))), fake=Sample(rng.normal(size=(num_fake, 2))))
        for _ in range(150)
    ]
    missed = np.prod([(num_real - i) / (num_real + num_fake - i) for i in range(1, density_coverage.K + 1)])
    assert np.mean([score["density"] for score in scores]) == pytest.approx(1, abs=0.03)
    assert np.mean([score["coverage"] for score in scores]) == pytest.approx(1 - missed, abs=0.01)


def test_agrees_with_prdc(capsys):
    oracle = pytest.importorskip("prdc")
    rng = np.random.default_rng(2)
    real, fake = rng.normal(size=(150, 16)), 0.9 * rng.normal(size=(120, 16)) + 0.1
    expected = oracle.compute_prdc(real, fake, nearest_k=5)
    assert prdc(real, fake, 5, closed=False) == pytest.approx(
        tuple(expected[name] for name in ("precision", "recall", "density", "coverage")), rel=1e-9
    )


def test_conventions_of_the_metrics():
    """K of the papers, balls with their surface for precision and recall, without it for density and coverage."""
    rng = np.random.default_rng(3)
    real, fake = rng.integers(9, size=(2, 40, 4)) + np.array([0, 2])[:, None, None]
    sides = {"real": Sample(real), "fake": Sample(fake)}
    assert tuple(precision_recall.score(**sides).values()) == pytest.approx(brute_force(real, fake, 3, True)[:2])
    assert tuple(density_coverage.score(**sides).values()) == pytest.approx(brute_force(real, fake, 5, False)[2:])


@pytest.mark.parametrize(("metric", "needed"), [(precision_recall, 4), (density_coverage, 6)])
def test_too_few_pictures_are_refused_with_their_number(metric, needed):
    with pytest.raises(DataError, match=f"needs at least {needed} real pictures and was given {needed - 1}"):
        metric.score(real=Sample(np.zeros((needed - 1, 2))), fake=Sample(np.zeros((9, 2))))
    enough = Sample(np.random.default_rng(4).normal(size=(needed, 2)))
    assert all(np.isfinite(value) for value in metric.score(real=enough, fake=enough).values())


# Nearest training picture


def nearest_scores(real, fake, train):
    return nearest.score(real=Sample(real), fake=Sample(fake), train=Sample(train))


def test_nearest_by_hand():
    train, held_out = line(0, 100), line(1, 97, 102)  # 1, 3 and 2 away
    assert nearest_scores(held_out, line(4, 100, 92), train)["nearest"] == pytest.approx((4 + 0 + 8) / 3 / 2)


def test_novel_by_hand():
    held_out = line(*range(1, 200))  # 1 to 199 away from 0: of unseen pictures 2 in 200 are expected below the second
    scores = nearest_scores(held_out, line(0, 1, 2, 2.5, 50), line(0))
    assert scores["novel"] == pytest.approx(2 / 5)


def test_nearest_resamples_are_of_both_sides_and_never_of_copies_alone():
    """One held-out picture in eight is no copy: of a third of all draws it would be missing, and the divisor 0."""
    held_out, fake = line(0, 0, 0, 0, 0, 0, 0, 1), line(1, 3)
    found = nearest.resamples(
        real=Sample(held_out), fake=Sample(fake), train=Sample(line(0)), rng=np.random.default_rng(8), draws=200
    )
    assert {name: value for name, (value, _) in found.items()} == {"nearest": 16, "novel": 1}
    drawn = found["nearest"][1]
    assert drawn.shape == (200,) and np.isfinite(drawn).all()
    assert {8, 16, 24} < set(drawn) and 4 in drawn


def test_copies_of_the_training_set_are_found_wherever_it_lies():
    rng = np.random.default_rng(5)
    train, held_out = rng.normal(size=(200, 8)) + 1e4, rng.normal(size=(50, 8)) + 1e4
    assert nearest_scores(held_out, train[::2], train) == {"nearest": 0, "novel": 0}


def test_unseen_pictures_are_novel():
    rng = np.random.default_rng(6)
    train, held_out, fake = (rng.normal(size=(count, 4)) for count in (500, 1000, 1000))
    assert nearest_scores(held_out, held_out, train)["nearest"] == pytest.approx(1, rel=1e-12)
    scores = nearest_scores(held_out, fake, train)
    assert scores["nearest"] == pytest.approx(1, abs=0.05)
    assert scores["novel"] == pytest.approx(0.99, abs=0.01)


def test_a_few_copies_show_in_novel():
    rng = np.random.default_rng(7)
    train, held_out, fake = (rng.normal(size=(400, 6)) for _ in range(3))
    before = nearest_scores(held_out, fake, train)["novel"]
    assert nearest_scores(held_out, np.concatenate([fake[:300], train[:100]]), train)["novel"] < before - 0.2


def test_scale_does_not_matter():
    rng = np.random.default_rng(8)
    train, held_out, fake = (rng.normal(size=(30, 6)) for _ in range(3))
    scores = nearest_scores(held_out, fake, train)
    assert nearest_scores(7 * held_out, 7 * fake, 7 * train) == pytest.approx(scores, rel=1e-9)


def test_held_out_copies_cannot_be_a_measure():
    train = np.random.default_rng(9).normal(size=(5, 3))
    with pytest.raises(DataError, match="all 3 held-out ones are copies"):
        nearest_scores(train[:3], train, train)


# Authenticity


def authentic(fake, train):
    sides = {"fake": Sample(fake), "train": Sample(train)}
    return authenticity.score(real=sides["train"], **sides)["authenticity"]


def test_authenticity_by_hand():
    """Training pictures at 0, 1 and 5: their nearest others are 1, 1 and 4 away."""
    train = line(0, 1, 5)
    assert authentic(line(-0.5), train) == 0
    assert authentic(line(-1), train) == 0  # as far, not farther
    assert authentic(line(-1.5), train) == 1
    assert authentic(line(8, 9.5, -2, 0.25), train) == 0.5


@pytest.mark.parametrize("offset", [0, 1e6])
def test_an_exact_copy_of_the_training_set_has_no_authentic_picture(offset):
    train = np.random.default_rng(10).normal(size=(200, 8)) + offset
    assert authentic(train, train) == 0
    assert authentic(train, np.concatenate([train, train[:50]])) == 0


def test_copies_are_told_from_unseen_pictures_and_from_noise():
    rng = np.random.default_rng(11)
    train, unseen = rng.normal(size=(2, 400, 6))
    honest = authentic(unseen, train)
    assert 0.4 < honest < 0.8
    assert authentic(train + 0.01 * unseen, train) == 0
    assert authentic(np.concatenate([unseen[:200], train[:200]]), train) == pytest.approx(honest / 2, abs=0.05)
    assert authentic(10 * unseen, train) > 0.95


def test_authenticity_agrees_with_scikit_learn():
    neighbours = pytest.importorskip("sklearn.neighbors")
    rng = np.random.default_rng(12)
    train, fake = rng.normal(size=(150, 5)), 0.8 * rng.normal(size=(120, 5))
    index = neighbours.NearestNeighbors(n_neighbors=2).fit(train)
    own = index.kneighbors(train)[0][:, 1]
    distance, nearest_one = (part[:, 0] for part in index.kneighbors(fake))
    assert authentic(fake, train) == pytest.approx(np.mean(distance > own[nearest_one]), rel=1e-12)


def test_one_training_picture_has_no_other():
    with pytest.raises(DataError, match="authenticity needs at least 2 training pictures and was given 1"):
        authentic(line(1), line(0))


# Memory


def test_float32_features_are_searched_without_a_copy_of_them_all(monkeypatch):
    """What is made float64 at a time is a chunk, in every metric of neighbours."""
    rng = np.random.default_rng(13)
    real, fake = rng.normal(size=(2, 60, 4)).astype(np.float32)
    monkeypatch.setattr(_neighbours, "_CHUNK", 7)
    monkeypatch.setattr(_neighbours, "_BLOCK", 240)
    largest = []
    at = _neighbours._at
    monkeypatch.setattr(_neighbours, "_at", lambda *args: largest.append(len(at(*args))) or at(*args))
    sides = {"real": Sample(real), "fake": Sample(fake)}
    for metric in (precision_recall, density_coverage):
        metric.score(**sides)
    authenticity.score(**sides, train=Sample(real))
    assert max(largest) == 7
