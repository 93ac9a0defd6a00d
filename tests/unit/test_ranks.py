"""Several processes are one: what they share, and that slices come to the same whoever computes them."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.distributed.fsdp  # forked ranks share what is imported

from figment.core import plugins, ranks
from figment.core.config import TrainConfig
from figment.core.engine import Engine, seeded, slice_of, whole_batch
from figment.core.errors import ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Batch
from figment.data.batches import Batches
from figment.families import _codebook
from figment.train.slices import slices_for
from figment.train.trainer import Trainer
from tests.ranks import together

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # quicker by seconds than interpreters

SLICES, STEPS, BATCH = 4, 2, 16


def refused(make):
    """The name of the error that it ends with."""
    try:
        make()
    except Exception as error:
        return type(error).__name__
    return ""


def fail():
    raise DataError("mine")


def meet():
    """All that ranks do together, as one of them sees it."""
    with ranks.joined():
        me = ranks.rank()
        tensors = [torch.full((2, 3), float(me + 1)), torch.tensor([me + 1]), torch.full((2,), me + 1.0)]
        ranks.add_up(tensors)
        copied = torch.tensor([10.0 + me])
        ranks.copy_first([copied])
        told = {
            "place": (me, ranks.count(), ranks.is_first()),
            "sums": [tensor.flatten().tolist() for tensor in tensors],
            "first's": float(copied),
            "decided": ranks.decided(lambda: ("chosen by", me, ranks.count())),
            "failed": refused(lambda: ranks.decided(fail)),
            "after": ranks.after_first(lambda: (me, ranks.count())),
            "any": (ranks.is_any(me == 1), ranks.is_any(False)),
            "gathered": ranks.gathered(np.arange(5)[ranks.share(5)].tolist()),
        }
        with ranks.alone():
            told["alone"] = (ranks.are_several(), ranks.count(), float(ranks.total(torch.tensor(7.0))))
        told["speaks"] = [ranks.speaks_first() for _ in range(3)]
        return told


def test_ranks_agree(tmp_path):
    first, second = together(2, tmp_path, meet)
    assert [one["place"] for one in (first, second)] == [(0, 2, True), (1, 2, False)]
    assert (first["failed"], second["failed"]) == ("DataError", "RankLost")
    assert (first["after"], second["after"]) == ((0, 1), (1, 1))
    assert sum(first["speaks"] + second["speaks"]) == 1
    for one in (first, second):
        assert one["sums"] == [[3.0] * 6, [3], [3.0, 3.0]]
        assert one["first's"] == 10
        assert one["decided"] == ("chosen by", 0, 1)
        assert one["any"] == (True, False)
        assert one["gathered"] == [0, 1, 2, 3, 4]
        assert one["alone"] == (False, 1, 7.0)


def test_a_process_by_itself_is_the_first_of_one():
    value = torch.tensor([1.0, 2.0])
    with ranks.joined():
        assert (ranks.rank(), ranks.count(), ranks.is_first()) == (0, 1, True)
        assert ranks.total(value) is value
        assert ranks.decided(lambda: 5) == 5 and ranks.gathered([1, 2]) == [1, 2]
        assert ranks.share(7) == slice(0, 7)
        assert ranks.speaks_first() and not ranks.is_restart()


def test_a_place_without_a_meeting_point_is_refused(monkeypatch):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    told = "^RANK and WORLD_SIZE are set, MASTER_ADDR is not: start the command with torchrun$"
    with pytest.raises(ConfigError, match=told), ranks.joined():
        pass


def vanish(made):
    """The second rank ends without a word; what the first one is told."""

    def part():
        with ranks.joined():
            if not ranks.is_first():
                made.write_bytes(pickle.dumps(None))
                os._exit(0)
            ranks.total(torch.ones(3))

    return refused(part)


def test_a_rank_that_is_lost_ends_the_others(tmp_path):
    assert together(2, tmp_path, vanish, tmp_path / "made-1")[0] == "RankLost"


# Slices


def test_slices_are_a_multiple_of_the_ranks_that_a_run_begins_on(monkeypatch):
    train = TrainConfig(batch_size=12)
    assert slices_for(train, 0) == 1 and slices_for(replace(train, slices=6), 0) == 6
    monkeypatch.setattr(ranks, "count", lambda: 4)
    assert slices_for(train, 0) == 4
    assert slices_for(replace(train, slices=6), 0) == 12
    assert slices_for(replace(train, slices=6), 8) == 8  # a run that is under way stays what it is
    with pytest.raises(ConfigError, match="in 6 slices, which 4 ranks cannot share evenly; start it on 1 or 2 or 3"):
        slices_for(train, 6)
    with pytest.raises(ConfigError, match="4 ranks need 20 slices, more than a batch of 12 has pictures"):
        slices_for(replace(train, slices=5), 0)


def test_a_loss_can_count_the_images_of_all_slices():
    assert whole_batch(8) == 8
    with slice_of(0.25):
        assert whole_batch(8) == 32
    assert whole_batch(8) == 8


def trained(name, store, slices=SLICES, shard=False):
    """Losses of a few steps of a tiny family, and all of its state; a codebook is clustered and then learns."""
    trainer, values = steps_of(name, store, slices, shard)
    return values, {part: dict(tensors) for part, tensors in trainer.state()[0].items()}


def steps_of(name, store, slices, shard):
    module = plugins.load("families", name)
    with seeded(0):
        objective = module.build(module.Config.preset("tiny"), store.spec)
    if name == "vqvae":
        objective.model.quantizer.batches.fill_(_codebook.START - 1)
    train = replace(module.TRAIN, batch_size=BATCH, slices=slices, shard=shard, clip_norm=0.5 * shard)
    trainer = Trainer(objective, train, steps=STEPS, seed=1, engine=Engine())
    batches = Batches(store, "train", BATCH, seed=1, augment=train.augment)
    return trainer, [dict(report.values) for report in trainer.run(batches.at)]


def all_trained(store):
    with ranks.joined():
        return {name: trained(name, store) for name in LAYOUTS}


# One phase; two phases, batch norm in both players; a codebook by k-means and running means; counters of images and an
# adaptive strength.
LAYOUTS = ("flow", "dcgan", "vqvae", "vae", "stylegan2")


@pytest.fixture(scope="module")
def layouts(digits, tmp_path_factory):
    """What comes of the same slices on one rank, on two and on four."""
    digits.images("train")
    folder = tmp_path_factory.mktemp("layouts")
    alone = {name: trained(name, digits) for name in LAYOUTS}
    return alone, together(2, folder / "2", all_trained, digits), together(4, folder / "4", all_trained, digits)


@pytest.mark.parametrize("name", LAYOUTS)
def test_1_x_4_and_2_x_2_and_4_x_1_are_one_computation(layouts, name):
    """But for the order in which floats are added up."""
    alone, *several = layouts
    losses, state = alone[name]
    for found in several:
        first_losses, first = found[0][name]
        for step, values in enumerate(losses):
            assert first_losses[step] == pytest.approx(values, rel=2e-4, abs=2e-5)
        for part, tensors in state.items():
            for key, tensor in tensors.items():
                assert torch.allclose(first[part][key].float(), tensor.float(), rtol=1e-3, atol=1e-4), (part, key)
        for other in found[1:]:  # and all ranks agree to the last bit
            assert other[name][0] == first_losses
            for part, tensors in first.items():
                assert all(torch.equal(tensors[key], other[name][1][part][key]) for key in tensors)


# Weights in parts

SHARDED = ("flow", "classifier")


def in_parts(store):
    """What comes of sharded training, this rank's share of the weights, and the model looked at in the end."""
    with ranks.joined():
        found = {name: trained(name, store, shard=True) for name in SHARDED}
        trainer, _ = steps_of("flow", store, SLICES, shard=True)
        weights = list(trainer.objective.model.parameters())
        share = sum(one.to_local().numel() for one in weights) / sum(one.numel() for one in weights)
        with trainer.whole():
            drawn = trainer.model.generate(noise([0, 1], trainer.model))
        return found, share, drawn


