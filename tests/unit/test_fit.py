"""One run from its config to its model: what is logged, kept, resumed, stopped and shipped."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from figment.core.checkpoint import load_model, verify, write_checkpoint
from figment.core.config import Augment
from figment.core.engine import Engine
from figment.core.errors import CheckpointError, DataError
from figment.core.objective import Objective
from figment.data.batches import Batches
from figment.data.build import build
from figment.data.store import Store
from figment.families import vae
from figment.train.fit import fit, measured_pace
from figment.train.run import DataPin, RunConfig, open_run, read_run, write_run
from tests.commands import QUICK, contents, done, figment, flip_bit, log, trained
from tests.pictures import encode, pixels, write_folder


def config(store: Store, *, steps: int, seed: int = 0, start: str = "", **train: Any) -> RunConfig:
    """A small VAE with all on that a resume could get wrong."""
    usual = {"batch_size": 16, "slices": 2, "log_every": 1, "sample_every": 0, "validate_every": 0}
    augment = Augment(flip=True, crop=1, noise=0.05)
    return RunConfig(
        family="vae",
        settings=vae.Config.preset("tiny"),
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=replace(vae.TRAIN, **(usual | {"augment": augment} | train)),
        steps=steps,
        seed=seed,
        start=start,
        engine=Engine(precision="bfloat16"),
    )


def train(
    folder: Path,
    asked: RunConfig,
    store: Store,
    *,
    stop_at: int = 0,
    drop_at: int = 0,
    warn: Callable | None = None,
    scorer: Callable | None = None,
) -> None:
    """Train. stop_at: ask to stop after this step, as Ctrl-C does; drop_at: leave it there, as a kill does."""
    steps = fit(
        folder,
        open_run(folder, asked),
        store,
        warn=warn or refuse_warnings,
        stopping=lambda: report.step == stop_at,
        scorer=scorer,
    )
    for report in steps:
        if report.step == drop_at:
            steps.close()
            return


def refuse_warnings(text: str) -> None:
    raise AssertionError(f"a healthy run warned: {text}")


def checkpoints(run: Path) -> list[int]:
    return sorted(int(folder.name) for folder in (run / "checkpoints").iterdir())


# The log.


def test_the_log_is_cut_back_to_the_checkpoint_so_that_nothing_stands_there_twice(tmp_path, digits):
    asked = config(digits, steps=12, save_every=5, validate_every=2)
    train(tmp_path / "whole", asked, digits)
    train(tmp_path / "killed", asked, digits, drop_at=8)
    assert [line["step"] for line in log(tmp_path / "killed", "train")] == list(range(1, 9))
    assert checkpoints(tmp_path / "killed") == [5]
    with (tmp_path / "killed/log.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 9, "main/lo')  # the kill came while a line was written
    train(tmp_path / "killed", asked, digits)
    assert [line["step"] for line in log(tmp_path / "killed", "train")] == list(range(1, 13))
    assert trained(tmp_path / "killed") == trained(tmp_path / "whole")


def test_every_line_says_what_happened(tmp_path, digits):
    train(tmp_path, config(digits, steps=4, log_every=2, validate_every=2), digits)
    assert [(line["kind"], line["step"], line["seen_images"]) for line in log(tmp_path)] == [
        ("train", 2, 32),
        ("validation", 2, 32),
        ("train", 4, 64),
        ("validation", 4, 64),
    ]
    line = log(tmp_path, "train")[0]
    parts = {"main/reconstruction", "main/kl", "main/loss", "main/kl_nats", "main/pixel_error", "main/gradient_norm"}
    assert parts <= line.keys()
    assert line["main/loss"] == pytest.approx(line["main/reconstruction"] + line["main/kl"], rel=1e-5)
    assert 0 < line["lr"] <= vae.TRAIN.lr


# Checkpoints.


def test_the_newest_two_checkpoints_and_the_best_are_kept(tmp_path, memorised):
    store, _ = memorised
    asked = config(store, steps=130, save_every=20, validate_every=10, patience=1000, augment=Augment(), lr=3e-3)
    train(tmp_path, asked, store, warn=lambda text: None)
    losses = {line["step"]: line["loss"] for line in log(tmp_path, "validation")}
    best = min(losses, key=losses.__getitem__)
    assert best < 120  # or the test shows nothing: it has overfitted since
    assert checkpoints(tmp_path) == [best, 120, 130]
    assert verify(tmp_path / "checkpoints" / f"{best:08d}").facts["course"]["loss"]["best"] == losses[best]


@pytest.mark.parametrize("name", ["objective", "average", "optimizers", "manifest"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(tmp_path, digits, name):
    asked = config(digits, steps=12, save_every=3, validate_every=4)
    train(tmp_path / "whole", asked, digits)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", asked, digits, stop_at=8)
    assert checkpoints(tmp_path / "run") == [6, 8]
    damaged = tmp_path / "run/checkpoints/00000008" / f"{name}.{'json' if name == 'manifest' else 'safetensors'}"
    flip_bit(damaged, 0.5)
    warnings: list[str] = []
    train(tmp_path / "run", asked, digits, warn=warnings.append)
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{damaged}: damaged (")
    assert warnings[0].endswith("; using the checkpoint before it")
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")


def test_not_a_bit_of_a_manifest_can_change_unnoticed(tmp_path):
    """What a run goes on with stands in there too: pictures seen, learning rate, the best step."""
    facts = {"seen_images": 128, "course": {"best_step": 7, "train_loss": 0.1234}}
    folder = write_checkpoint(tmp_path, 8, {"objective": {"weight": torch.ones(2)}}, facts)
    manifest = folder / "manifest.json"
    whole = manifest.read_bytes()
    said, unnoticed = json.loads(whole), 0
    for place in range(len(whole)):
        for bit in (0x01, 0x10):
            manifest.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
            try:
                verify(folder)
            except CheckpointError as error:
                assert str(error).startswith(f"{folder}")
            else:
                unnoticed += 1
                assert json.loads(manifest.read_bytes()) == said  # a space that became another one
    assert unnoticed < 0.1 * len(whole)


def test_the_command_line_says_which_checkpoint_was_damaged(tmp_path, digits):
    command = ("train", "vae", "--data", digits.path, "--out", tmp_path, *QUICK, "--train.save-every", 3)
    done(*command, "--steps", 6)
    flip_bit(tmp_path / "checkpoints/00000006/objective.safetensors")
    answer = done(*command, "--steps", 9)
    damaged = f"{tmp_path}/checkpoints/00000006/objective.safetensors"
    why = "its SHA-256 differs from the manifest's"
    assert answer.err.splitlines()[0] == f"warning: {damaged}: damaged ({why}); using the checkpoint before it"
    assert [line["step"] for line in log(tmp_path, "train")] == list(range(1, 10))


def test_where_every_checkpoint_is_damaged_the_run_begins_again_and_keeps_what_it_saves(tmp_path, digits):
    asked = config(digits, steps=12, save_every=3)
    train(tmp_path / "whole", asked, digits)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", asked, digits, stop_at=8)
    for step in (6, 8):
        flip_bit(tmp_path / "run/checkpoints" / f"{step:08d}" / "average.safetensors")
    warnings: list[str] = []
    train(tmp_path / "run", asked, digits, drop_at=4, warn=warnings.append)
    assert ["00000008" in warnings[0], "00000006" in warnings[1]] == [True, True]
    assert "no whole checkpoint is left: training begins again" in warnings[-1]
    assert 3 in checkpoints(tmp_path / "run")  # not thought older than the damaged ones, and deleted
    train(tmp_path / "run", asked, digits, warn=warnings.append)
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")


# Stopping.


def test_asked_to_stop_it_saves_everything_first(tmp_path, digits):
    asked = config(digits, steps=10, save_every=1000, validate_every=3)
    train(tmp_path / "whole", asked, digits)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", asked, digits, stop_at=7)
    assert checkpoints(tmp_path / "run") == [7]
    assert not (tmp_path / "run/model").exists()
    train(tmp_path / "run", asked, digits)
    shutil.rmtree(tmp_path / "run/checkpoints/00000007")
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")


def test_asked_to_stop_at_the_last_step_it_has_nothing_left_to_lose(tmp_path, digits):
    asked = config(digits, steps=5)
    train(tmp_path / "whole", asked, digits)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "run", asked, digits, stop_at=5)
    train(tmp_path / "run", asked, digits)
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")


@pytest.mark.parametrize(("family", "phase"), [("vae", "main"), ("gan", "(critic|generator)")])
def test_a_loss_that_explodes_stops_the_run_by_name_and_keeps_the_last_checkpoint(tmp_path, digits, family, phase):
    command = ("train", family, "--data", digits.path, "--out", tmp_path, *QUICK, "--steps", 400)
    command = (*command, "--train.save-every", 1)
    explosive = ("--train.lr", 10, "--train.optimizer", "sgd", "--train.schedule", "constant", "--train.warmup", 0)
    complaint = figment(*command, *explosive).complaint
    found = re.fullmatch(rf"step (\d+): {phase}/\w+ became (nan|inf); the last .*", complaint)
    assert found, complaint
    way_out = "Try a lower --train.lr (now 10), --train.clip-norm 1, or --train.precision float32"
    assert complaint.endswith(f"the last checkpoint is kept. {way_out}")
    step = int(found[1])
    assert step > 0 and max(checkpoints(tmp_path)) == step
    kept = verify(tmp_path / "checkpoints" / f"{step:08d}").read("objective")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())
    assert not (tmp_path / "model").exists()


# Held-out pictures.


@pytest.fixture(scope="module")
def memorised(tmp_path_factory) -> tuple[Store, Path]:
    """Twenty pictures of noise, which can be learnt by heart and in no other way, and a run that did so."""
    place = tmp_path_factory.mktemp("memorised")
    draw = np.random.default_rng(0)
    files = {f"{number}.png": encode(draw.integers(0, 256, (8, 8, 1), np.uint8)) for number in range(20)}
    store = build([str(write_folder(place / "pictures", files))], place / "dataset")
    return store, place


def test_overfitting_is_named_once_when_it_starts(memorised, tmp_path):
    store, _ = memorised
    warnings: list[str] = []
    asked = config(store, steps=200, validate_every=10, augment=Augment(), lr=3e-3)
    train(tmp_path, asked, store, warn=warnings.append)
    (event,) = log(tmp_path, "overfitting")
    losses = {line["step"]: line["loss"] for line in log(tmp_path, "validation")}
    since = event["since"]
    assert losses[since] == event["best"] == min(losses[step] for step in losses if step <= event["step"])
    assert event["step"] == since + 30  # three validations without a better loss
    assert event["loss"] > 1.02 * event["best"]
    assert len(warnings) == 1
    assert warnings[0].startswith(f"overfitting since step {since}: held-out loss {event['best']:.4g} -> ")


def test_the_way_out_of_overfitting_that_is_named_can_be_typed(memorised, tmp_path):
    store, _ = memorised
    command = ("train", "vae", "--data", store.path, "--out", tmp_path, *QUICK, "--steps", 2)
    done(*command, "--train.augment.flip", "--train.patience", 3)


def test_a_healthy_run_is_not_called_overfitted(tmp_path, digits):
    train(tmp_path, config(digits, steps=60, validate_every=5), digits)  # warnings are refused
    assert len(log(tmp_path, "validation")) == 12
    assert not log(tmp_path, "overfitting")


def patient(store: Store) -> RunConfig:
    return config(store, steps=2000, validate_every=10, patience=4, augment=Augment(), lr=3e-3, save_every=15)


@pytest.fixture(scope="module")
def stopped(memorised) -> Path:
    """A run that patience has stopped."""
    store, place = memorised
    train(place / "stopped", patient(store), store, warn=lambda text: None)
    return place / "stopped"


def test_patience_stops_and_ships_the_best(memorised, stopped, tmp_path):
    store, _ = memorised
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    losses = {line["step"]: line["loss"] for line in log(tmp_path, "validation")}
    best = min(losses, key=losses.__getitem__)
    assert max(losses) == best + 40 < 2000
    shipped, kept = load_model(tmp_path), verify(tmp_path / "checkpoints" / f"{best:08d}")
    assert shipped.facts["step"] == best and shipped.facts["seen_images"] == 16 * best
    average = kept.read("average")
    assert all(torch.equal(tensor, average[name]) for name, tensor in shipped.model.state_dict().items())
    # The same command again has nothing to do.
    before = contents(tmp_path)
    train(tmp_path, patient(store), store)
    assert contents(tmp_path) == before


def test_where_the_best_checkpoint_is_damaged_the_last_step_is_shipped_and_that_is_said(memorised, stopped, tmp_path):
    store, _ = memorised
    shutil.copytree(stopped, tmp_path, dirs_exist_ok=True)
    best = min(checkpoints(tmp_path))
    flip_bit(tmp_path / "checkpoints" / f"{best:08d}" / "average.safetensors")
    warnings: list[str] = []
    train(tmp_path, patient(store), store, warn=warnings.append)
    damaged = f"{tmp_path}/checkpoints/{best:08d}/average.safetensors: damaged ("
    assert warnings[0].startswith(damaged)
    assert warnings[0].endswith("; it was the best one, the last step is shipped instead")
    assert load_model(tmp_path).facts["step"] == log(tmp_path)[-1]["step"]


def test_patience_survives_a_kill(memorised, stopped, tmp_path):
    store, _ = memorised
    end = log(stopped)[-1]["step"]
    train(tmp_path, patient(store), store, drop_at=end - 12, warn=lambda text: None)
    train(tmp_path, patient(store), store, warn=lambda text: None)
    assert trained(tmp_path) == trained(stopped)


# Scores on the way.


def distance_from(wanted: float, calls: list | None = None) -> Callable:
    """A score that is best where the mean of the averaged weights is nearest to `wanted`."""

    def score(model: torch.nn.Module, engine: Engine) -> dict[str, float]:
        value = abs(float(torch.cat([p.flatten() for p in model.parameters()]).abs().mean()) - wanted)
        if calls is not None:
            calls.append(value)
        return {"fd": value, "kid": 1.0}

    return score


def test_scores_are_logged_and_the_best_step_is_kept_and_shipped(tmp_path, digits):
    asked = config(digits, steps=40, save_every=7, score_every=5, score_share=1.0, lr=3e-3)
    train(tmp_path / "look", asked, digits, scorer=distance_from(0.0))
    sizes = {line["step"]: line["fd"] for line in log(tmp_path / "look", "score")}
    assert list(sizes) == [5, 10, 15, 20, 25, 30, 35, 40]
    train(tmp_path / "run", asked, digits, scorer=distance_from(sizes[15]))
    assert checkpoints(tmp_path / "run") == [15, 35, 40]
    assert load_model(tmp_path / "run").facts["step"] == 15
    assert all(line["kid"] == 1.0 for line in log(tmp_path / "run", "score"))


def test_patience_waits_for_scores_where_they_are_taken(tmp_path, digits):
    asked = config(digits, steps=200, validate_every=3, score_every=5, score_share=1.0, patience=3)
    train(tmp_path, asked, digits, scorer=lambda model, engine: {"fd": 1.0})
    assert [line["step"] for line in log(tmp_path, "score")] == [5, 10, 15, 20]
    assert load_model(tmp_path).facts["step"] == 5


def test_scores_survive_a_kill(tmp_path, digits):
    asked = config(digits, steps=30, save_every=4, score_every=5, score_share=1.0, patience=4, ema_snapshots=3)
    calls: list[float] = []
    train(tmp_path / "whole", asked, digits, scorer=distance_from(0.05))
    train(tmp_path / "run", asked, digits, drop_at=18, scorer=distance_from(0.05, calls))
    train(tmp_path / "run", asked, digits, scorer=distance_from(0.05, calls))
    assert log(tmp_path / "run", "score") == log(tmp_path / "whole", "score")
    assert trained(tmp_path / "run") == trained(tmp_path / "whole")
    assert contents(tmp_path / "run/averages") == contents(tmp_path / "whole/averages")


def test_scores_that_take_too_much_of_the_time_are_taken_less_often(tmp_path, digits):
    def slow(model, engine):
        time.sleep(0.1)
        return {"fd": 1.0}

    asked = config(digits, steps=300, score_every=2, score_share=0.2)
    train(tmp_path, asked, digits, drop_at=1, scorer=slow)
    every = read_run(tmp_path).score_every
    assert every > 2 and every % 2 == 0  # or a step of this small network took 0.2 s


def test_a_family_that_draws_nothing_cannot_be_scored_on_the_way(tmp_path, digits):
    answer = figment(
        "train", "classifier", "--data", digits.path, "--out", tmp_path, "--steps", 5, "--train.score-every", 1
    )
    assert answer.complaint == "--train.score-every: a 'classifier' draws no pictures to score; leave it out"


def test_a_real_run_is_scored_by_the_judge_of_its_dataset(tmp_path, judged):
    command = ("train", "vae", "--data", judged.path, "--out", tmp_path, *QUICK, "--steps", 4)
    done(*command, "--train.score-every", 2, "--train.score-num", 40, "--train.score-share", 1.0)
    assert [line["step"] for line in log(tmp_path, "score")] == [2, 4]
    assert all(line["fd"] > 0 for line in log(tmp_path, "score"))


def test_a_dataset_without_held_out_pictures_trains_without_validation(tmp_path, memorised):
    done("data", "build", memorised[1] / "pictures", "--out", tmp_path / "all", "--skip", "split")
    store = Store(tmp_path / "all")
    assert store.counts == {"train": 20}
    train(tmp_path / "run", config(store, steps=3, validate_every=1), store)
    assert not log(tmp_path / "run", "validation") and len(log(tmp_path / "run", "train")) == 3


# --minutes


def test_minutes_become_a_number_of_steps_which_a_resumed_run_keeps(tmp_path, digits):
    command = ("train", "vae", "--data", digits.path, "--out", tmp_path, *QUICK, "--minutes", 0.004)
    done(*command)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["minutes"] == 0.004 and config["steps"] >= 24
    assert log(tmp_path, "train")[-1]["step"] == config["steps"]
    whole = trained(tmp_path)
    shutil.rmtree(tmp_path / "checkpoints"), shutil.rmtree(tmp_path / "model")  # as if killed before the first save
    done(*command)
    assert json.loads((tmp_path / "config.json").read_text()) == config
    assert trained(tmp_path) == whole


def test_a_step_of_every_stage_is_timed(digits, monkeypatch):
    skipped = []
    monkeypatch.setattr(Objective, "stages", lambda self: (0, 500, 700))
    monkeypatch.setattr(Objective, "skip_to", lambda self, images: skipped.append(images))
    run = replace(config(digits, steps=0), slices=1)
    pace = measured_pace(run, Batches(digits, "train", 16, seed=0), [])
    assert skipped == [0, 500, 700]
    assert [images for images, _ in pace.earlier] == [500, 700]


def test_what_the_machine_is_fast_at_is_measured_once_and_pinned(tmp_path, digits):
    command = ("train", "vae", "--data", digits.path, "--scale", "tiny", "--steps", 2, "--train.batch-size", 16)
    done(*command, "--out", tmp_path / "run")
    engine = read_run(tmp_path / "run").engine
    assert engine is not None and engine.device == "cpu"
    # A run pins its own choice, whatever is measured later.
    other = "bfloat16" if engine.precision == "float32" else "float32"
    write_run(tmp_path / "run", replace(read_run(tmp_path / "run"), engine=replace(engine, precision=other)))
    done(*command, "--out", tmp_path / "run")
    pinned = read_run(tmp_path / "run").engine
    assert pinned is not None and pinned.precision == other


def test_a_run_begun_on_a_gpu_says_so_where_there_is_none(tmp_path, digits, monkeypatch):
    command = ("train", "vae", "--data", digits.path, "--out", tmp_path, *QUICK, "--steps")
    done(*command, 2)
    write_run(tmp_path, replace(read_run(tmp_path), engine=Engine("cuda")))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert figment(*command, 4).complaint == (
        f"{tmp_path}: is computed on a GPU (cuda), and there is none here; go on where there is one, or with its "
        f"weights in another run: figment train vae --from {tmp_path} --out NEW"
    )


# --from


def test_from_starts_with_another_runs_weights(tmp_path, digits):
    train(tmp_path / "first", config(digits, steps=6), digits)
    # At a learning rate of 0 they stay what they were.
    train(tmp_path / "second", config(digits, steps=1, lr=0.0, seed=9, start=str(tmp_path / "first")), digits)
    first, second = (verify(next((tmp_path / run / "checkpoints").iterdir())) for run in ("first", "second"))
    before, after = first.read("objective"), second.read("objective")
    assert before.keys() == after.keys()
    learnt = [name for name in before if before[name].ndim]  # numbers are counts and running means
    assert len(learnt) > 8 and all(torch.equal(before[name], after[name]) for name in learnt)
    assert (second.step, second.facts["seen_images"]) == (1, 16)  # weights alone: steps and pictures count anew


def test_a_run_from_another_one_resumes_from_itself(tmp_path, digits):
    train(tmp_path / "first", config(digits, steps=3), digits)
    asked = config(digits, steps=6, save_every=2, seed=9, start=str(tmp_path / "first"))
    train(tmp_path / "whole", asked, digits)
    train(tmp_path / "killed", asked, digits, drop_at=5)
    shutil.rmtree(tmp_path / "first")  # no longer needed
    train(tmp_path / "killed", asked, digits)
    assert trained(tmp_path / "killed") == trained(tmp_path / "whole")


@pytest.mark.parametrize("misfit", ["another scale", "another family", "other pictures"])
def test_weights_that_do_not_fit_are_refused_and_leave_no_run_behind(tmp_path, digits, misfit):
    pictures = {f"{number}.png": encode(pixels(number, 9, 9, 1)) for number in range(4)}
    done("data", "build", write_folder(tmp_path / "pictures", pictures), "--out", tmp_path / "other")
    family = "gan" if misfit == "another family" else "vae"
    data = tmp_path / "other" if misfit == "other pictures" else digits.path
    scale = ("--family.width", 32) if misfit == "another scale" else ()
    done("train", family, "--data", data, "--out", tmp_path / "first", *QUICK, *scale, "--steps", 1)
    second = ("train", "vae", "--data", digits.path, "--out", tmp_path / "second", *QUICK, "--steps", 1)
    complaint = figment(*second, "--from", tmp_path / "first").complaint
    assert complaint.startswith(f"--from {tmp_path}/first: its weights do not fit; ")
    assert "family, --scale and picture size must be the same" in complaint
    assert len(complaint) < 500  # not a list of all tensors
    done(*second)  # nothing of the attempt is in the way


def test_from_a_damaged_checkpoint_takes_the_one_before_and_says_so(tmp_path, digits):
    train(tmp_path / "first", config(digits, steps=4, save_every=2), digits)
    shutil.copytree(tmp_path / "first", tmp_path / "healthy")
    shutil.rmtree(tmp_path / "healthy/checkpoints/00000004")
    flip_bit(tmp_path / "first/checkpoints/00000004/objective.safetensors")
    warnings: list[str] = []
    train(tmp_path / "a", config(digits, steps=2, start=str(tmp_path / "first")), digits, warn=warnings.append)
    train(tmp_path / "b", config(digits, steps=2, start=str(tmp_path / "healthy")), digits)
    assert "00000004/objective.safetensors: damaged" in warnings[0]
    assert trained(tmp_path / "a") == trained(tmp_path / "b")


# What a run is a function of.


def test_another_seed_is_another_run(tmp_path, digits):
    for seed in (0, 1):
        train(tmp_path / str(seed), config(digits, steps=1, seed=seed), digits)
    assert contents(tmp_path / "0/model") != contents(tmp_path / "1/model")


def test_validation_asks_the_same_of_the_same_weights(tmp_path, digits):
    """With nothing learnt, the loss on held-out pictures stays what it is: it has the same noise every time."""
    train(tmp_path, config(digits, steps=3, validate_every=1, lr=0.0), digits)
    assert len({line["loss"] for line in log(tmp_path, "validation")}) == 1


# What a family cannot take.


@pytest.mark.parametrize(("part", "told"), [({"frames": 8}, "clips of 8 frames"), ({"paired": True}, "pairs")])
def test_clips_and_pairs_are_refused_by_families_of_single_pictures(tmp_path, digits, part, told):
    asked = config(digits, steps=5)
    asked = replace(asked, spec=replace(asked.spec, **part))
    with pytest.raises(DataError, match=f"a 'vae' knows single pictures, this dataset holds {told}"):
        train(tmp_path / "run", asked, digits)
