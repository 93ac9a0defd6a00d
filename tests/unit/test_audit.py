"""The audit: closed forms of its figures, a model that was made to remember, and one that cannot."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import nn

from figment.core.checkpoint import LoadedModel
from figment.core.errors import CapabilityError
from figment.data.batches import Batches
from figment.evaluate import membership
from figment.evaluate.membership import audit, chance_of, known, measured, signal_of
from tests.commands import QUICK, done, figment


def test_two_gaussians_are_told_apart_as_often_as_theory_says():
    rng = np.random.default_rng(1)
    result = measured("test", rng.normal(-1.0, 1, 20_000), rng.normal(0.0, 1, 20_000))
    normal = NormalDist()
    assert result.auc == pytest.approx(normal.cdf(1 / np.sqrt(2)), abs=0.01)
    for one in result.caught:
        expected = normal.cdf(normal.inv_cdf(one.false_positives) + 1)
        assert one.low <= expected <= one.high
        assert one.is_more_than_chance
    assert result.leaks


def test_equal_distributions_give_nothing_away():
    rng = np.random.default_rng(2)
    results = [measured("test", rng.normal(size=500), rng.normal(size=500)) for _ in range(40)]
    assert np.mean([result.auc for result in results]) == pytest.approx(0.5, abs=0.02)
    assert sum(result.auc_low > 0.5 for result in results) <= 5


@pytest.mark.parametrize("count", [100, 1000])
def test_a_model_that_knows_nothing_is_hardly_ever_accused(monkeypatch, count):
    """Once in forty audits: of 100 more than 8 are so with a probability of 0.1%."""
    monkeypatch.setattr(membership, "RESAMPLES", 2)  # they make the interval of auc, which decides nothing
    rng = np.random.default_rng(3)
    accused = sum(measured("test", rng.normal(size=count), rng.normal(size=count)).leaks for _ in range(100))
    assert accused <= 8


def test_a_few_pictures_that_are_known_by_heart_are_found():
    """15 of 1,000: the mean does not show it, the line does."""
    rng = np.random.default_rng(4)
    members, others = rng.normal(size=1000), rng.normal(size=1000)
    members[:15] -= 10
    result = measured("test", members, others)
    assert result.auc_p > membership.CHANCE and result.auc_low < 0.5
    assert all(one.is_more_than_chance for one in result.caught) and result.leaks


def test_what_chance_explains_by_hand():
    """Three members and three others in a shuffled row."""
    assert chance_of(0, 3, 0, 3) == 1
    assert chance_of(1, 3, 0, 3) == pytest.approx(1 / 2)
    assert chance_of(3, 3, 0, 3) == pytest.approx(1 / 20)  # all three first
    assert chance_of(3, 3, 1, 3) == pytest.approx(4 / 20)  # the one other that may come before is in any of four places


@pytest.mark.parametrize("shift", [0, 1])
def test_the_interval_of_a_share_allows_for_the_line(monkeypatch, shift):
    """Of 60 true 95% intervals fewer than 50 hold the truth once in 5,000 times."""
    monkeypatch.setattr(membership, "RESAMPLES", 2)
    rng, normal, held = np.random.default_rng(5), NormalDist(), np.zeros(2)
    for _ in range(60):
        caught = measured("test", rng.normal(-shift, 1, 300), rng.normal(size=300)).caught
        truths = [normal.cdf(normal.inv_cdf(one.false_positives) + shift) for one in caught]
        held += [one.low <= truth <= one.high for one, truth in zip(caught, truths, strict=True)]
        assert all(one.low <= one.value <= one.high for one in caught)
        assert caught[0].low == 0  # of 300 unseen pictures none need lie below the line of one in a thousand
    assert held.min() >= 50


def test_all_found_and_none_found_have_intervals_too():
    none, all_of_them = (
        measured("test", np.ones(1000), np.zeros(1000)),
        measured("test", -np.ones(1000), np.zeros(1000)),
    )
    assert [(one.low, one.value) for one in none.caught] == [(0, 0)] * 2 and not none.leaks
    assert [(one.value, one.high) for one in all_of_them.caught] == [(1, 1)] * 2 and all_of_them.leaks
    assert none.caught[1].high < 0.01 and all_of_them.caught[1].low > 0.99


def test_ties_count_half_and_accuse_nobody():
    result = measured("test", np.zeros(60), np.zeros(60))
    assert result.auc == 0.5
    assert result.auc_p == 1 and not result.leaks


class Remembers(nn.Module):
    """A denoiser that gives back the nearest picture it has kept, else grey."""

    sigma_min, sigma_max = 0.01, 80.0

    def __init__(self, kept: torch.Tensor):
        super().__init__()
        self.kept = kept.flatten(1)

    def denoise(self, noisy, sigma, condition=None):
        return self.kept[torch.cdist(noisy.flatten(1), self.kept).argmin(1)].view_as(noisy)


def loaded(model: nn.Module, store) -> LoadedModel:
    return LoadedModel(model, "remembers", None, store.spec, "", {})


def test_a_model_that_kept_its_training_pictures_is_found_out(digits):
    train = Batches(digits, "train", 1)
    model = Remembers(train.take(np.arange(len(train))).images)
    result = audit(loaded(model, digits), digits, 150, seed=0)
    assert result.leaks and result.auc > 0.95 and result.caught[1].value > 0.5
    assert len(result.most_exposed) == 32


def test_a_model_that_knows_nothing_gives_nothing_away(digits):
    result = audit(loaded(Remembers(torch.zeros(1, 64)), digits), digits, 150, seed=0)
    assert result.auc_low < 0.5 < result.auc_high and not result.leaks


def test_how_well_a_picture_is_known_depends_on_that_picture_alone(digits):
    train = Batches(digits, "train", 1)
    model = loaded(Remembers(train.take(np.arange(20)).images), digits)
    name, signal = signal_of(model)
    together = known(model.model, signal, train, np.arange(10), 0)
    assert name == "denoising error" and np.allclose(together[3], known(model.model, signal, train, np.array([3]), 0))


@pytest.mark.parametrize(
    ("family", "signal"),
    [
        ("flow", "denoising error"),
        ("vae", "bits per dimension"),
        ("vqvae", "reconstruction error"),
        ("classifier", "cross-entropy"),
    ],
)
def test_the_verb_audits_what_can_be_asked_of_a_picture(tmp_path, digits, family, signal):
    done("train", family, "--data", digits.path, "--out", tmp_path / "run", "--steps", 3, *QUICK)
    answer = done("audit", tmp_path / "run", "--num", 60, "--json").json
    assert answer["signal"] == signal and answer["num_train"] == answer["num_unseen"] == 60
    assert 0 <= answer["auc_low"] <= answer["auc"] <= answer["auc_high"] <= 1
    assert all(0 <= p <= 1 for p in (answer["auc_p"], *(one["p"] for one in answer["caught"])))


def test_a_family_that_only_draws_is_refused(tmp_path, digits):
    done("train", "gan", "--data", digits.path, "--out", tmp_path / "run", "--steps", 2, *QUICK)
    assert "says nothing of a given picture" in figment("audit", tmp_path / "run").complaint
    with pytest.raises(CapabilityError):
        signal_of(loaded(nn.Identity(), digits))
