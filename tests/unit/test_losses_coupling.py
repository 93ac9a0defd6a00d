"""Couplings of noise and pictures, and times of training: against brute force and closed forms."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from figment.core.engine import seeded
from figment.core.errors import ConfigError
from figment.core.types import Batch, Condition, ImageSpec
from figment.families import flow
from figment.losses.coupling import transport
from figment.losses.times import draw_times


def pair(count, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randn(count, 1, 2, 3, generator=source), torch.randn(count, 1, 2, 3, generator=source)


@pytest.mark.parametrize("seed", range(3))
def test_transport_is_the_cheapest_of_all_orders(seed):
    x, n = pair(6, seed)

    def cost(order) -> float:
        return float((x - n[list(order)]).square().sum())

    best = min(itertools.permutations(range(6)), key=cost)
    assert transport(x, n, Condition()).tolist() == list(best)


def test_transport_stays_within_a_condition():
    """With labels, attributes and captions, of which one is not given."""
    x, n = pair(12)
    labels = torch.arange(12) % 3
    for condition in (
        Condition(labels=labels),
        Condition(attributes=torch.where(labels == 0, float("nan"), labels.float())[:, None]),
        Condition(captions=labels.to(torch.uint8)[:, None].expand(-1, 4)),
    ):
        order = transport(x, n, condition)
        assert sorted(order.tolist()) == list(range(12))
        assert torch.equal(labels[order], labels)
        for label in range(3):
            of = labels == label
            inside = transport(x[of], n[of], Condition())
            assert torch.equal(order[of], torch.arange(12)[of][inside])


def test_rows_of_different_conditions_stay_where_they_are():
    x, n = pair(5)
    assert transport(x, n, Condition(labels=torch.arange(5))).tolist() == [0, 1, 2, 3, 4]


def test_a_coupled_flow_learns_from_shorter_ways():
    spec = ImageSpec(1, 8, 8, classes=("a", "b"))
    batch = Batch(torch.rand(32, 1, 8, 8), Condition(labels=torch.arange(32) % 2))
    losses = []
    for coupling in ("independent", "transport"):
        with seeded(0):
            objective = flow.build(flow.Config(width=8, coupling=coupling), spec)
            losses.append(float(objective.loss(batch).terms["velocity"].detach()))
    assert losses[1] < losses[0]  # an untrained network answers 0, so this is the mean squared way


CUMULATIVE = {
    "logit_normal": lambda t: torch.special.ndtr(torch.logit(t) - 0.5),
    "uniform": lambda t: t,
    "cosmap": lambda t: 2 / math.pi * torch.atan(t / (1 - t)),  # the integral of equation 22
}


@pytest.mark.parametrize("kind", CUMULATIVE)
def test_times_are_spread_as_in_the_paper(kind):
    """Kolmogorov and Smirnov: a wrong distribution would be off by more than 0.02 somewhere."""
    with seeded(0):
        times = draw_times(kind, 20_000, mean=0.5).sort().values
    empirical = (torch.arange(20_000) + 0.5) / 20_000
    assert (CUMULATIVE[kind](times.double()) - empirical).abs().max() < 0.013


def test_mode_times_favour_the_middle_and_reach_the_ends():
    """Density at 1/2 is 1 / |f'(1/2)| = 1 / (1 - 1.29 (pi / 2 - 1)) = 3.79."""
    with seeded(0):
        times = draw_times("mode", 50_000)
    assert 0 <= times.min() < 0.01 and 0.99 < times.max() <= 1
    assert float(((times - 0.5).abs() < 0.01).float().mean()) / 0.02 == pytest.approx(3.79, rel=0.05)
    assert float(times.mean()) == pytest.approx(0.5, abs=0.01)


def test_a_mean_of_times_that_have_none_is_refused():
    with pytest.raises(ConfigError, match=r"--family\.time-mean 1: has no effect on mode times"):
        flow.Config(times="mode", time_mean=1.0)
