"""Finding the settings that a run draws best with."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from figment.core import plugins
from figment.core.checkpoint import load_model
from figment.core.errors import ConfigError
from figment.evaluate import tuning
from figment.evaluate.choosing import require_of_drawn
from figment.evaluate.tuning import Trial, chosen, search
from tests.commands import QUICK, contents, done, figment


@dataclass(frozen=True)
class Settings:
    kind: str = "a"
    steps: int = 8
    extra: int = 0

    def __post_init__(self):
        if self.extra and self.kind != "b":
            raise ConfigError("extra has no effect")


def drawn(settings: Settings) -> Settings:
    """Pictures that show what they were drawn with."""
    return settings


def badness(settings: Settings) -> float:
    return {"a": 3.0, "b": 2.0, "c": 4.0}[settings.kind] + 1 / settings.steps - 0.5 * settings.extra


def test_one_setting_after_the_other_finds_the_best():
    choices = {"extra": (1,), "kind": ("a", "b", "c"), "steps": (4, 16, 64)}
    trials = list(search(Settings(), choices, drawn, badness, num=1))
    # extra has no effect beside kind a, and is passed over; what was tried is not tried again
    assert [(t.changed, t.settings.kind, t.settings.steps) for t in trials] == [
        ("", "a", 8),
        ("kind", "b", 8),
        ("kind", "c", 8),
        ("steps", "b", 4),
        ("steps", "b", 16),
        ("steps", "b", 64),
    ]
    assert min(trials, key=lambda trial: trial.badness).settings == Settings("b", 64)


def test_the_time_is_that_of_drawing_alone(monkeypatch):
    """2 seconds for four pictures; the judge takes an hour."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(tuning, "time", SimpleNamespace(perf_counter=lambda: clock.now))

    def takes(seconds, found):
        clock.now += seconds
        return found

    trials = list(search(Settings(), {"steps": (4,)}, lambda s: takes(2, s), lambda s: takes(3600, badness(s)), num=4))
    assert [one.seconds for one in trials] == [0.5, 0.5]


def trial(name: str, badness: float, seconds: float) -> Trial:
    return Trial(name, "", badness, seconds)


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (float("inf"), "tie"),  # within 3% of the best, and quicker
        (2.5, "tie"),
        (1.5, "quick"),
        (0.5, "quick"),  # nothing is that quick: the quickest
    ],
)
def test_ties_go_to_the_quicker_and_a_limit_of_time_is_kept(most, expected):
    trials = [trial("best", 10.0, 3.0), trial("tie", 10.2, 2.0), trial("quick", 12.0, 1.0)]
    assert chosen(trials, most).settings == expected


def test_noise_in_the_times_changes_nothing():
    assert chosen([trial("first", 10.0, 1.05), trial("later", 10.0, 1.0)]).settings == "first"


def test_negative_badness_ties_too():
    assert chosen([trial("best", -0.98, 3.0), trial("tie", -0.96, 2.0), trial("worse", -0.9, 1.0)]).settings == "tie"


@pytest.fixture(scope="module")
def run(judged, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "run"
    done("train", "vae", "--data", judged.path, "--out", folder, *QUICK, "--steps", 30, "--train.ema-snapshots", 3)
    return folder


def test_the_choice_becomes_the_runs_default_and_survives_the_train_command(judged, run, tmp_path):
    before = contents(run)
    looked = done("tune", run, "--num", 20, "--dry-run", "--json", "--out", tmp_path / "tune.html").json
    assert contents(run) == before  # --dry-run changes nothing
    assert "fd: temperature over temperature" in (tmp_path / "tune.html").read_text("utf-8")
    assert {row["settings"]["temperature"] for row in looked["trials"]} == {0.6, 0.7, 0.8, 0.9, 1.0, 1.1}
    answer = done("tune", run, "--num", 20, "--json").json
    score = {row["settings"]["temperature"]: row["fd"] for row in looked["trials"]}
    assert {row["settings"]["temperature"]: row["fd"] for row in answer["trials"]} == score
    # Which of those within 3% of the best is quickest changes from call to call.
    assert score[answer["sampling"]["temperature"]] <= 1.03 * min(score.values())
    loaded = load_model(run)
    assert loaded.sampling.temperature == answer["sampling"]["temperature"]
    assert loaded.facts.get("sigma_rel") == answer["sigma_rel"]
    done("sample", run, "--num", 2, "--out", tmp_path / "default")
    done("sample", run, "--num", 2, "--out", tmp_path / "asked", "--sampling.temperature", loaded.sampling.temperature)
    assert contents(tmp_path / "default") == contents(tmp_path / "asked")
    tuned = contents(run / "model")
    done("train", "vae", "--data", judged.path, "--out", run, *QUICK, "--steps", 30, "--train.ema-snapshots", 3)
    assert contents(run / "model") == tuned


def test_pictures_that_a_run_may_have_seen_are_told(judged, run, tmp_path):
    resplit = tmp_path / "resplit"
    shutil.copytree(judged.path, resplit)
    done("data", "split", resplit, "--val", 0.4)
    few = ("--num", 20, "--dry-run", "--by", "nearest")
    assert "may be training pictures" not in done("tune", run, *few).err
    assert f"trained on other pictures than {resplit} has now" in done("tune", run, "--data", resplit, *few).err


def test_another_average_is_shipped_where_it_draws_better(run):
    found = json.loads((run / "model/config.json").read_text())["facts"]
    answer = done("tune", run, "--num", 20, "--json").json
    if answer["sigma_rel"]:
        assert load_model(run).facts["sigma_rel"] == answer["sigma_rel"]
    else:
        assert load_model(run).facts == found


def test_a_family_with_nothing_to_tune_says_so(digits, tmp_path):
    done("train", "gan", "--data", digits.path, "--out", tmp_path / "run", *QUICK, "--steps", 2)
    complaint = figment("tune", tmp_path / "run").complaint
    assert complaint == "a 'gan' draws in one way only: there is nothing to tune"


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ("psnr", "compares pictures with what is rebuilt of them"),
        ("lpips", "compares pictures with what is rebuilt of them"),
        ("bits_per_dim", "is of how probable real pictures are"),
        ("spatial_fd", "needs features of places"),
    ],
)
def test_what_says_nothing_of_drawn_pictures_is_refused(tmp_path, metric, why):
    complaint = figment("tune", tmp_path / "run", "--by", metric).complaint
    assert complaint == (
        f"'{metric}' {why}, and nothing can be chosen by it among freshly drawn pictures; "
        "choose by fd, kid or accuracy: figment list metrics"
    )


def test_a_checkpoint_is_not_chosen_by_such_a_metric_either(judged, tmp_path):
    command = ("train", "vae", "--data", judged.path, "--out", tmp_path / "run", *QUICK, "--steps", 2)
    complaint = figment(*command, "--train.score-every", 1, "--train.score-by", "fd", "psnr").complaint
    assert complaint.startswith(
        "'psnr' compares pictures with what is rebuilt of them, and nothing can be chosen by it"
    )


def test_all_other_metrics_may_choose():
    refused = {name for name in plugins.names("metrics") if {"paired", "bits", "spatial"} & needs(name)}
    require_of_drawn(sorted(set(plugins.names("metrics")) - refused))
    with pytest.raises(ConfigError, match="did you mean 'kid'"):
        require_of_drawn(["kdi"])


def needs(name: str) -> set[str]:
    return set(plugins.load("metrics", name).NEEDS)
