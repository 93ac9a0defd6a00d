from __future__ import annotations

import numpy as np
import torch

from figment.core.noise import following, mix, noise, uniform


class Model:
    def noise_shape(self):
        return (3, 5)


def test_a_seed_means_the_same_noise_alone_and_in_a_batch():
    together = noise([4, 7, 9], Model())
    assert torch.equal(noise([7], Model())[0], together[1])
    assert noise([], Model()).shape == (0, 3, 5)


def test_every_part_of_a_seed_matters():
    assert len({mix(), mix(0), mix(1), mix(0, 0), mix(0, 1), mix(1, 0), mix(2**40)}) == 7
    assert 0 <= mix(-1, 5) < 2**63


def test_uniform_numbers_belong_to_seed_epoch_and_index():
    epochs, indices = np.array([0, 0, 1, 1]), np.array([3, 4, 3, 4])
    numbers = uniform(1, epochs, indices, 6)
    assert numbers.shape == (4, 6)
    assert np.array_equal(uniform(1, epochs[2:], indices[2:], 6), numbers[2:])
    assert len(np.unique(numbers)) == numbers.size
    assert not np.array_equal(uniform(2, epochs, indices, 6), numbers)


def test_uniform_numbers_are_uniform():
    numbers = uniform(0, np.zeros(5000, int), np.arange(5000), 8)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert np.allclose(numbers.mean(0), 0.5, atol=0.02)
    assert np.allclose(numbers.var(0), 1 / 12, atol=0.005)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(8)).max() < 0.06


def test_what_follows_belongs_to_each_rows_own_noise_and_the_step():
    first = torch.randn(5, 3, 40, generator=torch.Generator().manual_seed(0))
    noise_at = following(first)
    late = noise_at(3)
    assert torch.equal(following(first[[4, 1]])(3), late[[4, 1]])
    assert torch.equal(following(first.double())(3), late.double())  # and so whatever the dtype
    fresh = torch.stack([first, noise_at(0), noise_at(1), late]).flatten(0, 1).flatten(1)
    assert (fresh.corrcoef() - torch.eye(20)).abs().max() < 0.45
    assert torch.equal(noise_at(3), late)


def test_what_follows_is_standard_normal():
    values = torch.stack([following(torch.ones(1, 20_000) * row)(row) for row in range(5)]).flatten()
    assert abs(float(values.mean())) < 0.02 and abs(float(values.std()) - 1) < 0.02
