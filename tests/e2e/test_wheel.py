"""The built wheel, in an environment that has figment's dependencies and nothing of this checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def run(*words: object, cwd: Path) -> str:
    """Standard output of a command that must succeed, run somewhere else and with an environment of its own."""
    # With every processor there is: nothing else goes on meanwhile, and this is what people do.
    own = ("PYTHON", "OMP_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    command = [str(word) for word in words]
    ended = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, f"{' '.join(command)}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing of the build is left in the checkout, nor taken from it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    run(sys.executable, "-m", "pip", "wheel", source, *offline, "--wheel-dir", source / "dist", cwd=source)
    (wheel,) = (source / "dist").glob("figment-*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory) -> Path:
    """The Python of an environment with the wheel, which finds its dependencies where the tests have theirs."""
    place = tmp_path_factory.mktemp("environment")
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    pip = ("-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--disable-pip-version-check")
    run(sys.executable, *pip, wheel, cwd=place)
    # A path added this way is searched last, and what makes the checkout's own figment importable there, another
    # .pth file, is not read.
    (packages,) = (place / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    import zipfile

    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"figment"}
    assert "figment/py.typed" in names
    own = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/figment").rglob("*.py")}
    templates = {path.relative_to(ROOT / "src").as_posix() for path in (ROOT / "src/figment/pages/templates").iterdir()}
    assert own | templates <= set(names)


# With a judge that is trained for a moment only: what is tried here is the installation.
MAIN = """
import sys, figment.evaluate.judge as judge
from figment.cli._main import main
judge.EPOCHS, judge.LEAST_IMAGES = 1, 2000
sys.exit(main(sys.argv[1:]))
"""


def test_the_installed_figment_makes_the_demo(python, tmp_path):
    where = run(python, "-c", "import figment; print(figment.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(python.parents[1])
    figment = python.parent / "figment"
    assert "usage: figment VERB" in run(figment, cwd=tmp_path)
    out = tmp_path / "demo"
    demo = ("demo", "--minutes", "0.02", "--out", out, "--json")
    answer = json.loads(run(python, "-c", MAIN, *demo, cwd=tmp_path))
    assert answer["report"] == str(out / "report.html")
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "<html" in report and "data:image/png;base64," in report
    (result,) = answer["runs"]
    assert result["scores"]["accuracy"]["num_fake"] > 1000
    assert sorted(path.name for path in out.iterdir()) == ["dataset", "report.html", "run", "samples.png"]
