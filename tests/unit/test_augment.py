from __future__ import annotations

import numpy as np
import pytest
import torch

from figment.core.augment import augment
from figment.core.config import Augment

SETTINGS = [
    Augment(flip=True),
    Augment(crop=3),
    Augment(rotate=30, crop=1),
    Augment(color=0.3),
    Augment(noise=0.1),
    Augment(salt_pepper=0.2),
]


def change(images, settings, indices=None, epoch=0):
    indices = np.arange(len(images)) if indices is None else indices
    return augment(images, settings, seed=5, epochs=np.full(len(images), epoch), indices=indices)


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (6, 3, 9, 7), (6, 4, 5, 12)])
def test_a_change_belongs_to_the_picture_not_to_the_batch(settings, shape):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = change(images, settings)
    assert whole.shape == images.shape
    assert whole.abs().max() <= 1
    assert not torch.equal(whole, images)
    assert torch.equal(change(images[4:], settings, np.arange(4, 6)), whole[4:])
    assert not torch.equal(change(images, settings, epoch=1), whole)


def test_nothing_asked_nothing_changed():
    images = torch.rand(2, 1, 4, 4)
    assert change(images, Augment()) is images


def test_flip_mirrors_about_half_of_the_pictures():
    images = torch.arange(4.0).view(1, 1, 1, 4).repeat(400, 1, 1, 1) / 4
    flipped = (change(images, Augment(flip=True))[:, 0, 0, 0] > 0).float().mean()
    assert 0.4 < flipped < 0.6


def test_crop_shifts_by_whole_pixels_and_reflects_the_border():
    images = torch.arange(5.0).view(1, 1, 1, 5).repeat(200, 1, 1, 1) / 10
    rows = {tuple((row * 10).round().int().tolist()) for row in change(images, Augment(crop=1))[:, 0, 0]}
    assert rows == {(1, 0, 1, 2, 3), (0, 1, 2, 3, 4), (1, 2, 3, 4, 3)}


def test_rotation_is_rigid_in_a_non_square_picture():
    """A centred disc stays a disc whatever the angle."""
    y, x = torch.meshgrid(torch.arange(21.0) - 10, torch.arange(41.0) - 20, indexing="ij")
    disc = (torch.sigmoid(4 * (6 - (x**2 + y**2).sqrt())) * 2 - 1).view(1, 1, 21, 41)
    turned = change(disc.repeat(8, 1, 1, 1), Augment(rotate=180))
    # Interpolation blurs the edge, nothing else; further out reflections of the disc come in.
    assert (turned - disc)[..., 3:18, 13:28].abs().max() < 0.35


def test_alpha_takes_no_part_in_colour():
    images = torch.rand(4, 4, 6, 6) * 2 - 1
    assert torch.equal(change(images, Augment(color=0.5))[:, 3], images[:, 3])


def test_noise_has_the_asked_strength():
    grain = change(torch.zeros(64, 1, 16, 16), Augment(noise=0.2))
    assert abs(float(grain.std()) - 0.2) < 0.005
    assert abs(float(grain.mean())) < 0.005


def test_salt_and_pepper_hit_the_asked_share():
    hit = change(torch.zeros(64, 3, 16, 16), Augment(salt_pepper=0.1))
    assert abs(float((hit != 0).float().mean()) - 0.1) < 0.01
    assert set(hit.unique().tolist()) == {-1.0, 0.0, 1.0}
