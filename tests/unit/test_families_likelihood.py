"""Families with a likelihood: what they predict from, that probabilities sum to 1, that drawing agrees with them."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from figment.core.config import to_json
from figment.core.engine import seeded
from figment.core.errors import ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Batch, Condition, ImageSpec, Record
from figment.data.steps import binarize
from figment.families import pixel_cnn, pixel_rnn, vae
from figment.losses import distributions
from figment.losses.kl import free_kl_nats
from figment.losses.likelihood import GREY_LEVEL

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))
RGB = ImageSpec(3, 3, 4, classes=("a", "b"))
LEVELS = torch.linspace(-1, 1, 256)

AUTOREGRESSIVE = {
    "pixel_cnn": pixel_cnn.Config.preset("tiny"),
    "wide kernel": replace(pixel_cnn.Config.preset("tiny"), kernel=5),
    "lstm along rows": pixel_rnn.Config.preset("tiny"),
    "lstm along pixels": replace(pixel_rnn.Config.preset("tiny"), order="pixels"),
    "gru along rows": replace(pixel_rnn.Config.preset("tiny"), cell="gru", depth=2),
    "rnn along pixels": replace(pixel_rnn.Config.preset("tiny"), cell="rnn", order="pixels"),
}
each_network = pytest.mark.parametrize("config", AUTOREGRESSIVE.values(), ids=AUTOREGRESSIVE.keys())


def built(config, spec):
    """A model with weights so large that whatever can matter does."""
    module = {vae.Config: vae, pixel_cnn.Config: pixel_cnn, pixel_rnn.Config: pixel_rnn}[type(config)]
    model = module.build(config, spec).model.eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=torch.Generator().manual_seed(1))
    return model


def pictures(count, spec, levels=256, seed=0):
    chosen = torch.randint(levels, (count, *spec.shape), generator=torch.Generator().manual_seed(seed))
    return chosen / ((levels - 1) / 2) - 1


# Distributions


@pytest.mark.parametrize("mean", [-3.0, -1.0, 0.1, 0.99, 40.0])
@pytest.mark.parametrize("scale", [0.002, 0.3, 20.0])
def test_masses_of_all_grey_levels_sum_to_one(mean, scale):
    at, spread = torch.tensor(mean).double(), torch.tensor(scale).double()
    logistic = distributions.logistic_nats(LEVELS.double(), at, spread.log())
    gaussian = distributions.gaussian_nats(LEVELS.double(), at, spread.square())
    for nats in (logistic, gaussian):
        assert float((-nats).exp().sum()) == pytest.approx(1, abs=1e-6)


def test_masses_agree_with_the_densities_of_torch():
    x, mean, scale = LEVELS[130].double(), torch.tensor(0.2).double(), torch.tensor(0.5).double()
    density = torch.distributions.Normal(mean, scale).log_prob(x) + math.log(GREY_LEVEL)
    assert float(distributions.gaussian_nats(x, mean, scale**2)) == pytest.approx(-float(density), abs=1e-4)
    z = (x - mean) / scale
    density = -z - scale.log() - 2 * torch.nn.functional.softplus(-z) + math.log(GREY_LEVEL)
    assert float(distributions.logistic_nats(x, mean, scale.log())) == pytest.approx(-float(density), abs=1e-4)


@pytest.mark.parametrize("nats", [distributions.logistic_nats, distributions.gaussian_nats])
def test_what_is_far_off_still_has_a_slope(nats):
    """In float32 a difference of cumulative probabilities would be 0 here, and its logarithm without a gradient."""
    for x, mean in itertools.product((-1.0, 0.0039216, 1.0), (-8.0, 8.0)):
        at = torch.tensor(mean, requires_grad=True)
        value = nats(
            torch.tensor(x), at, torch.tensor(-3.0).exp() if nats is distributions.gaussian_nats else torch.tensor(-3.0)
        )
        value.backward()
        assert value.isfinite() and at.grad is not None and at.grad.isfinite()
        inward = (mean < 0 and x > -1) or (mean > 0 and x < 1)
        assert float(at.grad) * mean > 0 if inward else float(at.grad) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("kind", ["bernoulli", "categorical", "logistic"])
def test_values_are_drawn_as_often_as_they_are_probable(kind):
    parameters = torch.randn(distributions.parameters_of(kind), generator=torch.Generator().manual_seed(0))
    uniform = (torch.arange(2000) + 0.5) / 2000
    values = distributions.drawn(kind, parameters.expand(2000, -1), uniform)
    there = torch.tensor([-1.0, 1.0]) if kind == "bernoulli" else LEVELS
    found = (values[:, None] - there).abs().argmin(1).bincount(minlength=len(there)) / 2000
    probable = (-distributions.value_nats(kind, there, parameters.expand(len(there), -1))).exp()
    assert torch.allclose(found, probable, atol=1.001 / 2000)


def test_low_temperature_draws_the_likeliest_value():
    parameters = torch.randn(50, 256, generator=torch.Generator().manual_seed(0))
    values = distributions.drawn("categorical", parameters, torch.rand(50), temperature=0.01)
    likeliest = parameters.argmax(1) / 127.5 - 1
    assert (values - likeliest).abs().median() < 1e-6


def test_free_bits_cost_nothing_below_the_allowance():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    assert float(free_kl_nats(kl, 0.0)) == pytest.approx(3.2)
    assert float(free_kl_nats(kl, 0.5)) == pytest.approx(3.5)


# Networks that predict value by value


@each_network
@pytest.mark.parametrize("spec", [DIGITS, RGB], ids=["grey", "rgb"])
def test_a_prediction_does_not_see_its_own_value_or_later_ones(config, spec):
    model = built(config, spec)
    x, other = pictures(1, spec), pictures(1, spec, seed=1)
    c, h, w = spec.shape
    order = list(itertools.product(range(h), range(w), range(c)))
    vector = model.condition(Condition(labels=torch.tensor([1])), 1)
    with torch.no_grad():
        before = model.net(x, vector)
        for place in range(0, len(order), 5):
            changed = x.clone()
            for row, column, channel in order[place:]:
                changed[0, channel, row, column] = other[0, channel, row, column]
            after = model.net(changed, vector)
            for row, column, channel in order[: place + 1]:
                drift = (after - before)[0, channel, row, column].abs().max()
                assert drift < 1e-5, (order[place], (row, column, channel))


@each_network
def test_a_prediction_sees_every_value_before_it_that_is_near(config):
    """Every neighbour that comes before, the other channels of its own pixel too: nothing near is hidden."""
    model, (row, column) = built(config, RGB), (1, 2)
    x = pictures(1, RGB).requires_grad_()
    answers = model.net(x, model.condition(None, 1))
    for channel in range(3):
        (pull,) = torch.autograd.grad(answers[0, channel, row, column].square().sum(), x, retain_graph=True)
        pull = pull[0].abs()
        assert (pull[:channel, row, column] > 0).all() and (pull[channel:, row, column] == 0).all()
        assert (pull[:, row, column - 1] > 0).all()
        assert (pull[:, row - 1, column - 1 : column + 1] > 0).all()


@each_network
def test_probabilities_of_all_tiny_pictures_sum_to_one(config):
    model = built(replace(config, likelihood="bernoulli"), ImageSpec(1, 2, 2))
    every = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4))).view(16, 1, 2, 2)
    with torch.no_grad():
        bits = model.bits_per_dim(every)
    assert float((2 ** (-4 * bits.double())).sum()) == pytest.approx(1, abs=1e-5)


@each_network
@pytest.mark.parametrize("spec", [DIGITS, RGB], ids=["grey", "rgb"])
def test_drawing_step_by_step_knows_what_the_whole_network_knows(config, spec):
    """The parameters met on the way are those of one pass over the finished picture."""
    model, met = built(config, spec), torch.zeros(2, *spec.shape, 256)
    x, vector = pictures(2, spec), model.condition(Condition(labels=torch.tensor([0, 1])), 2)

    def choose(row, column, channel, parameters):
        met[:, channel, row, column] = parameters
        return x[:, channel, row, column]

    with torch.no_grad():
        assert torch.equal(model.net.fill(vector, choose), x)
        assert torch.allclose(met, model.net(x, vector), atol=1e-4, rtol=1e-4)


@each_network
@pytest.mark.parametrize("likelihood", ["bernoulli", "categorical", "logistic"])
def test_completion_keeps_what_is_known_and_follows_the_noise_elsewhere(config, likelihood):
    model = built(replace(config, likelihood=likelihood), DIGITS)
    x, known = pictures(3, DIGITS, levels=2), torch.zeros(8, 8, dtype=torch.bool)
    known[:4] = True
    z = noise([0, 1, 2], model)
    with torch.no_grad():
        first, again = model.complete(x, known, z), model.complete(x, known, z)
        other = model.complete(x, known, noise([3, 4, 5], model))
        upside_down = model.complete(x.flip(2), known, z)
    assert torch.equal(first[:, :, :4], x[:, :, :4])
    assert torch.equal(first, again)
    assert not torch.equal(first[:, :, 4:], other[:, :, 4:])
    assert not torch.equal(first[:, :, 4:], upside_down[:, :, 4:])
    assert torch.equal(first, distributions.on_grid(likelihood, first))


@each_network
def test_the_condition_is_heard(config):
    model, x = built(config, DIGITS), pictures(2, DIGITS)
    with torch.no_grad():
        bits = [model.bits_per_dim(x, Condition(labels=torch.full((2,), label))) for label in (0, 1)]
    assert (bits[0] - bits[1]).abs().min() > 1e-4
    silent = built(replace(config, told=()), DIGITS)
    with torch.no_grad():
        bits = [silent.bits_per_dim(x, Condition(labels=torch.full((2,), label))) for label in (0, 1)]
    assert torch.equal(bits[0], bits[1])


@pytest.mark.parametrize("family", [vae, pixel_cnn, pixel_rnn])
def test_black_and_white_gives_grey_no_probability(family):
    model = built(replace(family.Config.preset("tiny"), likelihood="bernoulli"), DIGITS)
    with pytest.raises(DataError, match=r"--binarize\.seed"):
        model.bits_per_dim(pictures(2, DIGITS))


def test_an_even_kernel_is_refused():
    with pytest.raises(ConfigError, match="odd"):
        pixel_cnn.Config(kernel=4)


# The variational autoencoder


@pytest.mark.parametrize("likelihood", ["bernoulli", "logistic", "gaussian"])
def test_vae_bound_is_the_likelihood_where_that_is_known(likelihood):
    """One latent: the integral over it by quadrature. The bound lies above and comes near with many draws."""
    config = replace(vae.Config.preset("tiny"), latents=1, width=8, likelihood=likelihood, importance_samples=3000)
    with seeded(0):
        model = vae.build(config, ImageSpec(1, 2, 2)).model.eval()
    x = pictures(3, ImageSpec(1, 2, 2), levels=2)
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2)
        z = torch.linspace(-8, 8, 4001)[:, None]
        decoded = model.decoded(z, None)
        log_prior = torch.distributions.Normal(0.0, 1.0).log_prob(z[:, 0])
        exact = [
            -float((log_prior - model.picture_nats(row.expand_as(decoded), decoded)).logsumexp(0) + math.log(16 / 4000))
            for row in x
        ]
        found = model.bits_per_dim(x) * 4 * math.log(2)
        model.config = replace(config, importance_samples=1)
        loose = model.bits_per_dim(x) * 4 * math.log(2)
    assert np.allclose(found, exact, atol=0.05)
    assert not torch.allclose(found, loose, atol=1e-3)


def test_vae_likelihood_of_a_picture_does_not_depend_on_the_batch():
    model, x = built(vae.Config.preset("tiny"), DIGITS), pictures(4, DIGITS)
    with torch.no_grad():
        assert torch.allclose(model.bits_per_dim(x)[2:3], model.bits_per_dim(x[2:3]), atol=1e-4)


def test_vae_warms_up_its_kl_in_images_seen():
    objective = vae.build(replace(vae.Config.preset("tiny"), kl_warmup=64, condition_dropout=0.0), DIGITS)
    batch = Batch(pictures(16, DIGITS), Condition(labels=torch.arange(16) % 10))
    shares = []
    for _ in range(6):
        with seeded(0):
            loss = objective.loss(batch)
        shares.append(float(loss.terms["kl"].detach() * 64 / loss.stats["kl_nats"].detach()))
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0], rel=1e-4)
    assert int(objective.state_dict()["seen_images"]) == 96


def test_vae_counts_latents_that_say_nothing():
    objective = vae.build(vae.Config.preset("tiny"), ImageSpec(1, 8, 8))
    head = objective.model.encoder.layers[-1]
    with torch.no_grad():
        head.weight[:3], head.bias[:3] = 0.0, 1.0  # the means of three of eight: the same for every picture
        head.weight[3:8].mul_(100)
    assert int(objective.loss(Batch(pictures(32, DIGITS))).stats["collapsed_latents"]) == 3


@pytest.mark.parametrize(("side", "convolves"), [(15, False), (16, True), (33, True)])
def test_vae_convolves_larger_pictures(side, convolves):
    model = vae.build(vae.Config.preset("tiny"), ImageSpec(3, side, side)).model
    assert any(isinstance(part, torch.nn.Conv2d) for part in model.modules()) == convolves


def test_vae_without_hidden_layers_finds_the_principal_components():
    with seeded(0):
        x = torch.randn(512, 4) @ torch.tensor(
            [[0.3, 0.3, 0.1, 0], [0, 0.2, -0.2, 0], [0, 0, 0, 0.02], [0.02, 0, 0, 0]]
        )
        objective = vae.build(replace(vae.Config.preset("tiny"), net="mlp", depth=0, latents=2), ImageSpec(1, 2, 2))
        optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
        for _ in range(500):
            loss = sum(objective.loss(Batch(x.view(-1, 1, 2, 2))).terms.values())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    learnt = torch.linalg.qr(objective.model.decoder.layers[-1].weight.detach()[:, :2]).Q
    principal = torch.linalg.svd(x - x.mean(0)).Vh[:2]
    assert torch.linalg.svdvals(principal @ learnt).min() > 0.99  # the cosine of the widest angle between the planes


def test_vae_without_hidden_layers_does_not_convolve():
    with pytest.raises(ConfigError, match=r"--family\.depth 0: a linear encoder is an mlp; give --family\.net mlp"):
        vae.build(vae.Config(depth=0), ImageSpec(1, 16, 16))


def test_vae_of_black_and_white_answers_with_shares_of_white():
    model = built(replace(vae.Config.preset("tiny"), likelihood="bernoulli"), DIGITS)
    with torch.no_grad():
        decoded = model.decoded(torch.zeros(1, 8), None)
        assert torch.allclose(model.decode(torch.zeros(1, 8)), 2 * decoded.sigmoid() - 1, atol=1e-6)


# Binary pictures


def test_binarizing_draws_white_as_often_as_a_value_is_bright():
    pixels = np.repeat(np.array([0, 51, 204, 255], np.uint8), 20_000).reshape(4, 200, 100)
    drawn = binarize.binarized(pixels, seed=0)
    assert set(np.unique(drawn)) == {0, 255}
    assert (drawn == 255).mean(axis=(1, 2)) == pytest.approx([0, 0.2, 0.8, 1], abs=0.01)


def test_binarizing_is_one_fixed_draw_and_off_by_default():
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8, 1) * 4
    record = Record(pixels, "a")
    assert binarize.mend(record, binarize.Config()) is record
    first = binarize.mend(record, binarize.Config(seed=0)).image
    assert np.array_equal(first, binarize.mend(replace(record, key="b"), binarize.Config(seed=0)).image)
    assert not np.array_equal(first, binarize.mend(record, binarize.Config(seed=1)).image)
    assert to_json(binarize.Config()) == {"seed": None}
