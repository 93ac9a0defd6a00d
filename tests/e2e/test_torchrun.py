"""`torchrun -m figment train`: two and four processes make the run that one makes, and survive what one survives."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from figment.core.checkpoint import load_model
from figment.train.run import read_run
from tests.commands import QUICK, contents, done, log
from tests.commands import figment as command_line
from tests.ranks import Said, begin, command, figment

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")

LOOKING = ("--train.validate-every", "4", "--train.sample-every", "4", "--train.save-every", "4")


def words(family: str, data: Path, out: Path, steps: int, *more: object) -> list[object]:
    return ["train", family, "--data", data, "--out", out, *QUICK, *LOOKING, "--steps", steps, *more]


@pytest.fixture(autouse=True)
def _own_signals():
    """The agent takes over Ctrl-C and other signals of this process; later tests need them as they were."""
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def dataset(digits, tmp_path_factory) -> Path:
    digits.images("train")
    return shutil.copytree(digits.path, tmp_path_factory.mktemp("ranks") / "digits")


@pytest.fixture(scope="module")
def single(dataset, tmp_path_factory) -> Path:
    """Eight steps of four slices on one rank."""
    run = tmp_path_factory.mktemp("single") / "run"
    done(*words("vae", dataset, run, 8, "--train.slices", 4))
    return run


def quiet(said: list[Said]) -> bool:
    """Whether the first rank alone has spoken."""
    return all(not one.text for one in said[1:])


def same_runs(one: Path, other: Path) -> None:
    """The same log and weights, but for the order in which floats were added up."""
    first, second = log(one), log(other)
    assert [(line["kind"], line["step"]) for line in first] == [(line["kind"], line["step"]) for line in second]
    for a, b in zip(first, second, strict=True):
        numbers = {name: value for name, value in a.items() if isinstance(value, float)}
        assert {name: b[name] for name in numbers} == pytest.approx(numbers, rel=2e-3, abs=2e-4)
    left, right = (load_model(run).model.state_dict() for run in (one, other))
    assert left.keys() == right.keys()
    assert all((left[name] - right[name]).abs().max() < 1e-3 for name in left)


def test_two_ranks_make_the_run_of_one(dataset, single, tmp_path):
    run = tmp_path / "run"
    said = figment(2, tmp_path / "said", *words("vae", dataset, run, 8, "--train.slices", 4))
    assert [one.code for one in said] == [0, 0] and quiet(said)
    assert f"{run}: trained 8 steps" in said[0].text
    same_runs(single, run)
    written = {path.relative_to(run) for path in run.rglob("*") if path.is_file()}
    assert written == {path.relative_to(single) for path in single.rglob("*") if path.is_file()}


def test_a_run_goes_on_on_another_number_of_ranks(dataset, single, tmp_path):
    """Begun on four, with a slice for each, gone on with on one, ended on two: by one command but for its steps."""
    run = tmp_path / "run"
    assert [one.code for one in figment(4, tmp_path / "4", *words("vae", dataset, run, 4))] == [0] * 4
    assert read_run(run).slices == 4
    done(*words("vae", dataset, run, 6))
    assert [one.code for one in figment(2, tmp_path / "2", *words("vae", dataset, run, 8))] == [0] * 2
    assert [line["step"] for line in log(run, "train")] == list(range(1, 9))
    assert read_run(run).slices == 4
    refused = figment(3, tmp_path / "3", *words("vae", dataset, run, 9))
    assert [one.code for one in refused] == [2] * 3
    told = [line for one in refused for line in one.text.splitlines()]
    assert told == [
        "figment: this run computes its steps in 4 slices, which 3 ranks cannot share evenly; start it on 1 or 2 or 4"
    ]


def test_a_sharded_run_goes_on_without_and_with_more_ranks(dataset, single, tmp_path):
    """In two parts; from their checkpoint whole, on one rank; and from that one in four parts."""
    run = tmp_path / "run"
    line = words("vae", dataset, run, 8, "--train.slices", 4)
    said = figment(2, tmp_path / "2", *line, "--train.shard")
    assert [one.code for one in said] == [0] * 2 and quiet(said), said
    same_runs(single, run)
    shorten(run)
    done(*line)
    same_runs(single, run)
    shorten(run)
    assert [one.code for one in figment(4, tmp_path / "4", *line, "--train.shard")] == [0] * 4
    same_runs(single, run)


def shorten(run: Path) -> None:
    """Take a finished run of eight steps back to its fourth."""
    shutil.rmtree(run / "checkpoints" / "00000008")
    shutil.rmtree(run / "model")


def test_only_what_trains_in_one_phase_is_sharded(dataset, tmp_path):
    asked = ("train", "gan", "--data", dataset, "--out", tmp_path / "run", *QUICK, "--steps", 4, "--train.shard")
    told = command_line(*asked).complaint
    assert told == (
        "--train.shard: a 'gan' trains in 2 phases; only a family with a single one, such as flow, can be sharded: "
        "leave it out"
    )


@pytest.fixture(scope="module")
def finished(judged, tmp_path_factory) -> Path:
    """A run that draws, of a dataset with a judge."""
    run = tmp_path_factory.mktemp("finished") / "run"
    done("train", "flow", "--data", judged.path, "--out", run, *QUICK, "--steps", 2)
    return run


def test_two_ranks_draw_the_pictures_of_one(finished, tmp_path):
    """Seventy are two chunks, one for each rank; to the last byte, the recipes included."""
    asked = ("--num", 70, "--sampling.steps", 2)
    done("sample", finished, *asked, "--out", tmp_path / "one")
    said = figment(2, tmp_path / "said", "sample", finished, *asked, "--out", tmp_path / "two")
    assert [one.code for one in said] == [0, 0] and quiet(said), said
    assert len(contents(tmp_path / "one")) == 70
    assert contents(tmp_path / "two") == contents(tmp_path / "one")
    picture = next((tmp_path / "one").rglob("69.png"))
    said = figment(2, tmp_path / "again", "sample", finished, "--again", picture, "--out", tmp_path / "69.png")
    assert [one.code for one in said] == [0, 0], said
    assert (tmp_path / "69.png").read_bytes() == picture.read_bytes()


def test_two_ranks_score_what_one_does(judged, finished, tmp_path):
    dataset = shutil.copytree(judged.path, tmp_path / "digits", ignore=shutil.ignore_patterns("cache"))
    asked = ("eval", finished, "--num", 70, "--metrics", "fd", "accuracy", "--json", "--data")
    one = done(*asked, judged.path).json["runs"]
    said = figment(2, tmp_path / "said", *asked, dataset, "--out", tmp_path / "report.html")
    assert [one.code for one in said] == [0, 0] and quiet(said), said
    assert json.loads(said[0].text.splitlines()[-1])["runs"] == one
    assert (tmp_path / "report.html").exists()


def test_a_mistake_about_a_run_is_told_once(tmp_path):
    said = figment(2, tmp_path / "said", "sample", tmp_path / "none", "--out", tmp_path / "a.png")
    assert [one.code for one in said] == [2, 2]
    assert len([line for one in said for line in one.text.splitlines()]) == 1


def test_scores_and_minutes_are_the_same_for_all(judged, tmp_path):
    """Pictures are drawn by all ranks, the time is the first one's, and every rank takes as many steps."""
    run = tmp_path / "run"
    scoring = ("--train.score-every", 4, "--train.score-num", 20, "--train.score-share", 1)
    out = ("train", "gan", "--data", judged.path, "--out", run, *QUICK, "--minutes", 0.002, *scoring)
    said = figment(2, tmp_path / "said", *out)
    assert [one.code for one in said] == [0, 0], said
    steps = read_run(run).steps
    assert steps >= 24 and [line["step"] for line in log(run, "train")] == list(range(1, steps + 1))
    assert all(line["fd"] > 0 for line in log(run, "score")) and log(run, "score")


