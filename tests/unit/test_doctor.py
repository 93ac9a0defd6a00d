"""The doctor: every sickness is found in a run that was sabotaged, and none in healthy ones."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from figment.cli._measure import judge_for
from figment.core import plugins
from figment.core.config import TrainConfig
from figment.core.engine import Engine
from figment.core.errors import CheckpointError
from figment.core.types import Batch, Loss
from figment.data.batches import Batches
from figment.diagnoses import Evidence, Finding, Series, findings
from figment.evaluate import evidence as room
from figment.families import _codebook, flow, gan, vae
from figment.features.judge import folder_of
from figment.train.fit import fit
from figment.train.run import DataPin, RunConfig, open_run, read_run
from figment.train.trainer import Trainer
from tests.commands import done, figment
from tests.doubles import MeanObjective


def trained(folder: Path, store: Any, family: str, steps: int, settings: Any = None, **train: Any) -> RunConfig:
    """A tiny run of a family on a dataset."""
    module = plugins.load("families", family)
    usual = {"batch_size": 64, "log_every": 5, "sample_every": 0, "validate_every": 0}
    asked = RunConfig(
        family=family,
        settings=settings or module.Config.preset("tiny"),
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=replace(module.TRAIN, **(usual | train)),
        steps=steps,
        engine=Engine(),
    )
    run = open_run(folder, asked)
    for _ in fit(folder, run, store, warn=print, stopping=lambda: False):
        pass
    return read_run(folder)


def examined(folder: Path, run: RunConfig, store: Any, num: int = 150) -> dict[str, Finding]:
    """What the doctor finds, by the name of the sickness."""
    eyes: Any = judge_for(store, folder_of(store), None) if num else None  # type: ignore[arg-type]
    evidence, parts = room.examined(folder, run, store, eyes, num, print)
    return {finding.sickness: finding for finding in findings(evidence, parts)}


# Healthy runs.


@pytest.mark.parametrize(("family", "steps"), [("gan", 400), ("vae", 250), ("vqvae", 120), ("flow", 150)])
def test_a_healthy_run_is_accused_of_nothing(tmp_path, judged, family, steps):
    run = trained(tmp_path, judged, family, steps, validate_every=40 if family != "gan" else 0)
    assert examined(tmp_path, run, judged) == {}


# Sabotaged runs.


def test_a_generator_that_does_not_listen_to_its_noise_has_collapsed(tmp_path, judged, monkeypatch):
    run = trained(tmp_path, judged, "gan", 100)
    model = type(room.build_objective(run).model)
    generate = model.generate
    monkeypatch.setattr(model, "generate", lambda self, noise, *rest: generate(self, 0 * noise, *rest))
    found = examined(tmp_path, run, judged)
    assert found["mode_collapse"].figure < 0.2


def test_a_critic_whose_opponent_stands_still_has_won(tmp_path, digits, monkeypatch):
    loss = gan.GanObjective.generator_loss
    monkeypatch.setattr(gan.GanObjective, "generator_loss", lambda self, batch: zeroed(loss(self, batch)))
    run = trained(tmp_path, digits, "gan", 250)
    assert examined(tmp_path, run, digits, num=0)["critic_won"].figure < 0.02


def test_a_critic_that_learns_nothing_has_given_up(tmp_path, digits, monkeypatch):
    loss = gan.GanObjective.critic_loss
    monkeypatch.setattr(gan.GanObjective, "critic_loss", lambda self, batch: zeroed(loss(self, batch)))
    monkeypatch.setattr(gan.GanObjective, "begin", lambda self: [p.data.mul_(0.01) for p in self.critic.parameters()])
    run = trained(tmp_path, digits, "gan", 120)
    assert "critic_gave_up" in examined(tmp_path, run, digits, num=0)


def zeroed(loss: Loss) -> Loss:
    """The same loss, of which nothing is learnt."""
    return Loss({name: term * 0 + term.detach() for name, term in loss.terms.items()}, loss.stats)


class Half(MeanObjective):
    """Eight units of which five can never learn, since a ReLU that is far below zero lets nothing through."""

    def __init__(self):
        super().__init__()
        self.model.wide = nn.Linear(4, 8)
        nn.init.constant_(self.model.wide.bias[:5], -100.0)  # type: ignore[arg-type]

    def loss(self, batch: Batch) -> Loss:
        return Loss({"sum": torch.relu(self.model.wide(batch.images.flatten(1)[:, :4])).square().mean()})  # type: ignore[operator]


def test_units_that_receive_no_gradient_are_dead():
    trainer = Trainer(Half(), TrainConfig(batch_size=4, lr=1e-3, weight_decay=0.0), steps=5)
    for _ in trainer.run(lambda step: Batch(torch.rand(4, 1, 2, 2, generator=torch.Generator().manual_seed(step)))):
        pass
    shares = room.still_units(trainer)
    assert shares["model.wide"] == 5 / 8
    [finding] = findings(Evidence("half", still=shares), ["optimizer"])
    assert (finding.sickness, finding.figure) == ("dead_layers", 5 / 8) and "model.wide" in finding.seen


@pytest.mark.parametrize("name", ["critic/r1", "critic/penalty", "generator/gradient_norm"])
def test_a_penalty_or_gradient_that_grows_without_end_explodes(name):
    steps = np.arange(100)
    growing, level = Series(steps, np.exp(steps / 10.0)), Series(steps, np.full(100, 3.0))
    assert [one.sickness for one in findings(Evidence("x", series={f"train/{name}": growing}))] == ["exploding"]
    assert not list(findings(Evidence("x", series={f"train/{name}": level})))


def test_a_kl_term_that_outweighs_the_pictures_collapses_the_posterior(tmp_path, digits):
    run = trained(tmp_path, digits, "vae", 120, replace(vae.Config.preset("tiny"), beta=100.0))
    assert examined(tmp_path, run, digits, num=0)["posterior_collapse"].figure > 0.9


def test_a_codebook_whose_entries_begin_alike_has_dead_codes(tmp_path, digits, monkeypatch):
    monkeypatch.setattr(_codebook, "DEAD", -1.0)  # no restart
    monkeypatch.setattr(_codebook, "kmeans", lambda rows, codes: rows[:1].repeat(codes, 1))
    run = trained(tmp_path, digits, "vqvae", 80)
    assert "dead_codes" in examined(tmp_path, run, digits, num=0)


def test_a_model_that_gives_training_pictures_back_has_memorised_them(tmp_path, judged, monkeypatch):
    run = trained(tmp_path, judged, "gan", 100)
    kept = Batches(judged, "train", 1).take(np.arange(150)).images
    drawn = iter(kept.split(64))
    monkeypatch.setattr(type(room.build_objective(run).model), "generate", lambda self, noise, *rest: next(drawn))
    assert examined(tmp_path, run, judged)["memorised"].figure > 0.5


def test_held_out_loss_that_rises_while_the_training_loss_falls_is_overfitting():
    steps = np.arange(0, 200, 10)
    training = Series(steps, np.linspace(1, 0.1, 20))
    rising = Series(steps[::2], np.array([1, 0.8, 0.7, 0.72, 0.75, 0.8, 0.85, 0.9, 1.0, 1.1]))
    [finding] = findings(Evidence("x", series={"train/main/loss": training, "validation/loss": rising}))
    assert finding.sickness == "overfitting" and "step 40" in finding.seen
    level = Series(steps[::2], np.array([1, 0.8, 0.7, 0.71, 0.70, 0.71, 0.72, 0.71, 0.7, 0.71]))
    assert not list(findings(Evidence("x", series={"train/main/loss": training, "validation/loss": level})))


def test_batches_that_take_as_long_as_the_steps_stall_the_input(tmp_path, digits, monkeypatch):
    quick = Batches.batch_at

    def slow(self: Batches, step: int, *part: slice) -> Batch:
        time.sleep(0.05)
        return quick(self, step, *part)

    monkeypatch.setattr(Batches, "batch_at", slow)
    run = trained(tmp_path, digits, "vae", 12, batch_size=8)
    assert examined(tmp_path, run, digits, num=0)["input_stall"].figure > 0.3


# The verb.


def test_the_verb_names_the_sickness_and_the_setting_to_change(tmp_path, digits):
    trained(tmp_path / "run", digits, "vae", 120, replace(vae.Config.preset("tiny"), beta=100.0))
    answer = done("doctor", tmp_path / "run", "--num", 0, "--json").json
    assert [one["sickness"] for one in answer["findings"]] == ["posterior_collapse"]
    assert "--family.beta" in answer["findings"][0]["advice"]
    assert "posterior collapse: " in done("doctor", tmp_path / "run", "--num", 0).out


def test_rolling_back_ships_the_best_checkpoint_and_sets_later_ones_aside(tmp_path, digits):
    from figment.core.checkpoint import load_model, verify

    folder = tmp_path / "run"
    trained(folder, digits, "vae", 30, validate_every=10, save_every=10)
    course_of = lambda step: folder / "checkpoints" / f"{step:08d}" / "manifest.json"  # noqa: E731
    before = json.loads(course_of(30).read_text())["facts"]["course"]["loss"]["step"]
    answer = figment("doctor", folder, "--num", 0, "--rollback", "--json")
    assert answer.code == 0 and answer.json["step"] == before
    assert load_model(folder).facts["step"] == before
    verify(folder / "checkpoints" / f"{before:08d}")
    assert {path.name for path in (folder / "checkpoints").glob("*.aside")} == {
        f"{step:08d}.aside" for step in (20, 30) if step > before
    }


def test_a_run_goes_on_from_where_it_returned_to_and_returns_again(tmp_path, digits):
    from figment.core.checkpoint import Checkpoint, newest_checkpoint, write_checkpoint
    from figment.train.rollback import roll_back

    folder = tmp_path / "run"
    run = trained(folder, digits, "vae", 6, validate_every=3, save_every=3)
    newest = newest_checkpoint(folder / "checkpoints", print)
    assert isinstance(newest, Checkpoint)
    parts = {part: newest.read(part) for part in ("objective", "average", "optimizers")}
    course = newest.facts["course"] | {"loss": newest.facts["course"]["loss"] | {"step": 3}}
    for _ in range(3):
        for step in (3, 6):
            write_checkpoint(folder / "checkpoints", step, parts, newest.facts | {"course": course})
        assert roll_back(folder, run, print) == 3
    kept = {path.name for path in (folder / "checkpoints").iterdir()}
    assert kept == {"00000003", "00000006.aside", "00000006.aside1", "00000006.aside2"}


def test_a_private_run_that_returned_says_what_all_its_steps_gave_away_and_no_digest(tmp_path, digits):
    from figment.core.checkpoint import load_model
    from figment.core.config import Privacy
    from figment.train.rollback import roll_back

    folder, settings = tmp_path / "run", flow.Config(width=8)
    private = {"privacy": Privacy(epsilon=3.0), "batch_size": 16, "validate_every": 1, "save_every": 1}
    run = trained(folder, digits, "flow", 2, settings, **private)
    told = load_model(folder).facts["privacy"]
    course = folder / "checkpoints" / "00000002" / "manifest.json"
    step = json.loads(course.read_text())["facts"]["course"]["loss"]["step"]
    assert roll_back(folder, run, print) == step
    assert load_model(folder).facts["step"] == step
    assert load_model(folder).facts["privacy"] == told and told["steps"] == 2
    shipped = (folder / "model/config.json").read_text("utf-8")
    assert digits.pixel_digest not in shipped and digits.label_digest not in shipped
    shutil.rmtree(folder / "model")
    with pytest.raises(CheckpointError, match="known once it has finished; give its 'figment train' command again"):
        roll_back(folder, run, print)


def test_a_run_that_measured_nothing_cannot_be_rolled_back(tmp_path, digits: Any):
    trained(tmp_path / "run", digits, "vae", 6)
    answer = figment("doctor", tmp_path / "run", "--num", 0, "--rollback")
    assert answer.complaint == (
        f"{tmp_path / 'run'}: nothing says which checkpoint is best; train with --train.score-every 500"
    )


def test_the_doctor_looks_in_while_a_run_is_trained_and_tells_a_sickness_once(tmp_path, digits):
    words = ("--data", digits.path, "--out", tmp_path / "run", "--steps", 100, "--family.beta", 100)
    answer = done("train", "vae", *words, "--scale", "tiny", "--train.batch-size", 64, "--train.log-every", 5)
    assert answer.err.count("posterior collapse: ") == 1 and "'figment doctor " in answer.err
