from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from figment.core.config import TrainConfig
from figment.core.engine import Engine
from figment.core.errors import NumericsError
from figment.train.trainer import Trainer
from tests.doubles import Broken, MeanObjective, TwoPlayers, constant_batches, varied_batches

CONFIG = TrainConfig(batch_size=8, lr=0.1, schedule="constant", warmup=0.0, ema_half_life=0)


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.objective.parameters()])


@pytest.mark.parametrize("optimizer", ["adamw", "adam", "rmsprop", "sgd"])
def test_every_optimizer_finds_the_mean(optimizer):
    lr = {"sgd": 0.02, "rmsprop": 0.02}.get(optimizer, 0.1)
    trainer = Trainer(MeanObjective(), replace(CONFIG, optimizer=optimizer, lr=lr), steps=150)
    reports = list(trainer.run(constant_batches(0.5)))
    assert abs(float(trainer.objective.model.value.detach()) - 0.5) < 0.05
    assert [report.step for report in reports] == list(range(1, 151))
    assert reports[-1].seen_images == 150 * 8
    assert reports[-1].values["main/loss"] < reports[0].values["main/loss"]


def test_phases_move_their_own_part_at_their_own_pace():
    objective = TwoPlayers()
    trainer = Trainer(objective, CONFIG, steps=6)
    list(trainer.run(constant_batches()))
    assert objective.taken == ["critic", "lazy", "model", "critic", "model", "critic", "model"] * 2
    assert len(trainer.optimizers) == 2  # critic and lazy share one


def test_a_phase_leaves_other_parts_alone():
    objective = TwoPlayers()
    trainer = Trainer(objective, replace(CONFIG, lr=0.5), steps=1)
    before = objective.critic.value.detach().clone()
    trainer.phases = trainer.phases[2:]
    list(trainer.run(constant_batches()))
    assert torch.equal(objective.critic.value, before)
    assert not torch.equal(objective.model.value, torch.zeros(1, 1))


def test_gain_multiplies_the_gradient():
    def gradient(gain):
        objective = TwoPlayers()
        trainer = Trainer(objective, CONFIG, steps=1)
        trainer.phases = tuple(replace(phase, gain=gain) for phase in trainer.phases[:1])
        (report,) = trainer.run(constant_batches())
        return report.values["critic/gradient_norm"]

    assert gradient(3.0) == pytest.approx(3 * gradient(1.0))


@pytest.mark.parametrize("slices", [2, 3, 8])
def test_slices_add_up_to_the_whole_batch(slices):
    whole, cut = (Trainer(MeanObjective(), replace(CONFIG, slices=number), steps=5) for number in (1, slices))
    first, second = list(whole.run(varied_batches())), list(cut.run(varied_batches()))
    assert torch.allclose(weights(whole), weights(cut), atol=1e-6)
    assert first[-1].values["main/loss"] == pytest.approx(second[-1].values["main/loss"], rel=1e-5)


def test_every_slice_draws_noise_of_its_own():
    objective = MeanObjective(noise=1.0)
    drawn = []
    loss = objective.loss

    def spy(batch):
        answer = loss(batch)
        drawn.append(float(answer.terms["square"].detach()))
        return answer

    objective.loss = spy
    list(Trainer(objective, replace(CONFIG, slices=4), steps=2).run(constant_batches()))
    assert len(set(drawn)) == 8


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "sgd"])
@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
def test_stopped_and_resumed_is_the_same_to_the_last_bit(optimizer, schedule):
    config = replace(CONFIG, optimizer=optimizer, schedule=schedule, lr=0.01, slices=2, ema_half_life=40, l1=1e-3)
    whole = Trainer(MeanObjective(noise=0.3), config, steps=12, seed=3)
    for report in whole.run(varied_batches()):
        if report.step % 2 == 0:
            whole.plateau.observe(1.0)  # never better: backs off
    first = Trainer(MeanObjective(noise=0.3), config, steps=12, seed=3)
    for report in first.run(varied_batches()):
        if report.step % 2 == 0:
            first.plateau.observe(1.0)
        if report.step == 5:
            break
    parts, facts = first.state()
    torch.manual_seed(12345)
    second = Trainer(MeanObjective(noise=0.3), config, steps=12, seed=3)
    second.load_state(5, {name: dict(part) for name, part in parts.items()}, facts)
    for report in second.run(varied_batches()):
        if report.step % 2 == 0:
            second.plateau.observe(1.0)
    assert torch.equal(weights(whole), weights(second))
    assert torch.equal(whole.ema.model.value, second.ema.model.value)
    assert whole.plateau.state == second.plateau.state


def test_another_seed_is_another_run():
    ends = []
    for seed in (0, 1):
        trainer = Trainer(MeanObjective(noise=1.0), CONFIG, steps=3, seed=seed)
        list(trainer.run(varied_batches()))
        ends.append(float(trainer.objective.model.value.detach()))
    assert ends[0] != ends[1]


def test_nan_stops_and_names_phase_and_term():
    trainer = Trainer(Broken(), CONFIG, steps=10)
    with pytest.raises(NumericsError, match=r"step 2: main/sick became nan; the last checkpoint is kept"):
        list(trainer.run(constant_batches()))
    assert torch.isfinite(weights(trainer)).all()


def test_clipping_bounds_the_step():
    trainer = Trainer(MeanObjective(), replace(CONFIG, optimizer="sgd", beta1=0.0, lr=1.0, clip_norm=0.1), steps=1)
    (report,) = trainer.run(constant_batches(5.0))
    assert report.values["main/gradient_norm"] == pytest.approx(10.0)
    assert float(trainer.objective.model.value.detach()) == pytest.approx(0.1, rel=1e-4)


def test_l1_pulls_every_weight_by_the_same():
    objective = MeanObjective()
    torch.nn.init.constant_(objective.model.value, 0.5)
    list(
        Trainer(objective, replace(CONFIG, optimizer="sgd", beta1=0.0, lr=1.0, l1=0.01), steps=1).run(
            constant_batches(0.5)
        )
    )
    assert float(objective.model.value.detach()) == pytest.approx(0.49)


def test_weight_decay_spares_vectors():
    objective = MeanObjective()
    objective.model.bias = torch.nn.Parameter(torch.ones(1))
    torch.nn.init.ones_(objective.model.value)
    config = replace(CONFIG, optimizer="sgd", beta1=0.0, lr=0.1, weight_decay=0.5)
    list(Trainer(objective, config, steps=1).run(constant_batches(1.0)))
    assert float(objective.model.value.detach()) == pytest.approx(0.95)
    assert float(objective.model.bias.detach()) == 1.0


def test_bfloat16_keeps_weights_in_float32():
    trainer = Trainer(MeanObjective(), CONFIG, steps=2, engine=Engine(precision="bfloat16", layout="channels_last"))
    list(trainer.run(varied_batches()))
    assert weights(trainer).dtype == torch.float32
