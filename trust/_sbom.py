"""What figment stands on: a bill of materials of the installed packages, and the page of their licences.

python trust/_sbom.py                CycloneDX 1.6, as JSON, on standard output (make sbom)
python trust/_sbom.py --licences     docs/licences.md is written anew
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/licences.md"
BEGIN, END = "<!-- written by trust/_sbom.py -->\n", "<!-- end -->\n"
CORE = "core"  # what a plain `pip install figment` brings

# What older metadata say in many words: a pattern in those, and the SPDX expression that it stands for.
_SPDX = (
    (r"Apache", "Apache-2.0"),
    (r"MPL|Mozilla", "MPL-2.0"),
    (r"BSD.*2-Clause|2-Clause BSD|Simplified BSD", "BSD-2-Clause"),
    (r"BSD", "BSD-3-Clause"),
    (r"PSF|Python Software Foundation", "PSF-2.0"),
    (r"HPND|CMU", "MIT-CMU"),
    (r"ISC", "ISC"),
    (r"Unlicense", "Unlicense"),
    (r"MIT", "MIT"),
)


def pinned() -> dict[str, str]:
    """Versions in constraints.txt by the canonical name of the package."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line.strip() and not line.startswith("#"))
    return {canonicalize_name(name): version.strip() for name, version in pairs}


def extras() -> dict[str, list[str]]:
    """What pyproject.toml asks for, by extra, with "core" first."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {CORE: project["dependencies"], **project["optional-dependencies"]}


def needed() -> dict[str, set[str]]:
    """Every package that an extra brings, by its canonical name, with the extras that bring it."""
    found: dict[str, set[str]] = {}
    for extra, lines in extras().items():
        open_names, seen = [Requirement(line) for line in lines], set[tuple[str, frozenset[str]]]()
        while open_names:
            requirement = open_names.pop()
            name, asked = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if (name, asked) in seen:
                continue
            seen.add((name, asked))
            found.setdefault(name, set()).add(extra)
            open_names += _requirements(name, asked)
    return found


def _requirements(name: str, asked: frozenset[str]) -> Iterator[Requirement]:
    """What a package needs here, with its extras; nothing where it is not installed."""
    try:
        lines = distribution(name).requires or []
    except PackageNotFoundError:
        return
    for requirement in map(Requirement, lines):
        if not requirement.marker or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *asked}):
            yield requirement


def licence(package: Distribution) -> str:
    """The licence of a package as an SPDX expression, or as it says itself."""
    told = package.metadata
    if expression := told.get("License-Expression"):
        return expression
    classified = [
        line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License ::")
    ]
    said = [one for one in classified if one != "OSI Approved"] or [
        (told.get("License") or "unknown").partition("\n")[0]
    ]
    known = (next((spdx for pattern, spdx in _SPDX if re.search(pattern, one)), one.strip()) for one in said)
    return " OR ".join(dict.fromkeys(known))


def bill() -> dict[str, Any]:
    """A CycloneDX bill of materials of what is installed of figment's packages."""
    installed = {}
    for name in sorted(needed()):
        try:
            installed[name] = distribution(name)
        except PackageNotFoundError:  # an extra that is not there
            continue
    components = [
        {
            "type": "library",
            "bom-ref": name,
            "name": package.metadata["Name"],
            "version": package.version,
            "purl": f"pkg:pypi/{name}@{package.version}",
            "licenses": [{"expression": licence(package)}],
        }
        for name, package in installed.items()
    ]
    figment = distribution("figment")
    dependencies = [
        {
            "ref": name,
            "dependsOn": sorted(
                {canonicalize_name(one.name) for one in _requirements(name, frozenset())} & installed.keys()
            ),
        }
        for name in installed
    ]
    roots = sorted({canonicalize_name(Requirement(line).name) for line in extras()[CORE]})
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": "figment",
                "name": "figment",
                "version": figment.version,
                "licenses": [{"expression": licence(figment)}],
            }
        },
        "components": components,
        "dependencies": [{"ref": "figment", "dependsOn": roots}, *dependencies],
    }


def table() -> str:
    """The licences as Markdown, a row each."""
    rows = ["| Package | Licence | Comes with |", "|-|-|-|"]
    for name, brought in sorted(needed().items()):
        told = distribution(name)
        extra = CORE if CORE in brought else ", ".join(f"`{one}`" for one in sorted(brought))
        rows.append(f"| {told.metadata['Name']} | {licence(told)} | {extra} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    if "--licences" not in sys.argv[1:]:
        print(json.dumps(bill(), indent=1))
        return 0
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
