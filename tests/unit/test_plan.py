"""`figment plan`: what it recommends, and that what it foretells is what happens."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
import torch

from figment.core.types import Batch, ImageSpec
from figment.families import gan
from figment.train import autotune
from figment.train.planning import RULES, recommended
from figment.train.runlog import read_log
from tests.commands import FIXED, done, figment

SPEC = ImageSpec(3, 32, 32)


@pytest.mark.parametrize(
    ("spec", "count", "family"),
    [
        (SPEC, 50_000, "flow"),
        (replace(SPEC, height=8, width=8), 1_797, "flow"),
        (SPEC, 1_000, "stylegan2"),
        (replace(SPEC, height=128, width=96), 1_000, "autoencoder"),
        (replace(SPEC, frames=8), 50_000, "frame_rnn"),
        (replace(SPEC, paired=True), 500, "pix2pix"),
    ],
)
def test_the_first_rule_that_holds_names_the_family(spec, count, family):
    assert recommended(spec, count).family == family


def test_every_rule_gives_a_reason_and_the_last_one_always_holds():
    assert all(rule.reason for rule in RULES)
    assert RULES[-1].when(SPEC, 1)


def test_what_is_foretold_happens(digits, tmp_path):
    """Loosely, since other work goes on beside the tests; the promise is 20% on a machine of one's own."""
    words = ("flow", "--data", digits.path, "--scale", "tiny", "--minutes", 0.01, *FIXED)
    plan = done("plan", *words, "--json").json
    assert plan["family"] == "flow" and plan["engine"]["precision"] == "float32" and not plan["reason"]
    assert plan["images"] == plan["steps"] * plan["batch_size"]
    assert plan["steps"] == max(24, int(0.6 / plan["seconds"]))
    assert 1e8 < plan["memory"] < 1e10
    assert plan["evaluation_seconds"] == pytest.approx(2000 * plan["picture_seconds"])
    assert str(digits.path) in plan["command"] and "figment train flow" in plan["command"]
    done("train", *words, "--out", tmp_path / "run", "--train.log-every", 1)
    taken = median(line["seconds"] for line in read_log(tmp_path / "run") if line["kind"] == "train")
    assert 1 / 3 < taken / plan["step_seconds"] < 3


def test_a_plan_without_a_family_names_one_and_says_why(digits):
    told = done("plan", "--data", digits.path, "--minutes", "0.01", "--scale", "tiny")
    assert told.out.startswith("flow: ")
    assert "images/s" in told.out and "GB" in told.out
    assert told.out.splitlines()[-1] == (
        f"figment train flow --data {digits.path} --minutes 0.01 --scale tiny --out runs/flow"
    )


def test_a_family_that_needs_another_run_says_so(digits):
    assert "train autoencoder" in figment("plan", "latent", "--data", digits.path).complaint


@pytest.mark.parametrize(("threads", "counts"), [(1, [0]), (2, [0, 1]), (8, [0, 1, 4])])
def test_all_one_and_half_of_the_threads_are_tried(monkeypatch, threads, counts):
    monkeypatch.setattr(autotune.torch, "get_num_threads", lambda: threads)
    assert autotune._thread_counts() == counts


def test_among_ranks_the_cores_are_shared_out_already(monkeypatch):
    monkeypatch.setattr(autotune.torch, "get_num_threads", lambda: 8)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    assert autotune._thread_counts() == [0]


def test_what_was_measured_is_remembered_for_the_same_accelerator_and_figment_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(autotune, "_thread_counts", lambda: [0])
    tried: list[str] = []
    monkeypatch.setattr(autotune, "_fastest", lambda engines, *rest: tried.append(engines[0].device) or engines[0])

    def device() -> str:
        tried.clear()
        batch = Batch(torch.zeros(4, 1, 8, 8))
        config = gan.Config.preset("tiny")
        return autotune.choose_engine(lambda: gan.build(config, ImageSpec(1, 8, 8)), gan.TRAIN, batch, "gan").device

    assert device() == "cpu" and tried
    assert device() == "cpu" and not tried, "remembered"
    with monkeypatch.context() as patch:
        patch.setattr(autotune, "VERSION", "0.0.0")
        assert device() == "cpu" and tried
    for name in ("H100", "H200"):
        monkeypatch.setattr(autotune, "default_device", lambda: "cuda")
        monkeypatch.setattr(autotune.torch.cuda, "get_device_name", lambda name=name: name)
        assert device() == "cuda" and tried, name
        assert device() == "cuda" and not tried
    monkeypatch.setattr(autotune, "default_device", lambda: "cpu")
    assert device() == "cpu" and not tried
