"""progan: what its players see at every stage of growth, and that growth survives slices and resuming."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from figment.core.engine import seeded
from figment.core.noise import noise
from figment.core.types import Batch, ImageSpec
from figment.families import progan
from figment.nets.progressive import GrowingCritic, enlarged, level_of, reduced, unit
from figment.train.trainer import Trainer

SPEC = ImageSpec(1, 16, 16)


def built(**changes):
    with seeded(0):
        return progan.build(replace(progan.Config.preset("tiny"), **changes), SPEC)


@pytest.mark.parametrize(("growth", "expected"), [(0.0, (0, 1.0)), (0.25, (1, 0.25)), (1.0, (1, 1.0)), (1.5, (2, 0.5))])
def test_the_newest_level_and_its_share(growth, expected):
    assert level_of(growth) == expected


@pytest.mark.parametrize(
    ("stages", "growth"), [(0, 0), (1, 0), (1.5, 0.5), (2, 1), (3, 1), (3.5, 1.5), (4, 2), (5, 2), (90, 2)]
)
def test_a_level_rests_as_long_as_it_is_faded_in(stages, growth):
    model = built(stage_images=100).model
    model.seen.fill_(round(stages * 100))
    assert model.growth == pytest.approx(growth)


def test_pictures_change_steadily_while_a_level_is_faded_in():
    model = built(stage_images=1000).model
    start = noise([0, 1], model)

    def drawn(growth: float) -> torch.Tensor:
        return model(start, None, growth)

    old, new = enlarged(reduced(drawn(1.0), (8, 8)), (16, 16)), drawn(2.0)
    assert torch.allclose(drawn(1.0), old, atol=1e-6)  # no more detail than the old level has
    assert torch.allclose(drawn(1.5), old.lerp(new, 0.5), atol=1e-5)
    assert (drawn(1.0 + 1e-6) - old).abs().max() < 1e-4


def test_the_critic_sees_no_more_detail_than_there_is():
    with seeded(0):
        critic = GrowingCritic(SPEC, 8)
    fine = torch.randn(4, 1, 16, 16)
    coarse = enlarged(reduced(fine, (4, 4)), (16, 16))
    assert torch.allclose(critic(fine, None, 0.0), critic(coarse, None, 0.0), atol=1e-5)
    assert not torch.allclose(critic(fine, None, 2.0), critic(coarse, None, 2.0), atol=1e-3)


def test_real_pictures_are_faded_like_generated_ones():
    objective = built(stage_images=100)
    x = torch.randn(3, 1, 16, 16)
    objective.model.seen.fill_(150)  # half of level 1
    expected = enlarged(reduced(x, (4, 4)), (16, 16)).lerp(enlarged(reduced(x, (8, 8)), (16, 16)), 0.5)
    assert torch.allclose(objective.faded(x), expected, atol=1e-6)
    objective.model.seen.fill_(10_000)
    assert torch.equal(objective.faded(x), x)


def test_a_stage_begins_where_a_level_is_faded_in():
    objective = built(stage_images=100)
    for level, images in enumerate(objective.stages()):
        objective.skip_to(max(0, images - 1))
        assert objective.model.growth == max(0, level - 1)
        objective.skip_to(images)
        assert objective.model.growth > level - 1
    objective.skip_to(images + 100)
    assert objective.model.growth == len(objective.model.sizes) - 1


def test_normalised_features_have_a_mean_square_of_one():
    assert torch.allclose(unit(7 * torch.randn(2, 5, 3, 3)).square().mean(1), torch.ones(2, 3, 3), atol=1e-4)


@pytest.mark.parametrize("slices", [1, 3])
def test_growth_counts_pictures_however_a_batch_is_cut(slices):
    objective = built(stage_images=10)
    trainer = Trainer(objective, replace(progan.TRAIN, batch_size=6, slices=slices), steps=4)
    grown = []
    for _ in trainer.run(lambda step: Batch(torch.rand(6, 1, 16, 16) * 2 - 1)):
        grown.append(objective.model.growth)
    assert int(objective.model.seen) == 24
    assert grown == pytest.approx([0.0, 0.2, 0.8, 1.0])
    assert int(trainer.model.seen) == 24  # the averaged model is as far grown
