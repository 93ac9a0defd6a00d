"""Networks that are compiled: the same losses from one piece of code, and a line where it cannot be had."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch._dynamo.utils import counters

from figment.core import plugins
from figment.core.config import TrainConfig
from figment.core.engine import seeded
from figment.core.errors import ConfigError
from figment.core.types import Batch, Condition, ImageSpec
from figment.train import compiled
from figment.train.trainer import Trainer
from tests.commands import QUICK, figment

STEPS = 4


def trainer_of(family: str, size: int, **settings) -> Trainer:
    module = plugins.load("families", family)
    with seeded(0):
        objective = module.build(module.Config.preset("tiny"), ImageSpec(1, size, size, ("a", "b")))
    return Trainer(objective, replace(module.TRAIN, **settings), steps=STEPS)


def batch_of(size: int) -> Batch:
    with seeded(1):
        return Batch(torch.randn(4, 1, size, size).clamp(-1, 1), Condition(labels=torch.arange(4) % 2))


@pytest.fixture(autouse=True)
def traced(monkeypatch):
    """Graphs are traced and differentiated as always, but run by torch itself: compiling takes a minute."""
    monkeypatch.setattr(compiled, "BACKEND", "aot_eager")
    torch.compiler.reset()
    counters.clear()


@pytest.mark.parametrize(("family", "size"), [("flow", 8), ("meanflow", 8), ("edm", 12)])
def test_losses_are_the_same_and_a_network_is_compiled_once(family, size):
    batch = batch_of(size)
    losses = [
        [report.values["main/loss"] for report in trainer_of(family, size, compile=compile).run(lambda step: batch)]
        for compile in (False, True)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert counters["stats"]["unique_graphs"] == 1 and not counters["graph_break"]


def test_what_is_averaged_saved_and_drawn_with_is_the_network_itself():
    batch, plain, other = batch_of(8), trainer_of("flow", 8), trainer_of("flow", 8, compile=True)
    for trainer in (plain, other):
        list(trainer.run(lambda step: batch))
    before = counters["stats"]["unique_graphs"]
    with torch.no_grad():
        pictures = [trainer.model.generate(torch.ones(3, 1, 8, 8)) for trainer in (plain, other)]
    assert counters["stats"]["unique_graphs"] == before
    torch.testing.assert_close(pictures[1], pictures[0])
    parts = [trainer.state()[0] for trainer in (plain, other)]
    assert {name: part.keys() for name, part in parts[0].items()} == {name: p.keys() for name, p in parts[1].items()}


def test_a_compiler_that_fails_is_told_in_one_line(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no compiler\nfar and wide")

    monkeypatch.setattr(compiled, "BACKEND", broken)
    batch = batch_of(8)
    with pytest.raises(ConfigError, match=r"--train\.compile: .*no compiler far and wide.*leave it out") as told:
        list(trainer_of("flow", 8, compile=True).run(lambda step: batch))
    assert "\n" not in str(told.value)


def test_a_family_without_such_a_network_refuses_it(digits, tmp_path):
    place = ("--data", digits.path, "--out", tmp_path / "run")
    complaint = figment("train", "gan", *place, *QUICK, "--steps", 1, "--train.compile").complaint
    assert complaint.startswith("--train.compile: would have no effect, nothing of a 'gan' may be compiled")


@pytest.mark.parametrize("other", ["shard", "privacy.epsilon"])
def test_what_differentiates_otherwise_refuses_it(digits, tmp_path, other):
    words = ("--train.shard",) if other == "shard" else ("--train.privacy.epsilon", 3)
    place = ("--data", digits.path, "--out", tmp_path / "run")
    complaint = figment("train", "flow", *place, "--steps", 1, "--train.compile", *words).complaint
    assert complaint == f"--train.compile: cannot be had with --train.{other}; leave one of them out"


def test_it_is_off_by_default():
    assert not TrainConfig().compile
