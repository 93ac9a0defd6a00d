"""What figment stands on: every package is pinned, its licence told; and nothing in the source reads pickles."""

from __future__ import annotations

import ast
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

from trust import _sbom

SOURCE = Path(__file__).parents[2] / "src/figment"

# Readers of published files, whose SHA-256 is compared first; that of CIFAR can make nothing but arrays.
READERS = {"data/plain_pickle.py", "features/inception.py", "losses/perceptual.py"}
TOOLS = {"setuptools"}  # which every environment brings
PICKLES = {"pickle", "_pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}


def test_every_package_that_is_needed_is_pinned():
    unpinned = sorted(_sbom.needed().keys() - _sbom.pinned().keys() - TOOLS)
    assert not unpinned, f"write their versions into constraints.txt: {', '.join(unpinned)}"


def test_what_is_pinned_is_installed():
    wrong = []
    for name, version in _sbom.pinned().items():
        try:
            found = distribution(name).version.partition("+")[0]  # "2.13.0+cpu" is 2.13.0
        except PackageNotFoundError:
            continue
        wrong += [f"{name} {found}, not {version}"] if found != version else []
    assert not wrong, wrong


def test_the_page_of_licences_tells_of_every_package():
    text = _sbom.PAGE.read_text("utf-8").casefold()
    missing = [name for name in _sbom.needed() if f"| {distribution(name).metadata['Name'].casefold()} |" not in text]
    assert not missing, f"run: python trust/_sbom.py --licences (for {', '.join(missing)})"
    assert "unknown" not in text


def test_the_bill_of_materials_is_one():
    bill = _sbom.bill()
    names = {part["bom-ref"] for part in bill["components"]}
    assert {"torch", "numpy", "pillow"} <= names
    assert all(part["purl"].endswith(f"@{part['version']}") for part in bill["components"])
    assert all(set(one["dependsOn"]) <= names for one in bill["dependencies"])
    assert bill["components"][0]["licenses"][0]["expression"]


@pytest.mark.parametrize(
    "metadata",
    [
        ("License-Expression: MIT OR Apache-2.0", "MIT OR Apache-2.0"),
        ("Classifier: License :: OSI Approved :: BSD License", "BSD-3-Clause"),
        ("License: Apache License, Version 2.0", "Apache-2.0"),
        ("Name: x", "unknown"),
    ],
)
def test_licences_are_told_as_spdx(metadata, tmp_path):
    (tmp_path / "x.dist-info").mkdir()
    (tmp_path / "x.dist-info/METADATA").write_text(f"Metadata-Version: 2.1\n{metadata[0]}\n")
    from importlib.metadata import PathDistribution

    assert _sbom.licence(PathDistribution(tmp_path / "x.dist-info")) == metadata[1]


def _reads_pickles(tree: ast.Module) -> bool:
    """Whether a module imports what unpickles, or calls torch.load, or lets numpy do it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(alias.name.partition(".")[0] in PICKLES for alias in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PICKLES:
            return True
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            "torch.load",
            "torch.jit.load",
            "torch.export.load",
        ):
            return True
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            return True
    return False


def test_only_readers_of_published_files_know_pickles():
    files = {path.relative_to(SOURCE).as_posix(): path for path in SOURCE.rglob("*.py")}
    assert {name for name, path in files.items() if _reads_pickles(ast.parse(path.read_text("utf-8")))} == READERS
