"""Scores: intervals that cover the truth, floors, protocols, and small data sets that must not crash."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from figment.core import plugins
from figment.core.errors import ConfigError
from figment.core.types import Sample
from figment.evaluate.passport import RANKED_BY, difference, issued
from figment.evaluate.scores import Sides, basic_estimate, score_sample, wilson_interval
from figment.metrics import fd


def needs(name):
    return plugins.load("metrics", name).NEEDS


# What pictures, features and labels are enough for.
ALL = [name for name in plugins.names("metrics") if not {"paired", "spatial", "bits"} & set(needs(name))]
DISTANCES = ["fd", "kid"]


def sample(count, rng, *, width=8, num_classes=3, shift=0.0):
    labels = rng.integers(num_classes, size=count)
    logits = rng.normal(size=(count, num_classes)) + 3 * np.eye(num_classes)[labels]
    features = rng.normal(size=(count, width)) + shift
    return Sample(features.astype(np.float32), logits, labels, np.zeros((count, 1, 2, 2), dtype=np.uint8))


def score_sides(*, real, fake, train=None, noise=None, metrics, **options):
    return score_sample(Sides(real, fake, train, noise), metrics, **options)


def score(counts, metrics=ALL, shift=0.0, **options):
    rng = np.random.default_rng(0)
    real, fake, train = (sample(count, rng, shift=shift * (side == 1)) for side, count in enumerate(counts))
    names = {"extractor": "judge 1a2b, penultimate, 8", "reference_digest": "ffee"}
    return score_sides(real=real, fake=fake, train=train, metrics=metrics, **names, **({"draws": 40} | options))


def test_every_metric_gives_scores_that_say_what_they_are():
    scores, warnings = score((60, 80, 100))
    assert set(scores) >= {"fd", "kid", "precision", "recall", "density", "coverage", "nearest", "novel", "accuracy"}
    for key, one in scores.items():
        assert np.isfinite([one.value, one.low, one.high, one.floor]).all(), key
        assert one.low <= one.high
        assert (one.num_real, one.num_fake) == (60, 80)
        assert (one.extractor, one.reference_digest) == ("judge 1a2b, penultimate, 8", "ffee")
    assert json.loads(json.dumps({key: asdict(one) for key, one in scores.items()}))["fd"]["num_fake"] == 80
    assert all("\n" not in line for line in warnings)


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("fd", ["ddof=1", "8-bit", "basic bootstrap, 40 draws"]),
        ("kid", ["(a.b/D + 1)^3", "unbiased", "basic bootstrap"]),
        ("precision", ["k=3", "<=", "Wilson, 80 pictures"]),
        ("recall", ["k=3", "<=", "Wilson, 60 pictures"]),
        ("density", ["k=5", "(<)", "bootstrap of the mean"]),
        ("coverage", ["k=5", "(<)", "Wilson, 60 pictures"]),
        ("nearest", ["bootstrap of the mean", "80 pictures, widened to that of resamples of both sides"]),
        ("novel", ["Weibull", "Wilson, 80 pictures"]),
    ],
)
def test_protocols_name_conventions_and_resampling(key, words):
    protocol = score((60, 80, 100), ["fd", "kid", "precision_recall", "density_coverage", "nearest"])[0][key].protocol
    assert all(word in protocol for word in words), protocol


def test_the_value_is_that_of_the_metric_itself():
    rng = np.random.default_rng(0)
    real, fake, train = (sample(count, rng) for count in (60, 80, 100))
    scores, _ = score((60, 80, 100))
    for name in ALL:
        metric = plugins.load("metrics", name)
        sides = {"real": real, "fake": fake} | ({"train": train} if "train" in metric.NEEDS else {})
        for key, value in metric.score(**sides).items():
            assert scores[key].value == pytest.approx(value, rel=1e-9)


def test_the_same_seed_gives_the_same_and_others_do_not_matter():
    whole, _ = score((60, 80, 100))
    alone, _ = score((60, 80, 100), ["kid"])
    assert alone["kid"] == whole["kid"]
    assert score((60, 80, 100), seed=1)[0]["kid"].low != whole["kid"].low


# Intervals


def test_the_basic_interval_covers_a_frechet_distance_and_the_percentile_interval_does_not():
    """Unit Gaussians 0.2 apart in each of 16 dimensions: the truth is 0.64, the bias is larger than the spread."""
    rng = np.random.default_rng(0)
    basic = percentile = 0
    for _ in range(40):
        real, fake = Sample(rng.normal(size=(200, 16))), Sample(rng.normal(size=(200, 16)) + 0.2)
        value, drawn = fd.resamples(real=real, fake=fake, rng=rng, draws=60)["fd"]
        estimate = basic_estimate(value, drawn)
        basic += estimate.low <= 0.64 <= estimate.high
        percentile += np.quantile(drawn, 0.025) <= 0.64 <= np.quantile(drawn, 0.975)
    assert basic >= 32
    assert percentile == 0


def test_a_basic_interval_mirrors_the_quantiles_at_the_value():
    estimate = basic_estimate(10.0, np.linspace(10, 14, 1001))
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((10, 6.1, 9.9))


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.5, 10, 0.2365931, 0.7634069), (0.0, 10, 0.0, 0.2775328), (1.0, 10, 0.7224672, 1.0)],
)
def test_wilson_intervals(share, count, low, high):
    assert wilson_interval(share, count) == pytest.approx((low, high), abs=1e-6)


def test_wilson_intervals_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    for passed in range(0, 38, 3):
        expected = stats.binomtest(passed, 37).proportion_ci(method="wilson")
        assert wilson_interval(passed / 37, 37) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_all_of_a_few_pictures_are_no_proof():
    """20 generated pictures amid the real ones: precision 1 is not certain."""
    rng = np.random.default_rng(1)
    real, fake = Sample(rng.normal(size=(200, 2))), Sample(0.01 * rng.normal(size=(20, 2)))
    names = {"metrics": ["precision_recall"], "extractor": "x", "reference_digest": "y"}
    precision = score_sides(real=real, fake=fake, train=real, **names)[0]["precision"]
    assert (precision.value, precision.high) == (1, 1)
    assert precision.low == pytest.approx(0.8389, abs=1e-3)


def test_a_value_outside_its_interval_is_explained():
    rng = np.random.default_rng(2)
    real, fake, train = (Sample(rng.normal(size=(80, 40))) for _ in range(3))
    names = {"metrics": ["fd"], "extractor": "x", "reference_digest": "y"}
    scores, warnings = score_sides(real=real, fake=fake, train=train, **names)
    assert scores["fd"].high < scores["fd"].value
    assert [line for line in warnings if line.startswith("fd: ") and "bias of 80 real and 80 generated" in line]


# Floors


def test_floors_are_scores_of_training_pictures_at_the_same_counts():
    scores, warnings = score((200, 150, 400), shift=1.0)
    assert scores["fd"].floor < 0.5 * scores["fd"].value
    assert abs(scores["kid"].floor) < 0.1 * scores["kid"].value
    assert scores["precision"].floor > scores["precision"].value
    assert not [line for line in warnings if "floor" in line]


def test_a_large_training_set_does_not_lower_the_floor_of_few_pictures():
    """8 unit Gaussian features: the bias of 50 against 100 pictures is 0.8; of 3,000 against 100 it were 0.3."""
    floors = [score((100, 50, 3000), ["fd"], seed=seed, draws=2)[0]["fd"].floor for seed in range(10)]
    assert np.mean(floors) == pytest.approx(0.8, abs=0.2)


def test_the_floor_of_a_perfect_generator_is_its_score():
    scores, _ = score((300, 300, 900))
    assert scores["fd"].floor == pytest.approx(scores["fd"].value, rel=0.3)
    assert scores["accuracy"].floor == pytest.approx(scores["accuracy"].value, abs=0.1)
    assert scores["coverage"].floor == pytest.approx(scores["coverage"].value, abs=0.05)


def test_training_pictures_are_not_compared_with_themselves():
    scores, _ = score((200, 200, 600), ["nearest"])
    assert scores["nearest"].floor == pytest.approx(1, abs=0.1)
    assert scores["novel"].floor == pytest.approx(0.99, abs=0.05)
    assert score((60, 80, 50), ["nearest"])[0]["nearest"].floor == pytest.approx(1, abs=0.2)


def test_fewer_training_than_generated_pictures_are_mentioned():
    _, warnings = score((60, 80, 50), ["fd"])
    assert any("floors are of 50 training pictures, fewer than the 80" in line for line in warnings)


def test_a_floor_that_cannot_be_had_is_none():
    scores, warnings = score((60, 80, 3), ["precision_recall"])
    assert scores["precision"].floor is None
    assert any(line.startswith("precision_recall has no floor") for line in warnings)


# What cannot be scored


def test_two_pictures_of_a_class_leave_out_what_needs_more():
    scores, warnings = score((2, 2, 4))
    assert {"fd", "kid", "nearest", "accuracy"} <= set(scores)
    assert "precision" not in scores
    assert "coverage" not in scores
    assert "precision_recall is left out: precision_recall needs at least 4 real pictures and was given 2" in warnings
    assert any(line.startswith("density_coverage is left out") for line in warnings)


@pytest.mark.parametrize("counts", [(1, 1, 1), (1, 9, 2), (9, 1, 0), (0, 0, 0), (5, 0, 5), (0, 5, 5)])
def test_hardly_any_pictures_never_crash_nor_give_nan(counts):
    scores, _ = score(counts, draws=5)
    for one in scores.values():
        assert np.isfinite([one.value, one.low, one.high, one.floor or 0]).all()


def test_without_judge_or_labels_the_rest_is_scored():
    rng = np.random.default_rng(3)
    real, fake, train = (Sample(rng.normal(size=(30, 4))) for _ in range(3))
    scores, warnings = score_sides(
        real=real, fake=fake, train=train, metrics=ALL, extractor="x", reference_digest="y", draws=5
    )
    assert {"fd", "precision", "nearest"} <= set(scores)
    told = {line.partition(" ")[0] for line in warnings if "left out" in line}
    needing = {name for name in ALL if {"labels", "logits", "images", "spatial", "bits"} & set(needs(name))}
    assert {"accuracy", "inception_score"} <= needing <= told


def test_a_generator_that_gives_nan_is_told_so():
    rng = np.random.default_rng(4)
    real, train = (Sample(rng.normal(size=(30, 4))) for _ in range(2))
    fake = Sample(np.full((20, 4), np.nan))
    scores, warnings = score_sides(
        real=real, fake=fake, train=train, metrics=DISTANCES, extractor="x", reference_digest="y"
    )
    assert scores == {}
    assert all("20 of 20 generated pictures are not finite numbers" in line for line in warnings)


def test_an_unknown_metric_is_an_error_with_the_nearest_name():
    with pytest.raises(ConfigError, match="did you mean 'kid'"):
        score((5, 5, 5), ["kdi"])


# Metrics of other packages


@pytest.fixture
def foreign_metric(tmp_path, monkeypatch):
    """A package on the path whose metric has the three names that the contract asks for, and no more."""
    (tmp_path / "brightness_metric.py").write_text(
        "HIGHER_IS_BETTER = False\n"
        "NEEDS = ('images',)\n"
        "def score(*, real, fake):\n"
        "    return {'brightness': abs(float(real.images.mean()) - float(fake.images.mean()))}\n"
    )
    about = tmp_path / "brightness_metric-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: brightness-metric\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[figment.metrics]\nbrightness = brightness_metric\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins.forget()
    yield "brightness"
    monkeypatch.undo()
    plugins.forget()


def test_a_metric_of_another_package_that_gives_nan_is_left_out(foreign_metric):
    black = Sample(np.zeros((5, 1)), images=np.zeros((5, 1, 2, 2)))
    broken = Sample(np.zeros((5, 1)), images=np.full((5, 1, 2, 2), np.nan))
    names = {"metrics": [foreign_metric], "extractor": "x", "reference_digest": "y"}
    scores, warnings = score_sides(real=black, fake=broken, train=black, **names)
    assert scores == {}
    assert warnings == ["brightness is left out: brightness or its interval is not a finite number for these pictures"]


def test_a_metric_of_another_package_gets_an_interval_too(foreign_metric):
    rng = np.random.default_rng(5)
    real, fake, train = (
        Sample(np.zeros((100, 1)), images=rng.integers(low, low + 50, size=(100, 1, 2, 2), dtype=np.uint8))
        for low in (0, 100, 0)
    )
    names = {"metrics": [foreign_metric], "extractor": "x", "reference_digest": "y"}
    brightness = score_sides(real=real, fake=fake, train=train, **names)[0]["brightness"]
    assert brightness.low < 100 < brightness.high
    assert brightness.high - brightness.low < 10
    assert brightness.floor < 5
    assert brightness.protocol == "8-bit pictures; 95% basic bootstrap, 200 draws"


# The passport


def test_ceilings_are_scores_of_noise():
    rng = np.random.default_rng(6)
    real, fake, train = (sample(80, rng) for _ in range(3))
    noise = sample(80, rng, shift=9.0)
    names = {"metrics": ["fd", "precision_recall"], "extractor": "x", "reference_digest": "y"}
    scores, _ = score_sides(real=real, fake=fake, train=train, noise=noise, **names)
    expected = fd.score(real=real, fake=noise)["fd"]
    assert scores["fd"].ceiling == pytest.approx(expected) and expected > 100 * scores["fd"].value
    assert scores["precision"].ceiling == 0
    assert score_sides(real=real, fake=fake, train=train, **names)[0]["fd"].ceiling is None


def test_without_training_pictures_there_is_no_floor_and_nothing_is_said_to_be_copied():
    rng = np.random.default_rng(7)
    names = {"metrics": ["kid", "nearest"], "extractor": "x", "reference_digest": "y"}
    scores, warnings = score_sides(real=sample(50, rng), fake=sample(50, rng), **names)
    assert scores.keys() == {"kid"} and scores["kid"].floor is None
    assert len(warnings) == 1 and warnings[0].startswith("nearest is left out: it compares with training pictures")


@pytest.mark.parametrize(
    ("extractor", "name"), [("inception 67268, pool3", "FID"), ("judge classifier 12, penultimate", "fd")]
)
def test_a_distance_is_called_fid_in_the_features_of_inception_alone(extractor, name):
    rng = np.random.default_rng(8)
    names = {"metrics": ["fd"], "extractor": extractor, "reference_digest": "y"}
    scores, warnings = score_sides(real=sample(50, rng), fake=sample(50, rng), **names)
    assert list(scores) == [name] and scores[name].passport["metric"] == name
    assert any(line.startswith("FID: of 50 pictures") for line in warnings) == (name == "FID")


def test_fewer_pictures_than_features_are_mentioned():
    rng = np.random.default_rng(9)
    names = {"metrics": ["fd"], "extractor": "x", "reference_digest": "y", "draws": 5}
    wide, narrow = (
        score_sides(real=sample(30, rng, width=width), fake=sample(30, rng, width=width), **names)[1]
        for width in (40, 4)
    )
    assert any("30 pictures are no more than the 40 features" in line for line in wide)
    assert not any("features" in line for line in narrow)


def test_a_passport_says_all_that_a_number_depends_on():
    passport = score((60, 80, 100), ["kid"], facts={"resize": "tf1", "extractor_digest": "ab"})[0]["kid"].passport
    told = {"metric": "kid", "num_real": 60, "num_fake": 80, "seed": 0, "resize": "tf1", "reference_digest": "ffee"}
    assert told.items() <= passport.items()
    assert {"figment", "torch", "numpy", "definition", "extractor", "hash"} <= passport.keys()


@pytest.mark.parametrize("field", RANKED_BY)
def test_two_passports_differ_in_hash_and_by_name_where_one_decisive_field_does(field):
    facts = {name: name for name in RANKED_BY} | {"seed": 0}
    first, second = issued(facts), issued(facts | {field: "other"})
    assert first["hash"] != second["hash"]
    assert difference(first, second) == f"{field}: {field} and other"


def test_seeds_and_versions_may_differ():
    facts = dict.fromkeys(RANKED_BY, "same")
    first, second = issued(facts | {"seed": 0}), issued(facts | {"seed": 1}) | {"torch": "9.9"}
    assert first["hash"] == second["hash"] and difference(first, second) is None
