"""Steps on a Ray cluster: the same dataset to the last byte, and errors that say what to do."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest

import figment.data.build as building
from figment.core.errors import ConfigError, DataError, MissingExtra
from figment.data import ray_workers
from figment.data.build import build, dry_run
from tests.commands import figment
from tests.pictures import write_folder
from tests.unit.test_data_build import MIXED, everything

ray = pytest.importorskip("ray", reason="needs the extra 'cluster'")

# Of Ray itself.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray, embedded: one core, nothing but what a task needs."""
    ray.init(
        "local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20,
        _node_ip_address="127.0.0.1",
    )  # fmt: skip
    yield
    ray.shutdown()


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(building, "GROUP_PICTURES", 8)
    monkeypatch.setattr(building, "CHUNK_PICTURES", 3)
    return write_folder(tmp_path / "photos", MIXED)


def test_a_cluster_makes_the_same_dataset(cluster, tmp_path, photos):
    done: list[tuple[int, int | None]] = []
    store = build([str(photos)], tmp_path / "ray", on="ray", progress=lambda *call: done.append(call))
    build([str(photos)], tmp_path / "here")
    assert everything(tmp_path / "ray") == everything(tmp_path / "here")
    assert done[-14:] == [(number, 40) for number in [*range(3, 40, 3), 40]]
    trial = dry_run([str(photos)], on="ray")
    assert (trial.counts, list(trial.rejected)) == (store.counts, store.rejected())
    assert ray.is_initialized()  # whoever had joined it before may go on with it


def pid_and_half(number: int) -> tuple[int, float]:
    import os

    return os.getpid(), 12 / number


def test_answers_come_in_order_from_other_processes_and_errors_are_the_works_own(cluster):
    import os

    answers = list(ray_workers.in_order("ray", pid_and_half, [4, 3, 2, 1]))
    assert [half for _, half in answers] == [3, 4, 6, 12]
    assert os.getpid() not in {pid for pid, _ in answers}
    with pytest.raises(ZeroDivisionError):
        list(ray_workers.in_order("ray", pid_and_half, [4, 0, 2]))


def test_a_machine_without_figment_or_with_another_one_is_told_of(cluster, monkeypatch):
    absent = types.ModuleType("absent")
    exec("def work(number): return number", absent.__dict__)  # it will be looked for in a module that only we have
    monkeypatch.setitem(sys.modules, "absent", absent)
    with pytest.raises(DataError, match=r"cannot import what it needs \(.*absent.*\); there: pip install figment=="):
        list(ray_workers.in_order("ray", absent.work, [1]))
    monkeypatch.setattr(ray_workers, "VERSION", "9.9")
    with pytest.raises(DataError, match=r"has figment .*, not 9\.9; there: pip install figment==9\.9"):
        list(ray_workers.in_order("ray", pid_and_half, [1]))


def test_without_ray_one_line_says_what_to_install(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(ray_workers, "find_spec", lambda name: None)
    words = ("data", "build", photos, "--out", tmp_path / "out", "--on", "ray")
    assert figment(*words).complaint == "--on ray needs the extra 'cluster': pip install 'figment[cluster]'"
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingExtra):
        dry_run([str(photos)], on="ray://head:10001")


@pytest.mark.parametrize("place", ["rey", "ray://", "ray://head", "ray:8000", "http://head:10001"])
def test_a_place_that_is_none_is_named(tmp_path, photos, place):
    with pytest.raises(ConfigError, match=f"--on {place}: no such place; give ray, or ray://HOST:10001"):
        build([str(photos)], tmp_path / "out", on=place)


def test_a_cluster_that_cannot_be_joined_is_one_line(tmp_path, photos, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise ray.exceptions.AuthenticationError("Token authentication is enabled\nand there is no token")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    words = ("data", "build", photos, "--out", tmp_path / "out", "--on", "ray://head:10001")
    complaint = figment(*words).complaint
    assert "no cluster can be reached (Token authentication is enabled and there is no token" in complaint
    assert "RAY_AUTH_TOKEN" in complaint
