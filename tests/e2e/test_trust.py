"""Every campaign of trust/ in its short form: `make trust` runs the long one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from trust import corruption, faults, power_loss, run
from trust._commits import Commit, Prepared
from trust._tally import Tally


@pytest.mark.parametrize("name", run.names())
def test_promises_are_kept(name, tmp_path):
    module = run.load(name)
    assert module.PROMISE.endswith(".") and module.METHOD.endswith(".") and module.SHORT < module.LONG
    tally = module.campaign(module.SHORT, tmp_path, 1)
    assert isinstance(tally, Tally)
    assert tally.failures == () and tally.trials > 0


def test_the_table_shows_the_stored_results():
    page = run.PAGE.read_text(encoding="utf-8")
    assert run.renewed(page) == page, "run: python trust/run.py"
    for path in run.RESULTS.glob("*.json"):
        assert path.stem in run.names(), f"{path} is the result of a campaign that there is not"
        result = json.loads(path.read_text(encoding="utf-8"))
        assert f"| {result['trials']:,} | {len(result['failures'])} |" in page


def careless(folder: Path) -> None:
    """What saves must not do: write over what was there."""
    (folder / "state").write_text("new" * 100)


def old(folder: Path) -> None:
    (folder / "state").write_text("old" * 100)


CARELESS = Commit(old, careless, lambda folder: (folder / "state").read_text())


@pytest.fixture
def careless_commit(tmp_path):
    (tmp_path / "before").mkdir()
    CARELESS.prepare(tmp_path / "before")
    return Prepared(CARELESS, tmp_path / "before", "old" * 100, "new" * 100)


def test_faults_tell_a_careless_commit(careless_commit, tmp_path):
    trial = tmp_path / "trial"
    wrong = [faults.failed(careless_commit, trial, fault) for fault in faults.faults_of(careless_commit, trial)]
    assert "neither the old state nor the new one" in wrong


def test_power_cuts_tell_a_careless_commit(careless_commit, tmp_path):
    """Also one that forgets to sync what it has renamed."""
    wrong = set(power_loss.attacked(careless_commit, tmp_path, 20, random.Random(0)))
    assert {"neither the old state nor the new one", "what was done is lost"} <= wrong


def test_corruption_tells_a_careless_reader(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"whole")
    kind = corruption.Kind((path,), path.read_bytes)
    assert corruption.outcome_of(kind, b"whole", path) == ("without effect", "")
    path.write_bytes(b"whale")
    assert corruption.outcome_of(kind, b"whole", path) == ("undetected", "what is read is not what was written")
