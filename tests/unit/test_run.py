"""A run folder and what may be asked of it: the same command goes on, another is refused by name, nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from figment.core.config import from_json, read_json, stamped, unstamped, write_json
from figment.core.types import ImageSpec
from figment.data.store import Store
from figment.families import autoencoder
from tests.commands import QUICK, contents, done, figment, log, trained
from tests.pictures import classes, write_folder

STEPS = 4


def train(family: object, data: object, out: object, *more: object) -> tuple[object, ...]:
    return ("train", family, "--data", data, "--out", out, *QUICK, *more)


@pytest.fixture(scope="module")
def place(tmp_path_factory, digits) -> Path:
    """digits/, the same relabelled, two datasets of other pictures, and a finished run of the digits."""
    place = tmp_path_factory.mktemp("run")
    digits.images("train")  # makes the cache, so that later commands change nothing in there
    shutil.copytree(digits.path, place / "digits")
    shutil.copytree(digits.path, place / "relabelled")
    Store(place / "relabelled").relabel({digits.keys("train")[0]: "7", digits.keys("train")[1]: "7"})
    write_folder(place / "pictures", classes(8, ("cat", "dog"), height=8, width=8))
    done("data", "build", place / "pictures", "--out", place / "others")
    done("data", "build", place / "pictures" / "cat", "--out", place / "flat")
    done(*train("vae", place / "digits", place / "run", "--steps", STEPS))
    return place


@pytest.fixture
def run(place, tmp_path) -> Path:
    """A copy of the finished run, to do anything with."""
    return shutil.copytree(place / "run", tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"family": "gan"}, "has the family vae, you asked for gan"),
        ({"data": "others"}, "has the dataset's pictures (pixel digest) {pixels}, you asked for {other_pixels}"),
        ({"data": "relabelled"}, "has the dataset's labels (label digest) {labels}, you asked for {other_labels}"),
        ({"more": ("--seed", 1)}, "has --seed 0, you asked for 1"),
        ({"more": ("--family.latents", 5)}, "has --family.latents 8, you asked for 5"),
        ({"more": ("--family.condition-dropout", 0.2)}, "has --family.condition-dropout 0.1, you asked for 0.2"),
        ({"more": ("--scale", "small")}, "has --family.width 128, you asked for 512"),
        ({"more": ("--train.lr", 0.1)}, "has --train.lr 0.001, you asked for 0.1"),
        ({"more": ("--train.batch-size", 32)}, "has --train.batch-size 16, you asked for 32"),
        ({"more": ("--train.optimizer", "sgd")}, "has --train.optimizer adamw, you asked for sgd"),
        ({"more": ("--train.patience", 3)}, "has --train.patience 0, you asked for 3"),
        ({"more": ("--train.validate-every", 3)}, "has --train.validate-every 200, you asked for 3"),
        ({"more": ("--train.precision", "bfloat16")}, "has --train.precision float32, you asked for bfloat16"),
        ({"more": ("--train.augment.crop", 1)}, "has --train.augment.crop 0, you asked for 1"),
        ({"more": ("--from", "{place}/run")}, "has no --from, you asked for {place}/run"),
        ({"more": ("--steps", STEPS - 1)}, f"has --steps {STEPS}, you asked for {STEPS - 1}"),
        ({"more": ("--minutes", 2), "steps": ()}, "has --steps 4, you asked for --minutes 2"),
        ({"steps": ()}, "has --steps 4, you asked for --minutes 10"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(str(word) for word in value.values()),
)
def test_another_command_on_an_old_run_is_refused_by_the_name_of_what_is_different(place, run, change, told):
    one, other = Store(place / "digits"), Store(place / change.get("data", "others"))
    facts = {"place": place, "pixels": one.pixel_digest[:12], "labels": one.label_digest[:12]}
    facts |= {"other_pixels": other.pixel_digest[:12], "other_labels": other.label_digest[:12]}
    more = [str(word).format(**facts) for word in change.get("more", ())]
    steps = change.get("steps", ("--steps", STEPS))
    before = contents(run)
    refused = figment(*train(change.get("family", "vae"), place / change.get("data", "digits"), run, *steps, *more))
    way_out = "give --out another folder, or --fresh to start over"
    assert refused.complaint == f"{run}: this run {told.format(**facts)}; {way_out}"
    assert contents(run) == before


def test_the_same_command_again_changes_nothing(place, run):
    before = contents(run)
    again = done(*train("vae", place / "digits", run, "--steps", STEPS))
    assert again.out == f"{run}: already trained, {STEPS} steps; more with a larger --steps\n"
    assert contents(run) == before


def test_more_steps_go_on_from_the_end(place, run):
    answer = done(*train("vae", place / "digits", run, "--steps", 2 * STEPS))
    assert answer.out == f"{run}: trained 8 steps, 128 images seen\n"
    assert [line["step"] for line in log(run, "train")] == list(range(1, 2 * STEPS + 1))
    assert json.loads((run / "config.json").read_text())["steps"] == 2 * STEPS


def test_what_is_written_down_may_change_what_is_learnt_may_not(place, tmp_path):
    steps = ("--steps", 12)
    done(*train("vae", place / "digits", tmp_path / "plain", *steps))
    done(*train("vae", place / "digits", tmp_path / "other", *steps, "--train.save-every", 4, "--train.log-every", 1))
    shutil.rmtree(tmp_path / "other" / "checkpoints" / "00000012")  # as if it had been killed after step 8
    logged = ("--train.save-every", 5, "--train.log-every", 3, "--train.sample-every", 10, "--train.tensorboard")
    pytest.importorskip("tensorboard")
    done(*train("vae", place / "digits", tmp_path / "other", *steps, *logged))
    assert [line["step"] for line in log(tmp_path / "other", "train")] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 12]
    assert sorted(folder.name for folder in (tmp_path / "other/checkpoints").iterdir()) == ["00000010", "00000012"]
    assert [path.name for path in sorted((tmp_path / "other/samples").iterdir())] == ["00000010.png", "00000012.png"]
    assert list((tmp_path / "other/tensorboard").iterdir())
    assert contents(tmp_path / "other/model") == contents(tmp_path / "plain/model")


def test_a_dataset_may_move(place, run, tmp_path):
    moved = shutil.copytree(place / "digits", tmp_path / "moved")
    assert "already trained" in done(*train("vae", moved, run, "--steps", STEPS)).out


# --fresh


def test_fresh_starts_over_and_leaves_what_is_not_the_runs_own(place, run, tmp_path):
    write_folder(run, {"notes.txt": b"mine", "thoughts/today.txt": b"mine too"})
    done(*train("vae", place / "digits", run, "--steps", 3, "--seed", 5, "--fresh"))
    done(*train("vae", place / "digits", tmp_path / "anew", "--steps", 3, "--seed", 5))
    assert trained(run) == trained(tmp_path / "anew")
    assert (run / "notes.txt").read_text() == "mine" and (run / "thoughts/today.txt").read_text() == "mine too"
    # It stays a run like any other.
    assert "already trained" in done(*train("vae", place / "digits", run, "--steps", 3, "--seed", 5)).out


def test_fresh_deletes_nothing_of_a_folder_that_is_no_run(place, tmp_path):
    files = {"model/art.txt": b"mine", "samples/cat.png": b"mine", "log.jsonl": b"mine", "config.json": b"{}"}
    mine = write_folder(tmp_path / "mine", files)
    refused = figment(*train("vae", place / "digits", mine, "--steps", 3, "--fresh"))
    assert refused.complaint == f"{mine}: exists and is not a figment run; give --out another folder"
    assert {name: (mine / name).read_bytes() for name in contents(mine)} == files


@pytest.mark.parametrize(
    ("family", "data", "more", "told"),
    [
        ("classifier", "flat", (), "a classifier needs two classes or more"),
        ("vae", "digits", ("--from", "nowhere"), "--from nowhere: "),
        ("vae", "nowhere", (), "nowhere: no such dataset"),
    ],
)
def test_fresh_deletes_nothing_before_it_is_sure_that_it_can_begin(place, run, family, data, more, told):
    before = contents(run)
    refused = figment(*train(family, place / data, run, "--steps", 3, "--fresh", *more))
    assert told in refused.complaint
    assert contents(run) == before


# Folders that are no runs.


@pytest.mark.parametrize("name", ["digits", "pictures", "file.txt"])
def test_a_run_is_not_made_on_top_of_something_else(place, name):
    (place / "file.txt").write_text("mine")
    before = contents(place)
    refused = figment(*train("vae", place / "digits", place / name, "--steps", STEPS))
    assert refused.complaint == f"{place / name}: exists and is not a figment run; give --out another folder"
    assert contents(place) == before


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"format": 1, "family": "v', "config.json: not readable as JSON"),
        ('{"format": 99, "family": "vae"}', "format 99, this figment reads 1; upgrade figment"),
        ('{"format": 1, "family": "vea"}', "config.json: no family 'vea'; did you mean 'vae'?"),
        ('{"format": 1, "family": "vae"}', "config.json: the setting 'spec' is missing"),
        ("[]", "exists and is not a figment run; give --out another folder"),
    ],
    ids=["cut short", "of the future", "of a family not installed", "with parts missing", "something else"],
)
def test_a_config_that_cannot_be_used_is_named(place, run, content, told):
    (run / "config.json").write_text(content)
    before = contents(run)
    refused = figment(*train("vae", place / "digits", run, "--steps", STEPS))
    assert str(run) in refused.complaint and told in refused.complaint
    assert contents(run) == before


def test_a_config_whose_settings_cannot_go_together_is_named(place, run):
    config = read_json(run / "config.json")
    config["train"]["privacy"]["delta"] = 1e-4  # which has no effect without an epsilon
    write_json(run / "config.json", config)
    complaint = figment(*train("vae", place / "digits", run, "--steps", STEPS)).complaint
    assert complaint.startswith(f"{run / 'config.json'}: --train.privacy.delta")


def test_a_config_with_another_digit_is_refused(place, run):
    text = (run / "config.json").read_text()
    (run / "config.json").write_text(text.replace('"batch_size": 16', '"batch_size": 17'))
    refused = figment(*train("vae", place / "digits", run, "--steps", STEPS, "--train.batch-size", 17))
    assert refused.complaint.startswith(f"{run}/config.json: damaged or changed by hand")


def test_damaged_lines_of_a_log_are_left_out(place, run):
    lines = (run / "log.jsonl").read_bytes().splitlines(keepends=True)
    damaged = (b'{"kind": "train", "stfp": 1}\n', b'\xff\xfe{"kind"\n', b"[1]\n", bytes(100), b'{"step": 9}')
    (run / "log.jsonl").write_bytes(b"".join([*lines, *damaged]))
    assert len(log(run)) == len(lines)
    done(*train("vae", place / "digits", run, "--steps", STEPS + 1))


def test_what_a_kill_left_before_there_was_a_config_is_no_obstacle(place, tmp_path, run):
    """The config is written under another name first; a kill may leave that and nothing else."""
    left = write_folder(tmp_path / "left", {"config.json.tmp": b'{"format": 1, "fam'})
    done(*train("vae", place / "digits", left, "--steps", STEPS))
    assert trained(left) == trained(run)
    assert not (left / "config.json.tmp").exists()


# The report that a run has.


def test_a_run_has_a_report_of_what_it_is_and_how_it_went(place, tmp_path):
    run = tmp_path / "run"
    done(*train("vae", place / "digits", run, "--steps", STEPS, "--train.sample-every", 2))
    page = (run / "report.html").read_text()
    assert (
        f"figment train vae --data {place / 'digits'} --out {run}" in page and f"{STEPS} steps of 16 pictures" in page
    )
    assert "Loss, phase main" in page and "data:image/png;base64," in page and f"Samples after {STEPS} steps" in page
    done(*train("vae", place / "digits", run, "--steps", 2 * STEPS, "--train.sample-every", 2))
    assert f"Samples after {2 * STEPS} steps" in (run / "report.html").read_text()


def test_a_finished_run_that_lost_its_report_is_given_one(place, run):
    (run / "report.html").unlink()
    assert "already trained" in done(*train("vae", place / "digits", run, "--steps", STEPS)).out
    assert "figment train vae" in (run / "report.html").read_text()


def test_a_report_that_cannot_be_written_costs_nobody_the_run(place, run):
    (run / "report.html").unlink()
    (run / "report.html").mkdir()
    answer = done(*train("vae", place / "digits", run, "--steps", 2 * STEPS))
    assert f"warning: {run}/report.html: could not be written (" in answer.err
    assert "trained 8 steps" in answer.out and (run / "model/model.safetensors").exists()


# Settings that a new run may not have


@pytest.mark.parametrize(
    ("family", "more", "told"),
    [
        ("vae", ("--train.beta1", 1), "--train.beta1 1: give a number below 1, such as 0.9"),
        ("vae", ("--train.optimizer", "sgd", "--train.beta2", 0.9), "--train.beta2 0.9: has no effect with --train.op"),
        (
            "vae",
            ("--train.optimizer", "rmsprop", "--train.beta1", 0.5),
            "--train.beta1 0.5: has no effect with --train",
        ),
        (
            "vae",
            ("--train.score-num", 40),
            "--train.score-num 40: has no effect without --train.score-every; give that",
        ),
        ("vae", ("--train.score-share", 0.2), "--train.score-share 0.2: has no effect without --train.score-every"),
        (
            "vae",
            ("--train.score-by", "kid", "fd"),
            "--train.score-by kid fd: has no effect without --train.score-every",
        ),
        ("autoencoder", ("--family.downscale", 3), "--family.downscale 3: give a power of 2, such as 4"),
        (
            "r3gan",
            ("--family.blocks", 3),
            "--family.blocks 3: has no effect with --family.net conv; leave it out, or gi",
        ),
        ("r3gan", ("--family.expansion", 1.5), "--family.expansion 1.5: has no effect with --family.net conv"),
        ("r3gan", ("--family.group-width", 0), "--family.group-width 0: has no effect with --family.net conv"),
        ("r3gan", ("--family.changes", "flip"), "--family.changes flip: has no effect without --family.augment; give"),
        (
            "dcgan",
            ("--family.changes", "flip", "color"),
            "--family.changes flip color: has no effect without --family.",
        ),
        (
            "stylegan2",
            ("--family.augment-target", 1, "--family.changes", "flip"),
            "--family.changes flip: has no effect with --family.augment-target 1; leave one out",
        ),
    ],
)
def test_a_new_run_may_not_have_a_setting_without_effect(place, tmp_path, family, more, told):
    refused = figment(*train(family, place / "digits", tmp_path / "run", "--steps", 1, *more))
    assert refused.complaint.startswith(told)
    assert not (tmp_path / "run").exists()
    assert figment("plan", family, "--data", place / "digits", *more).complaint.startswith(told)


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("vae", ("--train.optimizer", "sgd", "--train.beta1", 0.5, "--train.lr", 1e-4)),
        ("dcgan", ("--family.augment", 0.5, "--family.changes", "flip")),
        ("stylegan2", ("--family.augment-target", 1)),
        ("r3gan", ("--family.net", "residual", "--family.blocks", 1, "--family.group-width", 0)),
    ],
)
def test_a_new_run_may_have_them_where_they_have_an_effect(place, tmp_path, family, more):
    done(*train(family, place / "digits", tmp_path / "run", "--steps", 1, *more))


def test_an_older_run_with_such_a_setting_draws_and_goes_on(place, tmp_path):
    asked = train("dcgan", place / "digits", tmp_path / "run", "--train.optimizer", "rmsprop", "--train.lr", 1e-4)
    done(*asked, "--steps", 2)
    for file in (tmp_path / "run" / "config.json", tmp_path / "run" / "model" / "config.json"):
        stored = unstamped(file, read_json(file))
        stored["settings"]["changes"] = ["flip"]
        if "train" in stored:
            stored["train"] |= {"beta1": 1.0, "score_num": 40}
        write_json(file, stamped(stored))
    done("sample", tmp_path / "run", "--num", 2, "--out", tmp_path / "grid.png")
    idle = ("--family.changes", "flip", "--train.beta1", 1, "--train.score-num", 40)
    done(*asked, *idle, "--steps", 3)


def test_an_older_autoencoder_keeps_the_grid_that_it_was_built_with():
    settings = from_json(autoencoder.Config, {"width": 8, "downscale": 3})
    assert autoencoder.build(settings, ImageSpec(1, 8, 8)).model.code_shape == (4, 2, 2)
