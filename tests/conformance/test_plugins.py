"""Every plugin in every folder keeps the contract of its kind; a new file is tested the moment it exists."""

from __future__ import annotations

from pathlib import Path

import pytest

from figment.core import plugins
from figment.testing import check_docstring, check_json, checks_of, digits_store

CASES = [
    pytest.param(kind, name, what, id=f"{kind}/{name}: {what}")
    for kind in plugins.FOLDERS
    if plugins.folder(kind).exists()
    for name in plugins.names(kind)
    for what in checks_of(kind)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the digits in it already, so that they are built once."""
    folder = tmp_path_factory.mktemp("conformance")
    digits_store(folder)
    return folder


@pytest.mark.parametrize(("kind", "name", "what"), CASES)
def test_plugin(kind: str, name: str, what: str, folder: Path):
    check = checks_of(kind)[what]
    subject = f"{kind}/{name}" if check in (check_docstring, check_json) else name
    place = folder / f"{kind}-{name}"
    place.mkdir(exist_ok=True)
    if not (place / "digits").exists():
        (place / "digits").symlink_to(folder / "digits", target_is_directory=True)
    check(subject, place)
