"""Metrics that ask the judge: inception score and accuracy."""

import numpy as np
import pytest

from figment.core.errors import DataError
from figment.core.types import Sample
from figment.metrics import accuracy, inception_score

CERTAIN = 800.0


def sample(logits, labels=None):
    logits = np.asarray(logits, dtype=np.float32)
    return Sample(np.zeros((len(logits), 1)), logits=logits, labels=None if labels is None else np.array(labels))


def inception(logits):
    return inception_score.score(real=sample(logits), fake=sample(logits))["inception_score"]


def test_one_answer_for_all_scores_1():
    assert inception(np.zeros((7, 5))) == pytest.approx(1, rel=1e-12)
    assert inception(np.repeat([[3.0, 1.0, -2.0]], 4, axis=0)) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("num_classes", [2, 10])
def test_certain_and_balanced_scores_the_number_of_classes(num_classes):
    """Probabilities that underflow to 0 must not become 0 times infinity."""
    logits = CERTAIN * np.tile(np.eye(num_classes), (3, 1))
    assert inception(logits) == pytest.approx(num_classes, rel=1e-12)


def test_a_class_that_is_never_seen_counts_for_nothing():
    logits = CERTAIN * np.eye(3)[[0, 1, 0, 1]]
    assert inception(logits) == pytest.approx(2, rel=1e-12)


def test_two_rows_by_hand():
    logits = np.log([[0.9, 0.1], [0.1, 0.9]])
    assert inception_score.split_scores(logits, 1)[0] == pytest.approx(1.4449348111684153, rel=1e-12)


def test_parts_are_contiguous_and_each_have_their_own_mean():
    logits = CERTAIN * np.eye(2)[[0, 0, 0, 1, 1, 1]]
    np.testing.assert_allclose(inception_score.split_scores(logits, 2), [1, 1], rtol=1e-12)
    np.testing.assert_allclose(inception_score.split_scores(logits, 1), [2], rtol=1e-12)
    assert len(inception_score.split_scores(np.zeros((7, 3)), 3)) == 3


def test_more_parts_than_pictures_are_refused():
    with pytest.raises(DataError, match="3 pictures cannot be cut into 4 parts"):
        inception_score.split_scores(np.zeros((3, 2)), 4)


def test_adding_a_constant_to_a_row_changes_nothing():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(50, 6))
    shifted = logits + rng.normal(size=(50, 1)) * 100
    np.testing.assert_allclose(
        inception_score.split_scores(shifted, 1), inception_score.split_scores(logits, 1), rtol=1e-9
    )


@pytest.mark.filterwarnings("ignore")  # the oracle warns of its buffer and of a deviation over one part
def test_agrees_with_torchmetrics():
    oracle = pytest.importorskip("torchmetrics.image.inception")
    torch = pytest.importorskip("torch")
    logits = np.random.default_rng(1).normal(size=(64, 10)) * 3
    metric = oracle.InceptionScore(feature=torch.nn.Identity(), splits=1)
    metric.update(torch.from_numpy(logits))
    assert inception_score.split_scores(logits, 1)[0] == pytest.approx(float(metric.compute()[0]), rel=1e-9)


@pytest.mark.parametrize("metric", [inception_score, accuracy])
@pytest.mark.parametrize("logits", [None, np.zeros((4, 1)), np.zeros((0, 5))], ids=["none", "one class", "no rows"])
def test_without_a_judge_of_classes_they_are_refused(metric, logits):
    fake = Sample(np.zeros((4 if logits is None else len(logits), 2)), logits=logits, labels=np.zeros(4, dtype=int))
    with pytest.raises(DataError, match="a judge that tells at least two classes apart"):
        metric.score(real=fake, fake=fake)


def test_broken_logits_are_refused_with_their_number():
    logits = np.zeros((4, 3))
    logits[1:3, 0] = np.nan
    with pytest.raises(DataError, match="logits of 2 of 4 generated pictures are not finite"):
        inception(logits)


def judged(logits, labels):
    return accuracy.score(real=sample(logits, labels), fake=sample(logits, labels))["accuracy"]


def test_accuracy_counts_agreement():
    assert judged(np.eye(4), [0, 1, 2, 3]) == 1
    assert judged(np.eye(4), [1, 2, 3, 0]) == 0
    assert judged(np.eye(4), [0, 1, 2, 0]) == 0.75


def test_pictures_without_a_label_are_not_counted():
    assert judged(np.eye(4), [0, -1, -1, 0]) == 0.5


@pytest.mark.parametrize("labels", [None, [-1, -1]])
def test_accuracy_without_labels_is_refused(labels):
    with pytest.raises(DataError, match="asked for by label, and there is none"):
        judged(np.eye(2), labels)


def test_a_label_that_the_judge_does_not_know_is_named():
    with pytest.raises(DataError, match="label 7 was asked for of a judge of 3 classes"):
        judged(np.eye(3), [0, 7, 1])