@pytest.fixture(scope="module")
def whole(digits):
    """The same on one rank, where there is nothing to share."""
    found = {name: trained(name, digits, shard=True) for name in SHARDED}
    trainer, _ = steps_of("flow", digits, SLICES, shard=True)
    return found, trainer.model.generate(noise([0, 1], trainer.model))


@pytest.mark.parametrize("count", [2, 4])
def test_weights_in_parts_learn_what_whole_ones_do(whole, digits, tmp_path, count):
    alone, picture = whole
    several = together(count, tmp_path, in_parts, digits)
    for name, (losses, state) in alone.items():
        first_losses, first = several[0][0][name]
        for step, values in enumerate(losses):
            assert first_losses[step] == pytest.approx(values, rel=2e-4, abs=2e-5)
        for part, tensors in state.items():
            assert first[part].keys() >= tensors.keys()
            for key, tensor in tensors.items():
                assert torch.allclose(first[part][key].float(), tensor.float(), rtol=1e-3, atol=1e-4), (part, key)
    assert sum(share for _, share, _ in several) == pytest.approx(1)
    assert all(share < 1.4 / count for _, share, _ in several)
    assert all((drawn - picture).abs().max() < 1e-3 for _, _, drawn in several)


def test_every_slice_finds_the_state_of_before_and_the_first_ones_is_kept(digits):
    """Running means of a batch norm follow the first slice alone, with one update a step."""
    module = plugins.load("families", "dcgan")
    norms = {}
    for slices in (1, 4):
        with seeded(0):
            objective = module.build(module.Config.preset("tiny"), digits.spec)
        train = replace(module.TRAIN, batch_size=32, slices=slices)
        batch = Batches(digits, "train", 32).batch_at(0)
        first = Batch(batch.images[:8], batch.condition[slice(0, 8)])
        trainer = Trainer(objective, train, steps=1, engine=Engine())
        trainer.phases = trainer.phases[:1]
        list(trainer.run(lambda step, given=batch if slices == 4 else first: given))
        norms[slices] = {
            key: value for key, value in objective.state_dict().items() if "running" in key or "num" in key
        }
    assert norms[4].keys() == norms[1].keys() and norms[4]
    assert all(torch.equal(norms[4][key], norms[1][key]) for key in norms[4])


