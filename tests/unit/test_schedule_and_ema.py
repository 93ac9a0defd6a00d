from __future__ import annotations

import pytest
import torch
from torch import nn

from figment.core.config import TrainConfig
from figment.train.ema import Ema
from figment.train.schedule import Plateau, lr_factor


def factors(schedule, warmup=0.1, steps=100):
    config = TrainConfig(schedule=schedule, warmup=warmup)
    return [lr_factor(config, step, steps) for step in range(steps)]


def test_cosine_rises_then_falls_to_nothing():
    rate = factors("cosine")
    assert max(rate) == pytest.approx(1.0, abs=0.06)
    assert rate[:9] == sorted(rate[:9])
    assert rate[10:] == sorted(rate[10:], reverse=True)
    assert rate[-1] < 1e-3


def test_step_divides_by_ten_twice():
    rate = factors("step", warmup=0.0)
    assert (rate[0], rate[70], rate[-1]) == pytest.approx((1.0, 0.1, 0.01))


def test_constant_stays():
    assert set(factors("constant", warmup=0.0)) == {1.0}


def test_plateau_halves_after_its_patience_is_used_up():
    plateau = Plateau(patience=2)
    for loss in (3.0, 2.0, 2.5, 2.5, 1.0, 1.5, 1.5):
        plateau.observe(loss)
    assert plateau.state["factor"] == 0.25


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))


def test_the_average_counts_images_and_follows_counters():
    model = Counter()
    ema = Ema(model, half_life_images=100)
    nn.init.ones_(model.weight)
    model.seen += 5
    ema.update(model, seen_images=10**6, batch_size=100)  # one half-life
    assert float(ema.model.weight) == pytest.approx(0.5)
    assert int(ema.model.seen) == 5


def test_the_average_starts_short():
    model = Counter()
    ema = Ema(model, half_life_images=10**9)
    nn.init.ones_(model.weight)
    ema.update(model, seen_images=1000, batch_size=500)  # half-life 50 images: ten of them have passed
    assert float(ema.model.weight) == pytest.approx(1 - 2**-10)
