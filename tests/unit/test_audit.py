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
from figment.evaluate.membership import audit, known, measured, signal_of
from tests.commands import QUICK, done, figment


def test_two_gaussians_are_told_apart_as_often_as_theory_says():
    rng = np.random.default_rng(1)
    result = measured("test", rng.normal(-1.0, 1, 20_000), rng.normal(0.0, 1, 20_000))
    normal = NormalDist()
    assert result.auc == pytest.approx(normal.cdf(1 / np.sqrt(2)), abs=0.01)
    for one in result.caught:
        expected = normal.cdf(normal.inv_cdf(one.false_positives) + 1)
        assert one.low * 0.8 <= expected <= one.high * 1.25
    assert result.leaks


def test_equal_distributions_give_nothing_away():
    rng = np.random.default_rng(2)
    results = [measured("test", rng.normal(size=500), rng.normal(size=500)) for _ in range(40)]
    assert np.mean([result.auc for result in results]) == pytest.approx(0.5, abs=0.02)
    assert sum(result.auc_low > 0.5 for result in results) <= 5


def test_ties_count_half():
    assert measured("test", np.zeros(60), np.zeros(60)).auc == 0.5


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
    assert result.auc_low < 0.5 < result.auc_high


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


def test_a_family_that_only_draws_is_refused(tmp_path, digits):
    done("train", "gan", "--data", digits.path, "--out", tmp_path / "run", "--steps", 2, *QUICK)
    assert "says nothing of a given picture" in figment("audit", tmp_path / "run").complaint
    with pytest.raises(CapabilityError):
        signal_of(loaded(nn.Identity(), digits))
