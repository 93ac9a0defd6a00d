"""The adversarial families that grew out of the first: losses by hand, players of every size, phases of the game."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from figment.core.engine import seeded
from figment.core.errors import ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Batch, Condition, ImageSpec
from figment.families import acgan, dcgan, gan, infogan, wgan_gp
from figment.losses.adversarial import (
    category_information_nats,
    critic_loss,
    generator_loss,
    gradient_penalty,
    uniform_information_nats,
    wasserstein_critic,
)
from figment.nets.adversarial import Trunk
from figment.train.trainer import Trainer

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))
CONVOLUTIONAL = (dcgan, wgan_gp, acgan, infogan)
LOG3 = math.log(3)  # the logit of 3/4


def name_of(family) -> str:
    return family.__name__.rpartition(".")[2]


def built(family, spec=DIGITS, **changes):
    with seeded(0):
        return family.build(replace(family.Config.preset("tiny"), **changes), spec)


def batch(size=6, spec=DIGITS):
    labels = torch.arange(size) % spec.num_classes if spec.classes else None
    with seeded(1):
        return Batch(torch.rand(size, *spec.shape) * 2 - 1, Condition(labels=labels))


def column(*values):
    return torch.tensor(values)[:, None]


# Losses, each at logits whose probabilities are 3/4 and 1/4.


@pytest.mark.parametrize(
    ("game", "smoothing", "expected"),
    [
        ("non_saturating", 0.0, -2 * math.log(0.75)),
        ("minimax", 0.0, -2 * math.log(0.75)),
        ("non_saturating", 0.1, -1.9 * math.log(0.75) - 0.1 * math.log(0.25)),
        ("least_squares", 0.0, ((LOG3 - 1) ** 2 + LOG3**2) / 2),
        ("least_squares", 0.1, ((LOG3 - 0.9) ** 2 + LOG3**2) / 2),
        ("hinge", 0.0, 0.0),
    ],
)
def test_what_the_critic_minimises(game, smoothing, expected):
    assert float(critic_loss(game, column(LOG3), column(-LOG3), smoothing)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("game", "expected"),
    [
        ("non_saturating", -math.log(0.25)),
        ("minimax", math.log(0.75)),
        ("least_squares", (LOG3 + 1) ** 2 / 2),
        ("hinge", LOG3),
    ],
)
def test_what_the_generator_minimises(game, expected):
    assert float(generator_loss(game, column(-LOG3))) == pytest.approx(expected, rel=1e-6)


def test_hinge_counts_only_what_is_not_clear():
    assert float(critic_loss("hinge", column(0.5, 2.0), column(-0.2, -3.0))) == pytest.approx((0.5 + 0.8) / 2)


def test_wasserstein_distance_of_logits():
    assert float(wasserstein_critic(column(1.0, 3.0), column(-2.0, 0.0))) == -3.0


@pytest.mark.parametrize("game", ["non_saturating", "minimax", "least_squares", "hinge"])
def test_every_generator_wants_a_higher_logit_and_minimax_hardly_when_it_loses(game):
    logits = column(-8.0).requires_grad_(True)
    generator_loss(game, logits).backward()
    assert logits.grad is not None
    slope = float(logits.grad)
    assert -4e-4 < slope < 0 if game == "minimax" else slope < -0.99


def test_smoothed_critic_is_best_at_its_target():
    """With one-sided smoothing of 0.1 the best answer for a real picture is 0.9, the logit of which is log 9."""
    logits = column(math.log(9)).requires_grad_(True)
    critic_loss("non_saturating", logits, column(0.0), 0.1).backward()
    assert logits.grad is not None and abs(float(logits.grad)) < 1e-6


@pytest.mark.parametrize("slope", [0.0, 0.5, 1.0, 3.0])
def test_gradient_penalty_of_a_linear_critic(slope):
    """The slope of w.x is |w| everywhere, at flat places too."""
    weight = torch.full((1, 2, 4, 4), slope / math.sqrt(32)).requires_grad_(True)
    real, fake = torch.randn(5, 2, 4, 4), torch.randn(5, 2, 4, 4)
    penalty = gradient_penalty(lambda x: (x * weight).sum((1, 2, 3)), real, fake)
    assert float(penalty.detach()) == pytest.approx((slope - 1) ** 2, abs=1e-5)
    penalty.backward()
    assert weight.grad is not None and weight.grad.isfinite().all()


def test_gradient_penalty_is_taken_between_the_pictures():
    """The slope of |x|^2 / 2 is |x|: between pictures of length 2 and 4 it is between these."""
    real, fake = torch.full((64, 1, 2, 2), 1.0), torch.full((64, 1, 2, 2), 2.0)
    places = []

    def critic(x):
        places.append(x.detach().flatten(1).norm(dim=1))
        return x.square().sum((1, 2, 3)) / 2

    penalty = gradient_penalty(critic, real, fake)
    assert float(penalty.detach()) == pytest.approx(float((places[0] - 1).square().mean()), rel=1e-5)
    assert places[0].min() > 2 and places[0].max() < 4 and places[0].std() > 0.4


def test_gradient_penalty_and_its_gradient_are_the_same_in_bfloat16():
    critic = Trunk((1, 8, 8), 8, "none")
    real, fake = torch.randn(4, 1, 8, 8), torch.randn(4, 1, 8, 8)
    found = []
    for half in (False, True):
        with seeded(0), torch.autocast("cpu", torch.bfloat16, enabled=half):
            penalty = gradient_penalty(critic, real, fake)
        found.append([penalty.detach(), *torch.autograd.grad(penalty, list(critic.parameters()), allow_unused=True)])
    assert sum(part is not None and bool(part.any()) for part in found[0]) > 3
    for single, half in zip(*found, strict=True):
        assert single is half or torch.equal(single, half)


def test_information_about_a_category():
    sure = 40 * torch.eye(5)
    assert float(category_information_nats(sure, torch.arange(5))) == pytest.approx(math.log(5))
    assert float(category_information_nats(torch.zeros(5, 5), torch.arange(5))) == pytest.approx(0.0, abs=1e-6)


def test_information_about_numbers():
    codes = torch.tensor([[0.5, -0.5], [1.0, 0.0]])
    zero = torch.zeros(2, 2)
    exact = 2 * (math.log(2) - math.log(2 * math.pi) / 2)  # two numbers, each told with a spread of 1
    assert float(uniform_information_nats(codes, zero, codes)) == pytest.approx(exact)
    missed = exact - (0.25 + 0.25 + 1.0) / 2 / 2  # half the squared error, averaged over the rows
    assert float(uniform_information_nats(zero, zero, codes)) == pytest.approx(missed)
    sharper = uniform_information_nats(codes, torch.full((2, 2), -2.0), codes)
    assert float(sharper) == pytest.approx(exact + 2)


# The players.


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 8), (4, 17, 23), (3, 20, 64), (3, 128, 256)], ids=str)
@pytest.mark.parametrize("family", [dcgan, wgan_gp, infogan], ids=name_of)
def test_players_take_pictures_of_every_size(family, shape):
    objective = built(family, ImageSpec(*shape), width=4, latents=8).eval()
    with torch.no_grad():
        drawn = objective.model.generate(noise([0, 1], objective.model))
        logits = objective.critic(drawn, Condition())
    assert drawn.shape == (2, *shape) and drawn.abs().max() <= 1 and drawn.std() > 0
    assert logits.shape == (2, 1)


@pytest.mark.parametrize("family", [dcgan, wgan_gp, infogan], ids=name_of)
def test_pictures_too_small_to_be_halved_are_refused(family):
    with pytest.raises(DataError, match="3x9 are too small for convolutions, which need 4 pixels"):
        built(family, ImageSpec(1, 3, 9))


@pytest.mark.parametrize("family", [dcgan, wgan_gp, acgan], ids=name_of)
def test_both_labels_and_attributes_are_told(family):
    spec = ImageSpec(1, 8, 8, classes=("cat", "dog"), attributes=("age",))
    model = built(family, spec).model.eval()
    draws = noise([0, 0, 0], model)
    told = Condition(labels=torch.tensor([0, 1, 0]), attributes=torch.tensor([[0.0], [0.0], [1.0]]))
    with torch.no_grad():
        first, other_label, other_attribute = model.generate(draws, told)
    assert (first - other_label).abs().max() > 1e-4
    assert (first - other_attribute).abs().max() > 1e-4


@pytest.mark.parametrize("family", CONVOLUTIONAL, ids=name_of)
def test_generators_ship_alone_with_their_running_statistics(family):
    """What is drawn is a function of the row, after training as before: of averaged statistics, not of the batch's."""
    objective = built(family)
    trainer = Trainer(objective, replace(family.TRAIN, batch_size=6), steps=6)
    list(trainer.run(lambda step: batch()))
    shipped = trainer.model.eval()
    moved = [module.running_mean for module in shipped.modules() if isinstance(module, nn.BatchNorm2d)]
    assert moved and all(mean is not None and mean.abs().max() > 0 for mean in moved)
    assert not any("critic" in name for name in shipped.state_dict())
    assert not objective.has_validation
    with torch.no_grad():
        together = shipped.generate(noise(range(4), shipped))
        alone = shipped.generate(noise([2], shipped))
    assert torch.allclose(together[2:3], alone, atol=1e-5)


