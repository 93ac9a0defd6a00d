"""Every test runs offline, single-threaded and with warnings as errors."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

from figment.evaluate import judge
from figment.testing import digits_store

SHARED = Path(__file__).parents[2] / "shared" / "data"

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))

# A shell starts what runs in the background with Ctrl-C ignored; tests of interrupts need it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches of figment's go to a folder of the test's, never to the developer's home."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(autouse=True)
def _offline(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections beyond this machine fail; only browser tests open any at all."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else ""
        assert host in ("", "127.0.0.1", "localhost", "::1"), f"a test tried to reach {host}"
        connect(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory):
    """scikit-learn's digits as a dataset."""
    return digits_store(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def judged(tmp_path_factory: pytest.TempPathFactory):
    """The digits as a dataset with a judge that saw few pictures: good enough to be asked, not to be believed."""
    store = digits_store(tmp_path_factory.mktemp("judged"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judge, "LEAST_IMAGES", 0)
        patch.setattr(judge, "MOST_IMAGES", 2560)
        judge.judge_of(store, progress=lambda done, total: None, warn=print, stopping=lambda: False)
    return store


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the MNIST and CIFAR-10 archives; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("needs ../shared/data with mnist-png.zip and cifar10-jpeg.tar.xz, which are not part of figment")
    return SHARED
