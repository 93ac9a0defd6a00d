"""Samplers against exact denoisers: a Gaussian and a finite set of pictures."""

from __future__ import annotations

import pytest
import torch

from figment.core import plugins
from figment.core.types import Condition
from figment.samplers import guided, karras_sigmas, last

SPREAD, MEAN = 0.5, 0.3


def gaussian(noisy, sigma):
    """E[x | x + sigma n] for x ~ N(MEAN, SPREAD^2)."""
    level = sigma.view(-1, 1, 1, 1) ** 2
    return (SPREAD**2 * noisy + level * MEAN) / (SPREAD**2 + level)


def exact_end(start, sigma_max):
    """The probability-flow ODE of a Gaussian keeps a picture's quantile: x_0 = MEAN + SPREAD * its z score."""
    return MEAN + SPREAD * (start * sigma_max - MEAN) / (SPREAD**2 + sigma_max**2) ** 0.5


def flow_sigmas(steps, sigma_max):
    """Equal steps of flow time t = sigma / (1 + sigma), whose last step shrinks with the others."""
    times = torch.linspace(sigma_max / (1 + sigma_max), 0, steps + 1, dtype=torch.float64)
    return times / (1 - times)


def error(name, steps):
    start = torch.linspace(-2, 2, 64).view(64, 1, 1, 1).double()
    sigmas = flow_sigmas(steps, 50.0)
    end = last(plugins.load("samplers", name).sample(gaussian, start, sigmas))
    return float((end - exact_end(start, 50.0)).abs().max())


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp_2m", 2)])
def test_error_falls_at_the_order_of_the_method(name, order):
    ratio = error(name, 64) / error(name, 128)
    assert 2**order * 0.75 < ratio < 2**order * 1.35


def test_heun_beats_euler_at_equal_evaluations():
    assert error("heun", 10) < error("euler", 19) / 2


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m"])
def test_with_a_finite_set_every_sample_is_one_of_it(name):
    pictures = torch.tensor([-0.8, 0.1, 0.7]).view(3, 1, 1, 1)

    def nearest_mean(noisy, sigma):
        weight = torch.softmax(-((noisy - pictures.view(1, 3, 1, 1)) ** 2) / (2 * sigma.view(-1, 1, 1, 1) ** 2), dim=1)
        return (weight * pictures.view(1, 3, 1, 1)).sum(1, keepdim=True)

    start = torch.randn(200, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    sigmas = torch.cat([torch.logspace(1.5, -2.5, 100), torch.zeros(1)])
    end = last(plugins.load("samplers", name).sample(nearest_mean, start, sigmas)).flatten()
    distance = (end[:, None] - pictures.flatten()).abs().min(1).values
    assert distance.max() < 1e-2
    assert len({int((value - pictures.flatten()).abs().argmin()) for value in end}) == 3


def test_karras_sigmas_are_those_of_the_paper():
    """Karras et al. 2022, equation 5, at i = 9 of N = 18 by hand."""
    sigmas = karras_sigmas(18, 0.002, 80.0)
    assert len(sigmas) == 19
    assert (float(sigmas[0]), float(sigmas[17]), float(sigmas[18])) == pytest.approx((80.0, 0.002, 0.0))
    by_hand = (80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert float(sigmas[9]) == pytest.approx(by_hand, rel=1e-5)
    assert karras_sigmas(1, 0.002, 80.0).tolist() == [80.0, 0.0]


class Labelled:
    """Its picture is its label; -1 where none is given."""

    sigma_min, sigma_max, calls = 0.0, 1.0, 0

    def denoise(self, noisy, sigma, condition=None):
        self.calls += 1
        return condition.labels.float().view(-1, 1, 1, 1).expand_as(noisy)


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, -1.0), (1.0, 3.0), (2.0, 7.0)])
def test_guidance_goes_from_the_free_answer_through_the_asked_one(guidance, expected):
    model = Labelled()
    denoise = guided(model, Condition(labels=torch.tensor([3, 3])), guidance)
    answer = denoise(torch.zeros(2, 1, 2, 2), torch.ones(2))
    assert answer.unique().tolist() == [expected]
    assert model.calls == 1