# gan


def test_gan_plays_the_game_that_was_asked_for():
    losses = {}
    for game in ("non_saturating", "minimax", "least_squares", "hinge"):
        objective = built(gan, loss=game)
        with seeded(0):
            losses[game] = float(objective.generator_loss(batch()).terms["adversarial"].detach())
    assert len(set(losses.values())) == 4 and losses["minimax"] < 0
    smooth, plain = built(gan, label_smoothing=0.2, critic_dropout=0.0), built(gan, critic_dropout=0.0)
    found = []
    for objective in (smooth, plain):
        with seeded(0):
            loss = objective.critic_loss(batch())
        found.append(float(loss.terms["adversarial"].detach()))
    assert found[0] - found[1] == pytest.approx(0.2 * float(loss.stats["real_logit"].detach()), abs=1e-6)


def test_gan_refuses_smoothing_without_targets():
    with pytest.raises(ConfigError, match=r"--family.label-smoothing 0.1: has no effect on hinge"):
        gan.Config(loss="hinge", label_smoothing=0.1)


# wgan_gp


def test_wgan_trains_the_generator_at_every_fifth_step():
    trainer = Trainer(built(wgan_gp), replace(wgan_gp.TRAIN, batch_size=4), steps=11)
    reports = list(trainer.run(lambda step: batch(4)))
    taken = [report.step - 1 for report in reports if "generator/loss" in report.values]
    assert taken == [0, 5, 10]
    assert all("critic/penalty" in report.values for report in reports)