@pytest.mark.parametrize("wrong", [("--train.lr", 99), ("--train.batch-size", 1), ("--nonsense",)], ids=str)
def test_a_mistake_is_told_once(dataset, tmp_path, wrong):
    said = figment(2, tmp_path / "said", *words("flow", dataset, tmp_path / "run", 4, *wrong))
    lines = [line for one in said for line in one.text.splitlines()]
    assert [one.code for one in said] == [2, 2]
    assert len(lines) == 1 and lines[0].startswith("figment: ")


def elsewhere(line: list[str]) -> int:
    """The command on this rank; the second one is where the dataset cannot be seen."""
    if os.environ["RANK"] == "1":
        os.chdir("/")
    return command(line)


def test_what_goes_wrong_on_one_rank_ends_all_and_is_told_once(dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(dataset.parent)
    line = [str(word) for word in words("flow", Path("digits"), tmp_path / "run", 4)]
    pids = begin(2, tmp_path / "said", elsewhere, line)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    told = [line for rank in (0, 1) for line in (tmp_path / f"said/said-{rank}.txt").read_text().splitlines()]
    assert told == ["figment: digits: no such dataset; make one with: figment data build SOURCE --out digits"]


def test_an_interrupt_saves_once_and_ends_all(dataset, tmp_path):
    run = tmp_path / "run"
    line = [str(word) for word in words("flow", dataset, run, 100_000, "--train.sample-every", 0)]
    pids = begin(2, tmp_path / "said", command, line)
    deadline = time.monotonic() + 30
    while not (run / "log.jsonl").exists() or len((run / "log.jsonl").read_text().splitlines()) < 3:
        assert time.monotonic() < deadline, (tmp_path / "said/said-0.txt").read_text()
        time.sleep(0.01)
    for number in (signal.SIGINT, signal.SIGTERM):  # as torchrun does after a Ctrl-C
        for pid in pids:
            os.kill(pid, number)
        time.sleep(0.01)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    first, second = ((tmp_path / f"said/said-{rank}.txt").read_text() for rank in (0, 1))
    assert "interrupted; everything is saved, give the same command again to go on" in first and not second
    last = log(run, "train")[-1]["step"]
    assert [path.name for path in (run / "checkpoints").iterdir()][-1] == f"{last:08d}"


def until_killed(line: list[str], run: str) -> int:
    """The command on this rank; the second one is killed in the first life, once a checkpoint has been written."""

    def watch() -> None:
        while not (Path(run) / "checkpoints" / "00000004").exists():
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGKILL)

    if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        threading.Thread(target=watch, daemon=True).start()
    return command(line)


