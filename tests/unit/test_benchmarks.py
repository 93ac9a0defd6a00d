"""The harness of benchmarks/: which ratios it stores, and that it notices when one has become worse."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

HARNESS = Path(__file__).parents[2] / "benchmarks/run.py"


@pytest.fixture
def harness(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("harness", HARNESS)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def give(folder: Path, ours: float) -> None:
    values = {"a: figment": [ours, 2 * ours, 3 * ours], "a: peer": [1.0, 1.0, 1.0], "b: figment": [1.0, 2.0, 4.0]}
    (folder / "toy.py").write_text(f"def speeds(rounds):\n    return {values}\n")


def test_a_ratio_that_falls_by_more_than_a_tenth_is_a_regression(harness, tmp_path, capsys):
    give(tmp_path, 10.0)
    assert not harness.run("toy", 3)
    stored = json.loads((tmp_path / "results/toy.json").read_text())
    assert stored["ratios"] == {"a: figment / peer": {"median": 20.0, "range": [10.0, 30.0]}}
    give(tmp_path, 9.1)
    assert not harness.run("toy", 3)
    give(tmp_path, 8.1)  # 11% less than what is stored now
    assert harness.run("toy", 3)
    assert "toy: a: figment / peer: REGRESSION, was 18.20" in capsys.readouterr().out
    assert json.loads((tmp_path / "results/toy.json").read_text())["ratios"]["a: figment / peer"]["median"] == 18.2


def test_another_machine_is_no_regression(harness, tmp_path):
    give(tmp_path, 10.0)
    harness.run("toy", 3)
    path = tmp_path / "results/toy.json"
    path.write_text(path.read_text().replace(harness.machine(), "another one"))
    give(tmp_path, 5.0)
    assert not harness.run("toy", 3)