def test_a_rank_reads_its_own_slices_only(digits):
    batches = Batches(digits, "train", 12, seed=3)
    whole, lazily = batches.batch_at(5), batches.at(5)
    assert len(lazily) == 12
    part = lazily[4:8]
    assert torch.equal(part.images, whole.images[4:8])
    assert torch.equal(part.condition.labels, whole.condition.labels[4:8])


def uneven():
    """A weight that one rank alone uses, and one that none does, as optimizers see them."""
    from figment.train.slices import add_up

    used, sometimes, never = (torch.nn.Parameter(torch.zeros(2)) for _ in range(3))
    with ranks.joined():
        used.grad = torch.ones(2)
        if ranks.rank() == 1:
            sometimes.grad = torch.full((2,), 3.0)
        values = add_up([used, sometimes, never], {"loss": torch.tensor(0.5), "other": torch.tensor(2.0)})
        gradients = [None if one.grad is None else one.grad.tolist() for one in (used, sometimes, never)]
        return gradients, {name: float(value) for name, value in values.items()}


def test_a_weight_that_only_one_rank_uses_moves_on_all(tmp_path):
    for gradients, values in together(2, tmp_path, uneven):
        assert gradients == [[2.0, 2.0], [3.0, 3.0], None]
        assert values == {"loss": 1.0, "other": 4.0}