def test_a_killed_rank_is_started_again_and_the_run_goes_on(dataset, single, tmp_path):
    """By the agent that torchrun is, in this process: --max-restarts 1. Even --fresh begins only once."""
    run = tmp_path / "run"
    line = [str(word) for word in words("vae", dataset, run, 8, "--train.slices", 4, "--fresh")]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=2,
        run_id="restart",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=1,
        monitor_interval=0.1,
        start_method="fork",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        codes = elastic_launch(config, until_killed)(line, str(run))
    assert codes == {0: 0, 1: 0}
    same_runs(single, run)


def torchrun(*line: object) -> subprocess.CompletedProcess[str]:
    """A command in the form of the docs, on two processes of their own."""
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *FORM]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    command = [*start, *map(str, line)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


FORM = ("-m", "--", "figment")  # without the -- torchrun takes --num for its own --numa-binding


def test_torchrun_itself(dataset, tmp_path):
    answer = torchrun(*words("flow", dataset, tmp_path / "run", 2))
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout == f"{tmp_path / 'run'}: trained 2 steps, 32 images seen\n"
    assert read_run(tmp_path / "run").slices == 2


def test_torchrun_leaves_a_verbs_flags_alone(finished, tmp_path):
    answer = torchrun("sample", finished, "--num", 3, "--sampling.steps", 1, "--out", tmp_path / "drawn")
    assert answer.returncode == 0, answer.stderr
    assert len(contents(tmp_path / "drawn")) == 3


def test_the_docs_have_the_form_that_was_tried():
    pages = [page.read_text("utf-8") for page in (Path(__file__).parents[2] / "docs").rglob("*.md")]
    commands = [line for page in pages for line in page.splitlines() if "torchrun" in line and "figment" in line]
    assert len(commands) >= 6
    assert all(" ".join(FORM) in line or ", ".join(FORM) in line for line in commands)


def test_other_verbs_are_the_work_of_one_process(tmp_path):
    said = figment(2, tmp_path, "list", "families")
    assert [one.code for one in said] == [2, 2] and quiet(said)
    assert said[0].text == "figment: figment list is the work of one process: give the command without torchrun\n"
