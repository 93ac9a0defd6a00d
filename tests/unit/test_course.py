"""How a training goes, and what fits into its time."""

from __future__ import annotations

import pytest

from figment.core.config import TrainConfig
from figment.train.course import Course, Overfitting
from figment.train.pace import Pace


def test_the_best_of_what_decides_is_remembered_and_stalls_are_counted():
    course = Course("score")
    for step, score in ((10, 5.0), (20, 3.0), (30, 4.0), (40, 3.0)):
        course.scored(step, score)
        course.trained(1.0)
        course.validated(step, step)  # a loss that only rises must not matter
    assert (course.best_step, course.stalled) == (20, 2)
    assert Course("loss").best_step == 0


def test_overfitting_is_told_once_and_only_where_training_loss_falls():
    told = []
    for falling in (True, False):
        course = Course("loss")
        for step, loss in enumerate([1.0, 1.1, 1.2, 1.3, 1.4], 1):
            course.trained(1.0 / step if falling else 1.0 * step)
            told.append(course.validated(step, loss))
    assert [one for one in told if one] == [Overfitting(since=1, best=1.0, loss=1.3)]


def test_the_state_survives_json_and_goes_on():
    import json

    first, second = Course("loss"), Course("loss")
    first.trained(2.0)
    first.validated(5, 1.0)
    second.state = json.loads(json.dumps(first.state))
    second.validated(10, 2.0)
    assert (second.best_step, second.stalled) == (5, 1)


@pytest.mark.parametrize(
    ("score", "expected"),
    [(0.0, 100), (1.0, 100), (2.0, 200), (10.0, 900)],  # a step takes 0.1 s; a tenth of the time may go into scores
)
def test_scores_keep_to_their_share_of_the_time(score, expected):
    pace = Pace(step=0.1, validation=0, samples=0, score=score)
    train = TrainConfig(score_every=100, score_share=0.1)
    every = pace.score_every(train)
    assert every == expected
    assert score / (every * pace.step + score) <= 0.1 + 1e-9


def test_the_work_around_a_step_is_part_of_its_time():
    pace = Pace(step=0.1, validation=2.0, samples=3.0, score=4.0)
    train = TrainConfig(validate_every=20, sample_every=0)
    assert pace.per_step(train, 40) == pytest.approx(0.1 + 2.0 / 20 + 4.0 / 40)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.5, 5), (1.0, 10), (1.2, 11), (5.0, 30), (9.0, 40)],  # 10 steps of 0.1 s, 20 of 0.2 s, then of 0.4 s
)
def test_steps_that_fit_are_counted_stage_by_stage(seconds, expected):
    pace = Pace(step=0.4, validation=0, samples=0, score=0, earlier=((40, 0.1), (118, 0.2)))
    assert pace.steps_within(seconds + 1e-9, TrainConfig(batch_size=4), 0) == expected
