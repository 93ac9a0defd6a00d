"""pix2pix and cyclegan: their players, what counts as a pair or a class, and that they learn to translate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from figment.core.engine import seeded
from figment.core.errors import ConfigError, DataError
from figment.core.types import Batch, Condition, ImageSpec, Translates
from figment.edits import Request
from figment.edits.translate import Config, edit
from figment.families import cyclegan, pix2pix
from figment.nets.translator import PatchCritic, ResidualTranslator, SkipTranslator, levels_of
from figment.train.trainer import Trainer

PAIRS = ImageSpec(1, 8, 8, paired=True)
CLASSES = ImageSpec(1, 8, 8, classes=("dark", "light", "other"))


def built(family, spec, **changes):
    with seeded(0):
        return family.build(replace(family.Config.preset("tiny"), **changes), spec)


def squares(count: int, seed: int) -> torch.Tensor:
    """Pictures (count, 1, 8, 8) of one bright square of 3x3 pixels on dark ground."""
    source = torch.Generator().manual_seed(seed)
    images = torch.full((count, 1, 8, 8), -0.8)
    for image, (top, left) in zip(images, torch.randint(0, 5, (count, 2), generator=source).tolist(), strict=True):
        image[:, top : top + 3, left : left + 3] = 0.8
    return images


def negatives(step: int) -> Batch:
    """Squares, and as their other half the same pictures with light and dark changed over."""
    given = squares(16, step)
    return Batch(-given, Condition(image=given))


def test_pix2pix_learns_what_the_other_half_is():
    objective = built(pix2pix, PAIRS)
    trainer = Trainer(objective, replace(pix2pix.TRAIN, batch_size=16), steps=60)
    for _ in trainer.run(negatives):
        pass
    given = squares(8, 999)
    error = (objective.model.eval().translate(given) + given).abs().mean()
    assert error < 0.15 < (given - -given).abs().mean()


def test_cyclegan_tells_its_two_classes_apart_and_leaves_others_alone():
    objective = built(cyclegan, CLASSES, second="other")
    assert objective.model.labels == (0, 2)
    batch = Batch(torch.arange(6.0).view(6, 1, 1, 1).expand(6, 1, 8, 8), Condition(labels=torch.tensor([0, 1, 2] * 2)))
    assert objective.of_class(batch, 0)[0][:, 0, 0, 0].tolist() == [0, 3]
    assert objective.of_class(batch, 2)[0][:, 0, 0, 0].tolist() == [2, 5]


def test_a_batch_without_one_of_the_classes_counts_for_nothing_there():
    objective = built(cyclegan, CLASSES)
    batch = Batch(squares(4, 0), Condition(labels=torch.zeros(4, dtype=torch.long)))
    assert all(term.detach() == 0 for term in objective.critic_loss(batch).terms.values())
    sum(objective.translator_loss(batch).terms.values()).backward()
    assert all(one.grad is None or one.grad.isfinite().all() for one in objective.parameters())


def test_both_players_play_half_of_the_papers_game():
    objective = built(cyclegan, CLASSES)
    batch = Batch(squares(6, 0), Condition(labels=torch.tensor([0, 1] * 3)))
    a, b = batch.images[::2], batch.images[1::2]
    with torch.no_grad():
        judged = objective.critics[1](b), objective.critics[1](objective.model.to_second(a))
        first = objective.critics[0](objective.model.to_first(b))
        game = ((judged[1] - 1).square().mean() + (first - 1).square().mean()) / 2
        assert torch.allclose(objective.translator_loss(batch).terms["adversarial"], game)
        critic = ((judged[0] - 1).square().mean() + judged[1].square().mean()) / 2
        assert torch.allclose(objective.critic_loss(batch).terms["second"], critic)


def test_what_is_of_the_wanted_class_is_learnt_to_be_left_alone():
    objective = built(cyclegan, CLASSES, cycle=0.0)
    labels = torch.tensor([0, 1] * 8)

    def batch_at(step: int) -> Batch:
        images = squares(16, step)
        return Batch(torch.where((labels == 0)[:, None, None, None], images, -images), Condition(labels=labels))

    before = objective.translator_loss(batch_at(0)).terms["identity"]
    for _ in Trainer(objective, replace(cyclegan.TRAIN, batch_size=16, lr=2e-3), steps=40).run(batch_at):
        pass
    assert objective.translator_loss(batch_at(0)).terms["identity"] < 0.5 * before


def test_each_picture_is_translated_to_the_class_asked_for():
    model = built(cyclegan, CLASSES).model.eval()
    images = squares(3, 1)
    answer = model.translate(images, Condition(labels=torch.tensor([0, 1, 1])))
    first, second = (net(images).clamp(-1, 1) for net in (model.to_first, model.to_second))
    assert torch.equal(answer[:1], first[:1])
    assert torch.allclose(answer[1:], second[1:])
    assert torch.allclose(model.translate(images), second)


@pytest.mark.parametrize("size", [(8, 8), (13, 30), (64, 40)])
def test_pictures_of_any_size_keep_it(size):
    for net in (SkipTranslator((3, 1), 8, 2, 0.5), ResidualTranslator(3, 8, 2)):
        answer = net.eval()(torch.randn(2, 3, *size))
        assert answer.shape[-2:] == size and answer.isfinite().all()
        assert torch.allclose(net(torch.ones(2, 3, *size)[:1]), net(torch.ones(2, 3, *size))[:1], atol=1e-5)


def test_a_patch_sees_no_further_than_its_size():
    critic = PatchCritic(1, 8, 2).eval()
    for layer in critic.layers:
        if isinstance(layer, torch.nn.Sequential):
            layer[1] = torch.nn.Identity()  # a norm sees the whole picture
    images = torch.zeros(1, 1, 64, 64, requires_grad=True)
    critic(images)[0, 0, 8, 8].backward()
    rows = images.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert 8 < int(rows.max() - rows.min()) + 1 <= 40


@pytest.mark.parametrize(("size", "levels"), [((8, 8), 1), ((28, 28), 2), ((256, 256), 6), ((16, 300), 2)])
def test_how_often_a_picture_is_halved(size, levels):
    assert levels_of(*size) == levels


def test_what_cannot_be_translated_is_refused():
    with pytest.raises(DataError, match="learns from pairs, this dataset has none"):
        built(pix2pix, ImageSpec(1, 8, 8))
    with pytest.raises(DataError, match="this dataset has 8x8x1, no labels; build one with two classes"):
        built(cyclegan, ImageSpec(1, 8, 8))
    with pytest.raises(ConfigError, match="did you mean 'light'"):
        built(cyclegan, CLASSES, first="lihgt")
    with pytest.raises(ConfigError, match="both are 'light'; name two classes"):
        built(cyclegan, CLASSES, first="light", second="light")


def test_the_edit_translates_pictures_of_any_size():
    model = built(pix2pix, PAIRS).model.eval()
    assert isinstance(model, Translates)
    picture = torch.rand(1, 1, 20, 30) * 2 - 1
    answer = edit(model, Request(PAIRS, images=(picture,), seeds=(0, 1)), Config())
    assert answer.images.shape == (2, 1, 20, 30) and torch.equal(answer.images[0], answer.images[1])
