"""`figment data`: the page that a dataset has, what is counted, and what is not given away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from figment.data.store import Store
from tests.commands import done, figment
from tests.pictures import classes, png, write_folder


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Two classes of six pictures, one that is too small and one that is none."""
    files = classes(6, ("cat", "dog"), height=12, width=12) | {"cat/tiny.png": png(1, 4, 4), "dog/not.png": b"hello"}
    return write_folder(tmp_path_factory.mktemp("of_alice") / "pictures", files)


@pytest.fixture
def data(source, tmp_path) -> Path:
    done("data", "build", source, "--out", tmp_path / "data")
    return tmp_path / "data"


def test_a_dataset_has_a_report_which_goes_with_the_times(data):
    page = data / "report.html"
    assert "4x4 is smaller than 8 pixels" in page.read_text() and "data:image/png;base64," in page.read_text()
    done("data", "restore", data, "cat/tiny.png")
    assert "4x4 is smaller than 8 pixels" not in page.read_text()
    before = page.read_text()
    done("data", "split", data, "--val", 0.25, "--test", 0.25)
    assert page.read_text() != before


def test_a_report_that_cannot_be_written_costs_nobody_the_dataset(source, data):
    (data / "report.html").unlink()
    (data / "report.html").mkdir()
    answer = done("data", "split", data, "--val", 0.3)
    assert f"warning: {data}/report.html: could not be written (" in answer.err
    assert done("data", "build", source, "--out", data).code == 0


def test_more_classes_than_anybody_looks_at_share_a_sheet(tmp_path):
    names = [f"class-{number}" for number in range(41)]
    write_folder(tmp_path / "pictures", classes(2, names, height=8, width=8, channels=1))
    done("data", "build", tmp_path / "pictures", "--out", tmp_path / "data", "--skip", "split")
    page = (tmp_path / "data/report.html").read_text()
    assert page.count("<img ") == 1


def test_a_damaged_shard_is_named_by_the_report(data):
    (shard,) = (data / "shards").iterdir()
    shard.write_bytes(b"hello")
    refused = figment("data", "report", data, "--out", data / "new.html")
    assert refused.complaint == f"{shard}: missing or damaged; build the dataset again with --fresh"


def test_building_a_dataset_with_its_report_needs_no_torch(source, tmp_path):
    """Which takes seconds to import."""
    code = "import sys; from figment.cli._main import main; code = main(); sys.exit(code or 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "data", "build", str(source), "--out", str(tmp_path / "data")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr or "torch was imported"
    assert (tmp_path / "data/report.html").exists()


def test_splitting_anew_counts_what_was_refused(data):
    answer = done("data", "split", data, "--val", 0.25, "--json").json
    assert answer["rejected"] == {"decode": 1, "min_size": 1} and sum(answer["counts"].values()) == 12


@pytest.mark.parametrize("words", [("--val", 0.95), ("--val", 0.5, "--test", 0.6)])
def test_splitting_anew_names_its_own_flags(data, words):
    complaint = figment("data", "split", data, *words).complaint
    assert complaint.startswith("--val ") and "--split." not in complaint


def test_a_dataset_gives_away_no_folders_but_its_sources_last_name(source, data, tmp_path, monkeypatch):
    (recipe,) = Store(data).card["recipe"]["sources"]
    assert recipe.startswith("folder:pictures (")
    everything = b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file())
    assert b"pictures" in everything and source.parent.name.encode() not in everything
    # The same source, named in another way, is still the same; another one of that name is not.
    monkeypatch.chdir(source.parent)
    done("data", "build", source.name, "--out", data)
    write_folder(tmp_path / "pictures", {f"cat/{number}.png": png(number) for number in range(14)})
    refused = figment("data", "build", tmp_path / "pictures", "--out", data)
    assert f"{data}: is a dataset of another recipe (sources: " in refused.complaint
