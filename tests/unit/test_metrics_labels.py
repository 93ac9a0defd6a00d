"""Metrics of labels: classifier accuracy score, diversity within classes, calibration."""

import numpy as np
import pytest

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.evaluate.classification import classification
from figment.metrics import calibration, class_diversity, classifier_accuracy

# Classifier accuracy score


def classes(count, rng, *, labels=3, width=5):
    """Well apart, each about a point of its own."""
    label = np.arange(count) % labels
    return Sample(6 * np.eye(width)[label] + rng.normal(size=(count, width)), labels=label)


def relabelled(sample, labels):
    return Sample(sample.features, labels=labels)


def test_what_a_real_class_looks_like_can_be_learned_from_good_pictures():
    rng = np.random.default_rng(0)
    assert classifier_accuracy.score(real=classes(90, rng), fake=classes(60, rng)) == {"cas": 1, "cas_reverse": 1}


def test_swapped_labels_are_learned_wrong():
    rng = np.random.default_rng(1)
    real, fake = classes(90, rng), classes(60, rng)
    scores = classifier_accuracy.score(real=real, fake=relabelled(fake, (fake.labels + 1) % 3))
    assert scores == {"cas": 0, "cas_reverse": 0}


def test_a_class_that_is_never_drawn_is_never_learned():
    rng = np.random.default_rng(2)
    real, fake = classes(90, rng), classes(60, rng)
    scores = classifier_accuracy.score(real=real, fake=fake[fake.labels < 2])
    assert scores == {"cas": pytest.approx(2 / 3), "cas_reverse": 1}


def test_one_perfect_picture_a_class_passes_the_reverse_only():
    """Real classes are two long parallel lines; each fake class sits in one place of its line."""
    rng = np.random.default_rng(3)
    label = np.arange(200) % 2
    side = np.where(label == 1, 1.0, -1.0)
    along = rng.uniform(-9, 9, size=200)
    real = Sample(np.stack([along, along + side], axis=1), labels=label)
    fake = Sample(np.stack([6 * side, 7 * side], axis=1) + 0.01 * rng.normal(size=(200, 2)), labels=label)
    scores = classifier_accuracy.score(real=real, fake=fake)
    assert scores["cas"] < 0.65
    assert scores["cas_reverse"] == 1


def test_pictures_without_a_label_take_no_part():
    rng = np.random.default_rng(4)
    real, fake = classes(90, rng), classes(60, rng)
    labels = np.where(np.arange(60) < 30, -1, fake.labels)
    items = classifier_accuracy.items(real=real, fake=relabelled(fake, labels))
    assert [len(items[name]) for name in ("cas", "cas_reverse")] == [90, 30]


@pytest.mark.parametrize("labels", [None, np.full(60, -1), np.zeros(60, dtype=int)])
def test_fewer_than_two_classes_are_refused(labels):
    rng = np.random.default_rng(5)
    real, fake = classes(90, rng), classes(60, rng)
    with pytest.raises(DataError, match="needs generated pictures with labels of at least two classes"):
        classifier_accuracy.score(real=real, fake=relabelled(fake, labels))
    with pytest.raises(DataError, match="needs real pictures with labels of at least two classes"):
        classifier_accuracy.score(real=relabelled(fake, labels), fake=real)


# Diversity within classes


def line(points, labels):
    return Sample(np.array(points, dtype=float)[:, None], labels=np.array(labels))


def diversity(real, fake):
    return class_diversity.score(real=real, fake=fake)["class_diversity"]


def test_diversity_by_hand():
    """Class 0: pairs of 0, 3, 6 are 4 apart on average, of 1, 3 they are 2. Class 1: 10 and 30."""
    real = line([0, 3, 6, 50, 60, -9], [0, 0, 0, 1, 1, -1])
    fake = line([1, 3, 0, 30, 7], [0, 0, 1, 1, 2])
    assert list(class_diversity.by_class(real=real, fake=fake)) == pytest.approx([0.5, 3])
    assert diversity(real, fake) == pytest.approx(1.75)


def test_one_picture_a_class_has_no_diversity_and_distance_between_classes_adds_none():
    rng = np.random.default_rng(6)
    real = classes(60, rng)
    assert diversity(real, Sample(1e3 * np.eye(5)[real.labels], labels=real.labels)) == 0
    assert diversity(real, real) == pytest.approx(1)
    assert diversity(real, Sample(real.features + 1e3 * np.eye(5)[real.labels], labels=real.labels)) == pytest.approx(1)


