"""Proposed labels: by a judge that saw only what people labelled; honest, marked, never of held-out pictures."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from figment.core.errors import DataError
from figment.data.build import build
from figment.data.store import Store
from figment.evaluate import judge, proposing
from figment.evaluate.proposing import Labelled, Proposals, label_first, probabilities, temperature
from tests.commands import done, figment
from tests.pictures import classes, write_folder

KNOWN = 150  # training digits that keep their labels


def truth_of(store: Store) -> dict[str, str]:
    return dict(zip(store.keys("train"), (store.spec.classes[label] for label in store.labels("train")), strict=True))


@pytest.fixture
def partly(digits, tmp_path) -> tuple[Store, dict[str, str]]:
    """The digits with labels on a tenth of the training pictures, and what the others' labels were."""
    shutil.copytree(digits.path, tmp_path / "digits", ignore=shutil.ignore_patterns("judges"))
    store = Store(tmp_path / "digits")
    truth = truth_of(store)
    store.relabel(dict.fromkeys(list(truth)[KNOWN:]))
    return store, truth


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(judge, "LEAST_IMAGES", 0)
    monkeypatch.setattr(judge, "MOST_IMAGES", 5_000)


def test_the_sure_are_right_and_are_marked(partly, quick):
    store, truth = partly
    answer = done("data", "propose", store.path, "--accept", 0.95, "--num", 5, "--json").json
    store = Store(store.path)
    labels, proposed, keys = store.labels("train"), store.proposed("train"), store.keys("train")
    assert answer["unlabelled"] == len(keys) - KNOWN and answer["accepted"] == proposed.sum() > 0.3 * len(keys)
    given = [(store.spec.classes[labels[row]], truth[keys[row]]) for row in np.flatnonzero(proposed)]
    assert np.mean([one == other for one, other in given]) > 0.95
    assert answer["held_out"]["num"] == store.counts["val"] and answer["held_out"]["accuracy"] > 0.85
    assert not proposed[:KNOWN].any() and (labels[:KNOWN] >= 0).all()
    first = answer["label_first"]
    doubtful = {keys[row] for row in np.flatnonzero(labels < 0)}
    assert len({one["key"] for one in first}) == 5 and {one["key"] for one in first} <= doubtful
    with store.index() as index:
        marks = [
            float(mark) for (mark,) in index.query("select json_extract(origin, '$.proposed') from images") if mark
        ]
        noted = index.value("select count(*) from images where json_extract(origin, '$.margin') is not null")
    assert len(marks) == answer["accepted"] and min(marks) >= 0.95 and noted == answer["unlabelled"]


def test_a_judge_learns_nothing_from_its_own_proposals(partly):
    store, truth = partly
    known = Labelled(store)
    digest, counts = known.label_digest, known.counts
    wrong = dict.fromkeys(list(truth)[KNOWN : KNOWN + 50], "0")
    store.relabel(wrong, dict.fromkeys(wrong, 0.99))
    again = Labelled(Store(store.path))
    assert (again.counts, again.label_digest) == (counts, digest) and counts["train"] == KNOWN
    assert again.images("train").shape == (KNOWN, 8, 8, 1) and len(again.keys("train")) == KNOWN
    assert np.array_equal(again.images("train"), store.images("train")[:KNOWN])
    assert np.array_equal(again.images("val"), store.images("val")) and again.counts["val"] == store.counts["val"]


def test_what_was_proposed_is_judged_anew_and_a_persons_word_stays(partly):
    store, truth = partly
    first, second, third = list(truth)[KNOWN : KNOWN + 3]
    store.relabel({first: "1", second: "2"}, {first: 0.99, second: 0.99})
    store.relabel({second: "7"})  # a person has looked
    assert store.proposed("train")[KNOWN : KNOWN + 2].tolist() == [True, False]
    made = proposals([0.3, 0.97], keys=[first, third], before=[True, False])
    assert proposing.accept(store, made, 0.95) == 1
    labels = dict(zip(store.keys("train"), store.labels("train").tolist(), strict=True))
    assert [labels[key] for key in (first, second, third)] == [-1, 7, 0]


def proposals(confidence, *, keys=None, before=None, features=None) -> Proposals:
    confidence = np.array(confidence)
    number = len(confidence)
    return Proposals(
        keys=keys or [str(row) for row in range(number)],
        labels=np.zeros(number, int),
        second=np.ones(number, int),
        confidence=confidence,
        margin=2 * confidence - 1,
        features=np.zeros((number, 2)) if features is None else features,
        before=np.array(before or [False] * number),
        checked=0,
        accuracy=None,
    )


def test_doubtful_pictures_are_chosen_that_are_unlike_each_other():
    """Three heaps of doubtful pictures, and a sure one far away: one of each heap comes first."""
    rng = np.random.default_rng(0)
    heaps = np.repeat([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]], 8, axis=0) + 0.1 * rng.normal(size=(24, 2))
    made = proposals(
        [*rng.uniform(0.5, 0.55, 24), *[0.995] * 30], features=np.concatenate([heaps, np.full((30, 2), 99.0)])
    )
    chosen = label_first(made, 3)
    assert chosen[0] == made.margin.argmin() and sorted(chosen // 8) == [0, 1, 2]
    assert len(set(label_first(proposals([0.6] * 4), 9).tolist())) == 4


def test_the_temperature_makes_certainty_honest():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 5)) * 2
    shares = probabilities(logits)
    truth = np.array([rng.choice(5, p=row) for row in shares])
    assert temperature(logits, truth) == pytest.approx(1, abs=0.08)
    assert temperature(3 * logits, truth) == pytest.approx(3, rel=0.08)
    sure = np.eye(5)[truth[:50]] * 30  # all right, and few
    assert probabilities(sure / temperature(sure, truth[:50])).max() < 0.99


def test_what_cannot_be_proposed_is_said(tmp_path, digits):
    store = build([str(write_folder(tmp_path / "pictures", classes(8, ("cat",))))], tmp_path / "data")
    said = figment("data", "propose", store.path).complaint
    assert said.startswith(f"{store.path}: has 0 labelled classes, and a judge needs two; label some pictures")
    with pytest.raises(DataError, match="every training picture has a label"):
        proposing.propose(digits, progress=lambda *_: None, warn=print, stopping=lambda: False)
    assert figment("data", "propose", digits.path, "--accept", 1.5).complaint == (
        "--accept 1.5: give a number between 0 and 1"
    )
