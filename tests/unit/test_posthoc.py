"""Averages rebuilt after training, against sums over every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from figment.core.checkpoint import write_checkpoint
from figment.core.errors import CheckpointError
from figment.train.posthoc import FOLDER, WIDTHS, PowerEma, Profile, exponent, part_name, rebuild, weights
from tests.commands import done


@pytest.mark.parametrize(("sigma_rel", "gamma"), [(0.05, 16.97), (0.10, 6.94)])
def test_the_exponents_are_the_papers(sigma_rel, gamma):
    assert exponent(sigma_rel) == pytest.approx(gamma, abs=5e-3)
    g = exponent(sigma_rel)
    assert (g + 1) ** 0.5 / ((g + 2) * (g + 3) ** 0.5) == pytest.approx(sigma_rel, rel=1e-9)


def drift(steps: int) -> torch.Tensor:
    """A weight that wanders: (steps,)"""
    return torch.randn(steps, generator=torch.Generator().manual_seed(3)).cumsum(0)


def average_of(values: torch.Tensor, sigma_rel: float) -> float:
    """What equation 1 says, as a sum of (tau^(gamma + 1) - (tau - 1)^(gamma + 1)) / t^(gamma + 1)."""
    gamma, tau = exponent(sigma_rel), torch.arange(1, len(values) + 1, dtype=torch.float64)
    share = (tau / len(values)) ** (gamma + 1) - ((tau - 1) / len(values)) ** (gamma + 1)
    return float((share * values.double()).sum())


def followed(values: torch.Tensor, sigma_rel: float, stops: list[int]) -> list[float]:
    model = nn.Linear(1, 1, bias=False)
    average, seen = PowerEma(model, sigma_rel), []
    for step, value in enumerate(values, 1):
        nn.init.constant_(model.weight, float(value))
        average.update(model, step)
        if step in stops:
            seen.append(float(average.model.weight))
    return seen


@pytest.mark.parametrize("sigma_rel", WIDTHS)
def test_an_average_is_close_to_its_definition(sigma_rel):
    values = drift(400)
    (found,) = followed(values, sigma_rel, [400])
    # beta = (1 - 1/t)^(gamma + 1) is the sum above exactly
    assert found == pytest.approx(average_of(values, sigma_rel), abs=1e-4 * float(values.abs().max()))


@pytest.mark.parametrize("wanted", [0.03, 0.05, 0.08, 0.10, 0.15, 0.20])
def test_any_width_is_rebuilt_from_twelve_snapshots(wanted):
    values, stops = drift(1200), list(range(100, 1201, 100))
    snapshots = [Profile(stop, exponent(width)) for width in WIDTHS for stop in stops]
    seen = [value for width in WIDTHS for value in followed(values, width, stops)]
    rebuilt = float(weights(snapshots, Profile(1200, exponent(wanted))) @ np.array(seen))
    assert rebuilt == pytest.approx(average_of(values, wanted), abs=0.02 * float(values.std()))


def test_a_tracked_width_needs_its_own_snapshot_alone():
    snapshots = [Profile(stop, exponent(width)) for width in WIDTHS for stop in (50, 100)]
    share = weights(snapshots, Profile(100, exponent(WIDTHS[1])))
    assert np.allclose(share, [0, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 4, 12])
def test_what_never_moved_is_rebuilt_as_it_is(tmp_path, count):
    """Weights of any number of snapshots sum to 1, whatever width they are to come near to."""
    still = {"frozen.weight": torch.ones(3), "norm.running_var": torch.ones(3)}
    for number in range(1, count + 1):
        write_checkpoint(tmp_path / FOLDER, 1200 * number // count, {part_name(one): still for one in WIDTHS}, {})
    for wanted in (0.03, 0.05, 0.08, 0.15, 0.2):
        rebuilt = rebuild(tmp_path, wanted)
        assert all(torch.allclose(one, torch.ones(3), atol=1e-5) for one in rebuilt.values())


def test_weights_are_the_nearest_of_those_that_sum_to_one():
    snapshots = [Profile(stop, exponent(width)) for width in WIDTHS for stop in (50, 100)]
    wanted, tau = Profile(100, exponent(0.2)), (np.arange(100_000) + 0.5) / 1000

    def profile(one: Profile) -> np.ndarray:
        inside = tau <= one.step
        return np.where(inside, (one.gamma + 1) * (np.minimum(tau, one.step) / one.step) ** one.gamma / one.step, 0)

    def distance(share: np.ndarray) -> float:
        rebuilt = sum(part * profile(one) for part, one in zip(share, snapshots, strict=True))
        return float(np.square(rebuilt - profile(wanted)).mean())

    share, chance = weights(snapshots, wanted), np.random.default_rng(0)
    for _ in range(20):
        other = 0.1 * chance.normal(size=4)
        assert distance(share) < distance(share + other - other.mean())


def test_a_run_keeps_snapshots_from_which_it_is_rebuilt(digits, tmp_path):
    common = ("--data", digits.path, "--scale", "tiny", "--train.ema-snapshots", 3)
    common += ("--train.validate-every", 0, "--train.sample-every", 0, "--train.save-every", 4)
    done("train", "vae", "--out", tmp_path / "whole", "--steps", 12, *common)
    assert sorted(folder.name for folder in (tmp_path / "whole" / "averages").iterdir()) == [
        "00000004",
        "00000008",
        "00000012",
    ]
    narrow, wide = rebuild(tmp_path / "whole", 0.05), rebuild(tmp_path / "whole", 0.2)
    name = next(name for name, tensor in narrow.items() if tensor.is_floating_point() and tensor.ndim > 1)
    assert torch.isfinite(wide[name]).all() and not torch.equal(narrow[name], wide[name])


def test_a_run_without_snapshots_says_what_to_type(tmp_path):
    with pytest.raises(CheckpointError, match=r"--train\.ema-snapshots 12"):
        rebuild(tmp_path, 0.1)