def test_resamples_spread_as_fresh_samples_do():
    rng = np.random.default_rng(7)

    def draw():
        return {"real": classes(60, rng), "fake": classes(45, rng)}

    fresh = [diversity(**draw()) for _ in range(300)]
    spreads = [class_diversity.resamples(**draw(), rng=rng, draws=200)["class_diversity"][1].std() for _ in range(20)]
    assert np.mean(spreads) == pytest.approx(np.std(fresh), rel=0.15)


def test_diversity_without_two_of_a_class_or_without_variety_to_compare_with_is_refused():
    with pytest.raises(DataError, match="a class with two labelled pictures or more"):
        diversity(line([0, 1], [0, 1]), line([0, 1], [0, 1]))
    with pytest.raises(DataError, match="a class with two labelled pictures or more"):
        diversity(line([0, 1], [0, 0]), Sample(np.zeros((2, 1))))
    with pytest.raises(DataError, match="all those of a class are equal"):
        diversity(line([4, 4], [0, 0]), line([0, 1], [0, 0]))


# Calibration


def judged(probabilities, labels):
    logits = np.log(np.array(probabilities))
    return Sample(np.zeros((len(logits), 1)), logits=logits, labels=np.array(labels))


def error(sample):
    return calibration.score(real=sample, fake=sample)["calibration_error"]


def test_calibration_by_hand():
    """Three at 0.75, two of them right; two at 0.95, none right; one without a label."""
    rows = [[0.75, 0.25]] * 3 + [[0.05, 0.95]] * 2 + [[0.9, 0.1]]
    sample = judged(rows, [0, 0, 1, 0, 0, -1])
    assert error(sample) == pytest.approx((3 * abs(0.75 - 2 / 3) + 2 * 0.95) / 5)


def test_certainty_that_is_right_and_doubt_that_is_half_right_are_calibrated():
    assert error(judged([[1 - 1e-12, 1e-12]] * 4, [0] * 4)) == pytest.approx(0, abs=1e-9)
    assert error(judged([[0.5 + 1e-12, 0.5 - 1e-12]] * 4, [0, 1, 1, 0])) == pytest.approx(0, abs=1e-9)


def random_judgements(count, seed=8):
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(count, 5))
    return Sample(np.zeros((count, 1)), logits=logits, labels=rng.integers(5, size=count))


@pytest.mark.filterwarnings("ignore")
def test_calibration_agrees_with_torchmetrics():
    oracle = pytest.importorskip("torchmetrics.functional.classification")
    torch = pytest.importorskip("torch")
    sample = random_judgements(400)
    probabilities, labels = torch.from_numpy(sample.logits).softmax(1), torch.from_numpy(sample.labels)
    expected = oracle.multiclass_calibration_error(probabilities, labels, num_classes=5, n_bins=10, norm="l1")
    assert error(sample) == pytest.approx(float(expected), rel=1e-5)


def test_a_classifier_run_is_judged_by_the_same_formula():
    sample = random_judgements(200)
    report = classification(sample.logits, sample.labels, tuple("abcde"))
    assert report["calibration_error"] == pytest.approx(error(sample), rel=1e-12)


def test_resamples_are_scores_of_pictures_drawn_again():
    sample = random_judgements(150)
    value, drawn = calibration.resamples(real=sample, fake=sample, rng=np.random.default_rng(9), draws=400)[
        "calibration_error"
    ]
    rng = np.random.default_rng(10)
    again = [error(sample[rng.integers(150, size=150)]) for _ in range(400)]
    assert value == error(sample)
    assert np.mean(drawn) == pytest.approx(np.mean(again), abs=0.01)
    assert np.std(drawn) == pytest.approx(np.std(again), rel=0.2)


@pytest.mark.parametrize(
    ("labels", "message"),
    [(None, "and there is none"), ([-1, -1], "and there is none"), ([0, 7], "label 7 was asked for of a judge of 2")],
)
def test_calibration_without_usable_labels_is_refused(labels, message):
    sample = judged([[0.5, 0.5]] * 2, [0, 0])
    with pytest.raises(DataError, match=message):
        error(relabelled_judgements(sample, labels))


def relabelled_judgements(sample, labels):
    return Sample(sample.features, logits=sample.logits, labels=None if labels is None else np.array(labels))
