"""What end-to-end tests share: small pictures, a run made of them, and processes that start at once."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageDraw

from figment.data.store import Store
from tests.processes import Processes

if TYPE_CHECKING:
    from tests.serving import Served


CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# Without these, Chromium looks up hosts of its own at every start, and as root it does not start at all.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The built wheel comes last: it takes longest, and is best understood when everything else is right."""
    items.sort(key=lambda item: item.path.name == "test_wheel.py")


@pytest.fixture(scope="module")
def browser():
    """Chromium, as playwright drives it."""
    sync = pytest.importorskip("playwright.sync_api")
    if not Path(CHROMIUM).exists():
        pytest.skip(f"{CHROMIUM} is not there: apt-get install chromium, or set CHROMIUM")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory):
    """A server of real processes."""
    processes = Processes(tmp_path_factory.mktemp("processes"))
    yield processes
    processes.close()


def draw_shapes(folder: Path, number: int = 12, size: int = 16) -> Path:
    """<folder>/{disc,square}/*.png: so many of each in colours, sizes and places of their own."""
    choose = random.Random(7)
    for name in ("disc", "square"):
        (folder / name).mkdir(parents=True)
        for place in range(number):
            picture = Image.new("RGB", (size, size), (20, 20, 40))
            width = choose.randint(size // 3, size // 2)
            left, top = choose.randint(1, size - width - 2), choose.randint(1, size - width - 2)
            colour = tuple(choose.randint(90, 255) for _ in range(3))
            pen = ImageDraw.Draw(picture)
            (pen.ellipse if name == "disc" else pen.rectangle)((left, top, left + width, top + width), fill=colour)
            picture.save(folder / name / f"{place}.png")
    return folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes with twelve coloured pictures of 16x16 each."""
    return draw_shapes(tmp_path_factory.mktemp("shapes") / "shapes")


@pytest.fixture(scope="session")
def served(digits: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server over a flow, a gan and a dataset that tests may label."""
    from tests.serving import serving, tiny_runs

    folder = tmp_path_factory.mktemp("served")
    shutil.copytree(digits.path, folder / "digits", ignore=shutil.ignore_patterns("judges"))
    with serving(tiny_runs(folder, digits.path), [folder / "digits"], folder / "state") as server:
        server.wait_ready()
        yield server
