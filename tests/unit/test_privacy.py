"""Differential privacy: gradients of single pictures, clipping, noise, coins, what is stated and what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import binom, kstest, norm

from figment.core import plugins
from figment.core.checkpoint import load_model
from figment.core.config import Augment, Privacy, TrainConfig
from figment.core.engine import Engine
from figment.core.errors import ConfigError
from figment.core.types import Batch, Condition, ImageSpec
from figment.data.batches import Batches
from figment.families import autoencoder, classifier, dcgan, flow, vae
from figment.testing import tiny_settings
from figment.train import private
from figment.train.accountant import noise_multiplier, spent_epsilon
from figment.train.fit import begun_objective, fit
from figment.train.gradients import total
from figment.train.private import PoissonBatches, Private, chosen, normal, with_noise
from figment.train.run import SECRET, DataPin, RunConfig, open_run
from figment.train.slices import Slice
from figment.train.trainer import Trainer
from tests.commands import QUICK, done, figment, trained
from tests.doubles import MeanObjective

SPEC = ImageSpec(1, 8, 8, classes=("a", "b", "c"))
PRIVACY = Privacy(epsilon=3.0, clip=0.5)
KEY = bytes(range(32))


def pictures(count: int) -> Batch:
    chance = torch.Generator().manual_seed(0)
    images = torch.rand(count, 1, 8, 8, generator=chance) * 2 - 1
    return Batch(images, Condition(labels=torch.arange(count) % 3))


def objective_of(name: str) -> Any:
    torch.manual_seed(0)
    if name == "vae":
        return vae.build(vae.Config(width=16, latents=4, likelihood="logistic", condition_dropout=0.0), SPEC)
    return classifier.build(classifier.Config(width=8, norm="group"), SPEC)


def private_gradients(objective, batch: Batch, *, clip: float, batch_size: int) -> dict[str, torch.Tensor]:
    train = TrainConfig(batch_size=batch_size, privacy=Privacy(epsilon=1.0, clip=clip))
    gradients = Private(objective, train, 0.0, KEY)
    objective.requires_grad_(True)
    objective.zero_grad(set_to_none=True)
    gradients.add(objective.phases()[0], Slice(0, 1.0, batch), Engine())
    return {name: one.grad for name, one in objective.named_parameters()}


@pytest.mark.parametrize("clip", [1e6, 0.05])
def test_gradients_are_those_of_a_loop_over_single_pictures(clip):
    objective, batch = objective_of("classifier"), pictures(6)
    found = private_gradients(objective, batch, clip=clip, batch_size=10)
    sums = {name: torch.zeros_like(one) for name, one in objective.named_parameters()}
    for row in range(6):
        objective.zero_grad(set_to_none=True)
        total(objective.loss(batch[row : row + 1])).backward()
        size = math.sqrt(sum(float(one.grad.square().sum()) for one in objective.parameters()))
        for name, one in objective.named_parameters():
            sums[name] += one.grad * min(1.0, clip / size) / 10
    for name, one in found.items():
        assert torch.allclose(one, sums[name], atol=1e-6), name


@pytest.mark.parametrize("name", ["classifier", "vae"])
def test_one_picture_moves_the_gradient_by_no_more_than_the_clip(name):
    objective, batch = objective_of(name), pictures(5)
    loud = replace(batch, images=batch.images * 1000)
    for count in (1, 5):
        found = private_gradients(objective, loud[:count], clip=0.25, batch_size=4)
        size = math.sqrt(sum(float(one.square().sum()) for one in found.values()))
        assert 0 < size <= count * 0.25 / 4 * (1 + 1e-5)


def test_a_picture_counts_alike_whoever_is_beside_it_and_in_whatever_slice():
    objective, batch = objective_of("classifier"), pictures(6)
    whole = private_gradients(objective, batch, clip=0.5, batch_size=6)
    halves = [private_gradients(objective, part, clip=0.5, batch_size=6) for part in (batch[:1], batch[1:])]
    for name, one in whole.items():
        assert torch.allclose(one, halves[0][name] + halves[1][name], atol=1e-7)


def test_the_noise_has_the_stated_deviation_and_never_comes_twice():
    train = TrainConfig(batch_size=50, privacy=Privacy(epsilon=1.0, clip=0.5))
    parameter = torch.nn.Parameter(torch.zeros(400, 500))
    Private(MeanObjective(), train, 4.0, KEY).settle([parameter], step=7)
    assert parameter.grad is not None
    found = parameter.grad.flatten().double().numpy()
    assert kstest(found / (4.0 * 0.5 / 50), "norm").pvalue > 1e-3
    drawn = [normal(*place, (1000,)) for place in ((KEY, 0, 0), (KEY, 0, 1), (KEY, 1, 0), (bytes(32), 0, 0))]
    assert np.abs(np.corrcoef(torch.stack(drawn).numpy()) - np.eye(4)).max() < 0.15
    assert torch.equal(drawn[0], normal(KEY, 0, 0, (1000,)))


def test_every_picture_is_drawn_by_a_coin_of_its_own():
    drawn = np.zeros((3000, 40), bool)
    for step in range(len(drawn)):
        drawn[step, chosen(KEY, step, 40, 0.2)] = True
    sizes = np.bincount(drawn.sum(1), minlength=41)
    expected = binom.pmf(np.arange(41), 40, 0.2) * len(drawn)
    common = expected > 20
    chi_squared = ((sizes - expected)[common] ** 2 / expected[common]).sum()
    assert chi_squared < 2.5 * common.sum()
    assert np.abs(drawn.mean(0) - 0.2).max() < 4.5 * math.sqrt(0.16 / len(drawn))
    assert np.abs(np.corrcoef(drawn.T) - np.eye(40)).max() < 0.1


def test_what_a_loss_counts_is_kept_and_what_it_remembers_of_pictures_is_refused():
    objective = objective_of("vae")
    private_gradients(objective, pictures(3), clip=0.5, batch_size=8)
    assert int(objective.seen_images) == 8, "the mean size of a batch, once"
    gaussian = vae.build(vae.Config(width=16, latents=4), SPEC)
    with pytest.raises(ConfigError, match="keeps statistics"):
        private_gradients(gaussian, pictures(3), clip=0.5, batch_size=8)
    assert float(gaussian.model.variance) == 1.0


def test_a_step_may_draw_no_picture_and_still_makes_noise():
    train = TrainConfig(batch_size=1, slices=1, optimizer="sgd", beta1=0.0, ema_half_life=0, privacy=PRIVACY)
    objective = MeanObjective()
    trainer = Trainer(objective, train, steps=1, gradients=Private(objective, train, 1.0, KEY))
    (report,) = trainer.run(lambda step: Batch(torch.zeros(0, 1, 4, 4)))
    assert objective.model.value.item() != 0
    assert report.seen_images == 1, "the mean size of a batch, for the real one tells of the coins"


# What is stated.


def gaussian_delta(epsilon: float, mean: float) -> float:
    """Of one Gaussian mechanism whose two answers lie `mean` deviations apart (Balle and Wang 2018, theorem 8)."""
    return float(norm.cdf(mean / 2 - epsilon / mean) - math.exp(epsilon) * norm.cdf(-mean / 2 - epsilon / mean))


def exact_epsilon(delta_of: Callable[[float], float]) -> float:
    """The epsilon whose delta is 1e-5."""
    root = brentq(lambda epsilon: delta_of(epsilon) - 1e-5, 0, 50)
    assert isinstance(root, float)
    return root


@pytest.mark.parametrize(("noise", "steps"), [(5.0, 1), (10.0, 25), (20.0, 100)])
def test_without_sampling_epsilon_is_that_of_the_closed_form(noise, steps):
    exact = exact_epsilon(lambda epsilon: gaussian_delta(epsilon, math.sqrt(steps) / noise))
    assert exact <= spent_epsilon(noise, 1e-5, 1.0, steps) <= exact + 0.03


@pytest.mark.parametrize(("rate", "noise"), [(0.1, 0.8), (0.5, 1.5)])
def test_epsilon_of_one_sampled_step_covers_both_directions(rate, noise):
    """P: a mixture of N(0, noise) and N(1, noise) for a picture that may be there, Q: N(0, noise) without it."""
    x = np.linspace(-12 * noise, 12 * noise, 400_001)
    q = norm.pdf(x, 0, noise)
    p = (1 - rate) * q + rate * norm.pdf(x, 1, noise)

    def delta(epsilon: float) -> float:
        ways = (np.maximum(a - math.exp(epsilon) * b, 0).sum() for a, b in ((p, q), (q, p)))
        return float(max(ways) * (x[1] - x[0]))

    exact = exact_epsilon(delta)
    assert exact - 1e-4 <= spent_epsilon(noise, 1e-5, rate, 1) <= exact + 0.03


def test_the_noise_found_spends_what_was_asked_for_and_no_more():
    from opacus.accountants import RDPAccountant

    noise = noise_multiplier(2.0, 1e-5, 0.05, 200)
    spent = spent_epsilon(noise, 1e-5, 0.05, 200)
    assert 1.95 < spent <= 2.0
    assert spent_epsilon(noise, 1e-5, 0.05, 100) < 0.8 * spent
    looser = RDPAccountant()
    looser.history = [(noise, 0.05, 200)]
    assert spent < looser.get_epsilon(1e-5) < 1.25 * spent


# Runs.


def asked(store, *, steps: int = 6, module=flow, settings: Any = None, **train: Any) -> RunConfig:
    usual = {"batch_size": 24, "slices": 2, "save_every": 2, "log_every": 1, "sample_every": 0, "validate_every": 0}
    settings = settings or (flow.Config(width=8) if module is flow else module.Config.preset("tiny"))
    return RunConfig(
        family=module.__name__.rpartition(".")[2],
        settings=settings,
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=replace(module.TRAIN, **(usual | {"augment": Augment(crop=1), "privacy": PRIVACY} | train)),
        steps=steps,
        engine=Engine(precision="bfloat16"),
    )


def train(folder: Path, run: RunConfig, store, *, drop_at: int = 0) -> None:
    steps = fit(folder, open_run(folder, run), store, warn=pytest.fail, stopping=lambda: False)
    for report in steps:
        if report.step == drop_at:  # as a kill does
            steps.close()
            return


def test_a_killed_run_goes_on_to_the_last_bit_with_the_noise_of_its_secret(digits, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(private.os, "urandom", lambda count: KEY[:count])
        train(tmp_path / "whole", asked(digits), digits)
        train(tmp_path / "killed", asked(digits), digits, drop_at=5)
    train(tmp_path / "killed", asked(digits), digits)
    assert trained(tmp_path / "killed") == trained(tmp_path / "whole")
    train(tmp_path / "other", asked(digits), digits)
    assert trained(tmp_path / "other") != trained(tmp_path / "whole"), "--seed must not decide the noise"
    assert (tmp_path / "other" / SECRET).stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "other" / SECRET).read_bytes()
    assert all(secret.hex() not in path.read_text() for path in (tmp_path / "other").rglob("*.json*"))


def test_a_fresh_run_has_a_fresh_secret(digits, tmp_path):
    """Two runs with one noise: their difference has none."""
    run = asked(digits, steps=1)
    train(tmp_path, run, digits)
    before = (tmp_path / SECRET).read_bytes()
    for _ in fit(tmp_path, open_run(tmp_path, run, fresh=True), digits, warn=pytest.fail, stopping=bool, fresh=True):
        pass
    assert (tmp_path / SECRET).read_bytes() != before


def test_a_private_run_says_so_everywhere_and_ships_no_digest_of_its_pictures(digits, tmp_path):
    out = tmp_path / "run"
    command = ("train", "classifier", "--data", digits.path, "--out", out, *QUICK, "--family.norm", "group")
    command = (*command, "--train.privacy.epsilon", "2", "--steps")
    answer = done(*command, "2", "--json")
    told = answer.json["privacy"]
    assert 1.9 < told["epsilon"] <= 2.0 and told["steps"] == 2 and told["noise"] > 0
    assert re.search(r"private: epsilon (2|1\.9\d?) at delta 1e-05, after 2 steps", answer.err)
    assert "epsilon 2 at delta 1e-05" in (out / "report.html").read_text("utf-8")
    model = (out / "model/config.json").read_text("utf-8")
    assert digits.pixel_digest not in model and digits.label_digest not in model
    assert load_model(out).facts["privacy"] == told
    assert figment(*command, "3").complaint.startswith(f"{out}: this run has --steps 2, you asked for 3")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"module": dcgan}, "trains in 2 phases, against a critic"),
        ({"module": autoencoder}, "'model.standardize' is a batch norm, which mixes pictures"),
        ({"module": vae}, "cannot be taken of one picture at a time"),
        ({"settings": flow.Config(width=8, coupling="transport")}, "cannot be taken of one picture at a time"),
        ({"steps": 0}, "depends on the number of steps; give --steps, not --minutes"),
        ({"score_every": 10}, "the judge of --train.score-every has seen the pictures openly"),
        ({"batch_size": 100_000}, "a batch of 100000 is more than the"),
        ({"privacy": Privacy(epsilon=1.0, delta=0.01)}, "would allow giving away a picture as it is"),
    ],
)
def test_what_cannot_be_private_is_refused_in_one_line(digits, change, expected):
    run = asked(digits, **change)
    with pytest.raises(ConfigError, match=expected) as refusal:
        with_noise(run, begun_objective(run), Batches(digits, "train", run.train.batch_size))
    assert "\n" not in str(refusal.value)


def test_settings_that_would_have_no_effect_are_refused():
    with pytest.raises(ConfigError, match=r"no effect without --train\.privacy\.epsilon"):
        Privacy(clip=3.0)
    with pytest.raises(ConfigError, match=r"--train.privacy.epsilon 0.01: give a number between 0.05 and 100"):
        Privacy(epsilon=0.01)


def test_poisson_batches_hold_the_pictures_that_their_coins_chose(digits):
    plain = Batches(digits, "train", 20, augment=Augment(noise=0.1))
    batches = PoissonBatches(plain, KEY)
    rows = chosen(KEY, 4, len(plain), 20 / len(plain))
    batch = batches.at(4)
    assert len(batch) == len(rows) > 3
    assert torch.equal(batch[1:3].images, batch[0:3].images[1:])
    quiet = PoissonBatches(Batches(digits, "train", 20), KEY).at(4)[0:3].images
    assert torch.equal(quiet, plain.take(rows[:3]).images)
    assert not torch.equal(quiet, batch[0:3].images)


def documented() -> list[str]:
    """The families that docs/privacy.md says can be private as they are."""
    page = (Path(__file__).parents[2] / "docs/privacy.md").read_text("utf-8")
    return re.findall(r"`(\w+)`", re.findall(r"^- As they are: (.*)$", page, re.MULTILINE)[0])


@pytest.mark.parametrize("name", documented())
def test_a_family_of_the_docs_can_be_private(name, tmp_path):
    torch.manual_seed(0)
    objective = plugins.load("families", name).build(tiny_settings(name, SPEC, tmp_path), SPEC)
    found = private_gradients(objective, pictures(2), clip=0.5, batch_size=2)
    assert all(torch.isfinite(one).all() for one in found.values())
    assert any(one.any() for one in found.values())
