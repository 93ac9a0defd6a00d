from __future__ import annotations

import math

import pytest
import torch

from figment.losses.adversarial import non_saturating_critic, non_saturating_generator
from figment.losses.contrast import nt_xent
from figment.losses.denoising import logit_normal_times, rows
from figment.losses.kl import gaussian_kl_nats


def test_kl_against_torch():
    mean, log_variance = torch.randn(5, 3), torch.randn(5, 3)
    posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(gaussian_kl_nats(mean, log_variance), expected, atol=1e-5)


def test_adversarial_losses_at_known_logits():
    zero = torch.zeros(4, 1)
    assert float(non_saturating_critic(zero, zero)) == pytest.approx(2 * math.log(2))
    assert float(non_saturating_generator(zero)) == pytest.approx(math.log(2))
    assert float(non_saturating_critic(torch.tensor([[20.0]]), torch.tensor([[-20.0]]))) < 1e-8


def test_contrast_is_low_only_for_matching_views():
    views = torch.eye(6)
    assert float(nt_xent(views, views, 0.1)) < 1e-2
    assert float(nt_xent(views, views.roll(1, 0), 0.1)) > 5


def test_contrast_of_one_picture_is_zero():
    assert float(nt_xent(torch.ones(1, 4), -torch.ones(1, 4), 0.1)) == pytest.approx(0.0)


def test_times_are_logit_normal():
    torch.manual_seed(0)
    logits = torch.logit(logit_normal_times(20_000, mean=0.5, std=2.0).double())
    assert float(logits.mean()) == pytest.approx(0.5, abs=0.05)
    assert float(logits.std()) == pytest.approx(2.0, abs=0.05)


def test_rows_line_up_with_pictures():
    assert rows(torch.ones(3), torch.zeros(3, 1, 4, 4)).shape == (3, 1, 1, 1)