def test_wgan_judges_each_picture_by_itself():
    objective = built(wgan_gp)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in objective.critic.modules())
    data = batch()
    together = objective.critic(data.images, data.condition)
    assert torch.allclose(together[2:3], objective.critic(data.images[2:3], data.condition[2:3]), atol=1e-5)


def test_wgan_keeps_the_slope_near_one():
    """A critic that begins much too steep: the penalty brings it back."""
    objective = built(wgan_gp)
    with torch.no_grad():
        objective.critic.verdict.logit.weight.mul_(10)  # and the slope with it
    optimizer = torch.optim.Adam(objective.critic.parameters(), 2e-3, betas=(0.0, 0.9))
    data, penalties = batch(16), []
    for _ in range(40):
        optimizer.zero_grad()
        loss = objective.critic_loss(data)
        torch.stack(list(loss.terms.values())).sum().backward()
        optimizer.step()
        penalties.append(float(loss.terms["penalty"].detach()))
    assert penalties[0] > 20 and max(penalties[-5:]) < 5


def test_wgan_clips_the_weights_instead():
    objective = built(wgan_gp, slope="clipping", clip=0.02)
    assert max(float(weight.detach().abs().max()) for weight in objective.critic.parameters()) > 0.1
    assert set(objective.critic_loss(batch()).terms) == {"adversarial"}
    assert max(float(weight.detach().abs().max()) for weight in objective.critic.parameters()) <= 0.02 + 1e-8


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"clip": 0.1}, "--family.clip 0.1: has no effect on --family.slope penalty; leave it out"),
        ({"penalty": 5.0, "slope": "clipping"}, "--family.penalty 5: has no effect on --family.slope clipping"),
        ({"critic_steps": 0}, "--family.critic-steps 0: give a number between 1 and 100"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wgan_refuses_settings_without_effect(wrong, text):
    with pytest.raises(ConfigError, match=text):
        wgan_gp.Config(**wrong)


# acgan


def test_acgan_names_only_what_is_known():
    logits = torch.tensor([[0.0, LOG3], [5.0, -5.0], [0.0, LOG3]])
    entropy, accuracy = acgan.naming(logits, torch.tensor([1, -1, 0]))
    assert float(entropy) == pytest.approx(-(math.log(0.75) + math.log(0.25)) / 2)
    assert float(accuracy) == 0.5
    assert [float(value) for value in acgan.naming(logits, torch.full((3,), -1))] == [0.0, 0.0]


def test_acgan_weighs_the_class_the_same_however_a_batch_is_cut():
    objective, data = built(acgan, condition_dropout=0.0).eval(), batch(8)
    labels = torch.tensor([0, 1, 2, 3, 4, -1, -1, -1])
    fake = torch.randn(8, *data.images.shape[1:], generator=torch.Generator().manual_seed(0)).tanh()

    def term(rows: slice) -> tuple[float, float]:
        objective.model.generate = lambda noise, condition: fake[rows]
        part = Batch(data.images[rows], Condition(labels=labels[rows]))
        with torch.no_grad():
            return tuple(float(loss(part).terms["class"]) for loss in (objective.critic_loss, objective.generator_loss))

    halves = [term(rows) for rows in (slice(0, 4), slice(4, 8))]
    assert [sum(pair) / 2 for pair in zip(*halves, strict=True)] == pytest.approx(term(slice(0, 8)), rel=1e-5)


def test_acgan_critic_is_not_shown_the_label():
    objective = built(acgan).eval()  # or dropout would hide other channels each time
    data = batch()
    with torch.no_grad():
        first = objective.critic(data.images, Condition(labels=torch.zeros(6, dtype=torch.long)))
        second = objective.critic(data.images, Condition(labels=torch.full((6,), 7)))
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])


