"""Samplers against data whose best denoiser and whose paths are known exactly, and their schedules and settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from figment.core import plugins
from figment.core.config import from_json, to_json
from figment.core.errors import ConfigError
from figment.samplers import Sampling, draw, flow_sigmas, karras_sigmas, last, log_snr_sigmas, states
from figment.samplers._exact import Gaussian, Points, path_error, spread_error

DETERMINISTIC = [
    ("euler", {}, 1),
    ("ddim", {}, 1),
    ("heun", {}, 2),
    ("dpmpp_2m", {}, 2),
    ("dpmpp_2m_sde", {"eta": 0.0}, 2),
    ("unipc", {"order": 1}, 2),  # the corrector adds one to the order of the predictor
    ("unipc", {"order": 2}, 3),
    ("unipc", {"order": 3}, 4),
]
STOCHASTIC = [
    ("ancestral", {}, 1),
    ("ddim", {"eta": 0.5}, 1),
    ("dpmpp_2m_sde", {}, 2),
    ("dpmpp_2m_sde", {"eta": 0.5}, 2),
    ("heun", {"churn": 40.0}, 2),
]


def ways(cases):
    """Samplers with settings, and whatever else the cases hold."""
    names = ("name", "settings", "order")[: len(cases[0])]
    return pytest.mark.parametrize(names, cases, ids=lambda part: str(part) if part != {} else "")


def run(name, denoise, start, sigmas, **settings):
    return list(plugins.load("samplers", name).sample(denoise, start, sigmas, **settings))


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def order_of(error, data, name, settings):
    """log2 of how much twice as many steps help."""
    return math.log2(error(data, name, 128, **settings) / error(data, name, 256, **settings))


@ways(DETERMINISTIC)
def test_the_error_falls_at_the_order_of_the_method(name, settings, order):
    assert order_of(path_error, Points(), name, settings) == pytest.approx(order, abs=0.15)


@ways(STOCHASTIC)
def test_the_error_of_the_spread_falls_at_the_order_of_the_method(name, settings, order):
    assert order_of(spread_error, Gaussian(), name, settings) == pytest.approx(order, abs=0.1)


def test_the_exact_paths_solve_the_equation():
    """dx / dsigma = (x - D) / sigma, by central differences."""
    state = torch.linspace(-3, 3, 41, dtype=torch.float64).view(-1, 1, 1, 1)
    for data in (Gaussian(), Points()):
        slope = (data.path(state, 1.0, 1 + 1e-4) - data.path(state, 1.0, 1 - 1e-4)) / 2e-4
        assert torch.allclose(slope, state - data.denoise(state, torch.ones(41, dtype=torch.float64)), atol=1e-6)


@pytest.mark.parametrize("steps", [5, 10])
def test_higher_orders_pay_at_few_steps(steps):
    errors = [path_error(Points(), name, steps) for name in ("unipc", "dpmpp_2m", "euler")]
    assert errors == sorted(errors) and errors[0] < errors[2] / 4


@pytest.fixture(scope="module")
def correlated():
    """The exact denoiser of N(mean, covariance) over pictures of 2x2 pixels, and both; float64."""
    root = torch.tensor([[0.6, 0, 0, 0], [0.3, 0.4, 0, 0], [-0.2, 0.1, 0.3, 0], [0.1, -0.3, 0.2, 0.2]]).double()
    mean, covariance = torch.tensor([0.5, -0.3, 0.0, 0.2]).double(), root @ root.T

    def denoise(noisy, sigma):
        gain = covariance @ torch.linalg.inv(covariance + sigma[0].double() ** 2 * torch.eye(4))
        return (mean + (noisy.flatten(1) - mean) @ gain.T).view_as(noisy)

    return denoise, mean, covariance


@ways([case[:2] for case in STOCHASTIC])
def test_fresh_noise_keeps_mean_and_covariance(name, settings, correlated):
    denoise, mean, covariance = correlated
    source = torch.Generator().manual_seed(1)
    start = torch.randn(12_000, 1, 2, 2, generator=source).double()
    fresh = lambda step: torch.randn(start.shape, generator=source).double()  # noqa: E731
    end = run(name, denoise, start, log_snr_sigmas(300, 0.005, 50.0).double(), noise_at=fresh, **settings)[-1]
    assert torch.allclose(end.flatten(1).mean(0), mean, atol=0.02)
    assert torch.allclose(end.flatten(1).T.cov(), covariance, atol=0.02)


@pytest.mark.parametrize("name", plugins.names("samplers"))
def test_with_a_finite_set_every_sample_is_one_of_it_and_each_as_often(name):
    data = Points()
    end = run(name, data.denoise, randn(600, 1, 1, 1), log_snr_sigmas(60, 0.004, 30.0))[-1].flatten()
    distance, nearest = (end[:, None] - torch.tensor(data.values)).abs().min(1)
    assert distance.max() < 1e-2
    assert torch.bincount(nearest, minlength=3).min() > 600 / 3 - 4 * (600 * 2 / 9) ** 0.5


SAME = [
    ("ddim", {}, "euler", {}),
    ("ddim", {"eta": 1.0}, "ancestral", {}),
    ("dpmpp_2m_sde", {"eta": 0.0}, "dpmpp_2m", {}),
]


@pytest.mark.parametrize(("one", "settings", "other", "others"), SAME)
def test_these_are_the_same_method(one, settings, other, others):
    start, sigmas = randn(20, 1, 1, 1), karras_sigmas(12, 0.02, 20.0)
    ours = run(one, Points().denoise, start, sigmas, **settings)
    for state, twin in zip(ours, run(other, Points().denoise, start, sigmas, **others), strict=True):
        assert torch.allclose(state, twin, atol=1e-5)


def test_churn_raises_sigma_within_its_limits_and_by_at_most_41_percent():
    seen = []

    def denoise(noisy, sigma):
        seen.append(float(sigma[0]))
        return torch.zeros_like(noisy)

    sigmas = torch.tensor([8.0, 4.0, 2.0, 1.0, 0.0])
    run("heun", denoise, randn(2, 1, 1, 1), sigmas, churn=0.8, churn_low=2.0, churn_high=4.0)
    assert seen == pytest.approx([8.0, 4.0, 4.0 * 1.2, 2.0, 2.0 * 1.2, 1.0, 1.0])
    seen.clear()
    run("heun", denoise, randn(2, 1, 1, 1), sigmas, churn=100.0)
    assert seen[::2] == pytest.approx([8.0 * 2**0.5, 4.0 * 2**0.5, 2.0 * 2**0.5, 2**0.5])


def test_churn_stirs_in_exactly_what_is_missing_at_the_raised_sigma():
    """Algorithm 2, line 6, before a single step to 0 whose answer is the state itself."""
    start, fresh = randn(3, 1, 2, 2), randn(3, 1, 2, 2, seed=1)
    end = run(
        "heun",
        lambda noisy, sigma: noisy,
        start,
        torch.tensor([2.0, 0.0]),
        noise_at=lambda step: fresh,
        churn=0.25,
        churn_noise=1.1,
    )[-1]
    assert torch.allclose(end, 2 * start + 1.1 * (2.5**2 - 2**2) ** 0.5 * fresh)


@pytest.mark.parametrize("name", plugins.names("samplers"))
def test_one_step_is_the_denoised_picture(name):
    start = randn(4, 1, 2, 2)
    (end,) = run(name, Gaussian().denoise, start, torch.tensor([50.0, 0.0]))
    assert torch.allclose(end, Gaussian().denoise(50 * start, torch.full((4,), 50.0)), atol=1e-4)


@pytest.mark.parametrize("name", plugins.names("samplers"))
def test_a_sampler_says_how_often_it_asks(name):
    asked = []

    def denoise(noisy, sigma):
        assert sigma.shape == (3,)
        asked.append(sigma)
        return noisy * 0

    run(name, denoise, randn(3, 1, 2, 2), karras_sigmas(6, 0.1, 10.0))
    per_step = plugins.constant("samplers", name, "EVALUATIONS_PER_STEP")
    assert len(asked) == (6 if per_step == 1 else 2 * 6 - 1)


def test_karras_sigmas_are_those_of_the_paper():
    """Karras et al. 2022, equation 5, at i = 9 of N = 18 by hand."""
    sigmas = karras_sigmas(18, 0.002, 80.0)
    by_hand = (80 ** (1 / 7) + 9 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    assert float(sigmas[9]) == pytest.approx(by_hand, rel=1e-5)


def test_log_snr_sigmas_fall_by_one_factor():
    assert log_snr_sigmas(5, 0.01, 100.0).tolist() == pytest.approx([100, 10, 1, 0.1, 0.01, 0])


def test_flow_sigmas_are_equal_steps_of_time_shifted_as_in_the_paper():
    """Esser et al. 2024, equation 23, with sqrt(m / n) = 3."""
    t = torch.linspace(0.75, 0.5, 6)
    assert torch.allclose(flow_sigmas(6, 1.0, 3.0)[:-1], t / (1 - t))
    plain = torch.linspace(0.5, 0.25, 6)  # the times that the shift takes to the same ends
    shifted = 3 * plain / (1 + 2 * plain)
    assert torch.allclose(flow_sigmas(6, 1.0, 3.0, shift=3.0)[:-1], shifted / (1 - shifted))


@pytest.mark.parametrize("schedule", [karras_sigmas, log_snr_sigmas, flow_sigmas])
@pytest.mark.parametrize("steps", [1, 2, 18, 300])
def test_every_schedule_falls_from_sigma_max_over_sigma_min_to_zero(schedule, steps):
    sigmas = schedule(steps, 0.02, 80.0)
    assert sigmas.shape == (steps + 1,) and sigmas.dtype == torch.float32
    assert (sigmas.diff() < 0).all()
    ends = [80.0, 0.02, 0.0] if steps > 1 else [80.0, 0.0]
    assert [float(sigmas[0]), *sigmas[-2 if steps > 1 else -1 :].tolist()] == pytest.approx(ends, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"eta": 0.5}, "--sampling.eta 0.5: has no effect here, it 'dpmpp_2m' has no such setting"),
        ({"sampler": "heun", "order": 2}, "--sampling.order 2: has no effect"),
        ({"sampler": "heun", "churn_low": 0.1}, "--sampling.churn-low 0.1: has no effect here, it needs --sampling.ch"),
        ({"shift": 3.0}, "--sampling.shift 3.0: has no effect here, it needs --sampling.schedule flow"),
        ({"guidance": 1.0, "guidance_high": 2.0}, "--sampling.guidance-high 2.0: has no effect"),
        ({"guidance": 1.0, "guide": "runs/small"}, "--sampling.guide runs/small: has no effect"),
        ({"judge_scale": 2.0}, "--sampling.judge-scale 2.0: has no effect here, it needs --sampling.judge RUN"),
        ({"guidance_low": 3.0, "guidance_high": 2.0}, "--sampling.guidance-high 2: give a number above"),
        ({"steps": 0}, "--sampling.steps 0: give a number between 1 and 1000"),
        ({"sampler": "unipc", "order": 4}, "--sampling.order 4: give a number between 1 and 3"),
        ({"sampler": "huen"}, "did you mean 'heun'?"),
    ],
)
def test_settings_that_cannot_be_or_do_nothing_are_refused(settings, told):
    with pytest.raises(ConfigError) as error:
        Sampling(**settings)
    assert told in str(error.value)


def test_settings_survive_json():
    settings = Sampling(sampler="heun", churn=20.0, churn_high=5.0, schedule="flow", shift=2.0, guidance_high=3.0)
    assert from_json(Sampling, to_json(settings)) == settings


def test_a_sampler_is_given_the_settings_it_has_and_that_were_given():
    assert Sampling(sampler="heun", churn=20.0).of_sampler() == {"churn": 20.0}
    assert Sampling(sampler="ddim").of_sampler() == {}
    data, start = Points(), randn(8, 1, 1, 1)
    still, stirred = (draw(data, start, None, Sampling(sampler="ddim", steps=6, eta=eta)) for eta in (0.0, 1.0))
    assert not torch.allclose(still, stirred)
    assert torch.equal(stirred, draw(data, start, None, Sampling(sampler="ancestral", steps=6)))


@dataclass(frozen=True)
class Many(Sampling):
    steps: int = 40


def test_a_family_may_have_other_defaults():
    assert len(list(states(Gaussian(), randn(1, 1, 2, 2), None, Many()))) == 40
    with pytest.raises(ConfigError, match=r"--sampling\.eta"):
        Many(eta=1.0)


@ways([case[:2] for case in DETERMINISTIC + STOCHASTIC])
def test_a_picture_is_the_same_alone_in_any_batch_and_again(name, settings):
    start, asked = randn(5, 3, 4, 4), Sampling(sampler=name, steps=8, **settings)
    together = draw(Gaussian(), start, None, asked)
    assert torch.equal(together, draw(Gaussian(), start, None, asked))
    assert torch.allclose(together[[3, 1]], draw(Gaussian(), start[[3, 1]], None, asked), atol=1e-5)


def test_drawing_ends_where_the_states_do():
    start = randn(2, 1, 2, 2)
    way = list(states(Gaussian(), start, None, Sampling(steps=5)))
    assert len(way) == 5
    assert torch.equal(last(iter(way)), draw(Gaussian(), start, None, Sampling(steps=5)))