@pytest.mark.parametrize("family", [gan, dcgan, acgan, wgan_gp])
def test_labels_are_at_first_quieter_than_the_noise(family):
    """As loud as it they drowned it, and each class was one picture (JOURNAL.md, 2026-11-23)."""
    labels = built(family).model.condition.labels.weight.detach()
    length = float(labels.norm(dim=1).mean())
    assert length == pytest.approx(1, abs=0.4), "that of a one-hot; the noise's is sqrt(latents)"


def test_acgan_teaches_the_generator_the_class():
    """The class term alone must move the generator: what the critic names decides how it draws a label."""
    objective = built(acgan, condition_dropout=0.0)
    objective.generator_loss(batch()).terms["class"].backward()
    labels = objective.model.condition.labels
    assert labels is not None and labels.weight.grad is not None and labels.weight.grad.abs().max() > 0


def test_acgan_needs_two_classes():
    with pytest.raises(DataError, match=r"an acgan needs two classes or more, this dataset has 0; .* train 'dcgan'"):
        built(acgan, ImageSpec(1, 8, 8))


# infogan


def test_infogan_draws_every_code_equally_often():
    model = built(infogan, categories=5, numbers=2).model
    category, numbers = model.codes(
        torch.randn(20_000, *model.noise_shape(), generator=torch.Generator().manual_seed(0))
    )
    shares = torch.bincount(category, minlength=5) / 20_000
    assert (shares - 0.2).abs().max() < 0.015
    quartiles = numbers.quantile(torch.tensor([0.25, 0.5, 0.75]), dim=0)
    assert torch.allclose(quartiles, torch.tensor([[-0.5], [0.0], [0.5]]).expand(3, 2), atol=0.03)
    assert numbers.abs().max() <= 1


def test_infogan_pictures_come_to_tell_their_code():
    """The information phase alone, for sixty steps: more than half of log 10 = 2.3 nats about the category."""
    objective = built(infogan)
    phase = objective.phases()[2]
    assert (phase.name, phase.updates) == ("information", ("model", "critic.trunk", "critic.read"))
    parameters = [one for name in phase.updates for one in objective.get_submodule(name).parameters()]
    optimizer = torch.optim.Adam(parameters, 3e-3)
    data, nats = batch(64), []
    with seeded(0):
        for _ in range(60):
            optimizer.zero_grad()
            loss = phase.loss(data)
            torch.stack(list(loss.terms.values())).sum().backward()
            optimizer.step()
            nats.append(float(loss.stats["category_nats"].detach()))
    assert nats[0] < 0.5 and nats[-1] > 1.2


def test_infogan_weighs_the_numbers_less_and_does_without():
    loss = built(infogan, information=2.0).information_loss(batch())
    assert float(loss.terms["category"].detach()) == pytest.approx(-2 * float(loss.stats["category_nats"].detach()))
    assert float(loss.terms["numbers"].detach()) == pytest.approx(-0.2 * float(loss.stats["number_nats"].detach()))
    assert float(built(infogan, numbers=0).information_loss(batch()).terms["numbers"].detach()) == 0.0


def test_infogan_is_told_nothing_unless_asked_to():
    assert built(infogan).model.condition.labels is None
    assert built(infogan, told=("labels",)).model.condition.labels is not None
    with pytest.raises(ConfigError, match=r"--family.told captions: this dataset has no captions"):
        built(infogan, told=("captions",))
