"""The folder is the registry: a plugin is a module, and its file name is its name on the command line.

Names, first docstring lines and settings are read with `ast`, so that listing plugins imports none of them. Other
packages add plugins through entry points in the groups `figment.families`, `figment.sources`, and so on.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from figment.core.errors import ConfigError, MissingExtra, did_you_mean

ROOT = Path(__file__).resolve().parents[1]

# Which folder holds which kind of plugin.
FOLDERS = {
    "families": "families",
    "sources": "data/sources",
    "steps": "data/steps",
    "samplers": "samplers",
    "features": "features",
    "metrics": "metrics",
    "edits": "edits",
    "diagnoses": "diagnoses",
    "exports": "exports",
    "imports": "imports",
}

# Packages that are not part of the core installation, and the extra that brings each.
EXTRAS = {
    "tensorboard": "track",
    "pyarrow": "parquet",
    "datasets": "hub",
    "transformers": "hub",
    "httpx": "crawl",
    "protego": "crawl",
    "selectolax": "crawl",
    "pydicom": "medical",
    "fastapi": "serve",
    "uvicorn": "serve",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "diffusers": "diffusers",
}


@dataclass(frozen=True)
class Setting:
    """One field of a plugin's Config, as its source spells it."""

    name: str
    type: str
    default: str
    help: str


def folder(kind: str) -> Path:
    if kind not in FOLDERS:
        raise ConfigError(f"no plugins of kind '{kind}'{did_you_mean(kind, FOLDERS)}")
    return ROOT / FOLDERS[kind]


@cache
def _entry_points() -> Any:  # by Python's version, SelectableGroups or EntryPoints: both can select
    return entry_points()  # reads a file of every installed package: once is enough


def forget() -> None:
    """Read plugins anew when they are next asked for: some were installed, or changed, since Python began."""
    _entry_points.cache_clear()
    _tree.cache_clear()


def _foreign(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in _entry_points().select(group=f"figment.{kind}")}


def names(kind: str) -> list[str]:
    """Every plugin of a kind, sorted: the modules of its folder and the entry points of other packages."""
    own = {path.stem for path in folder(kind).glob("*.py") if not path.stem.startswith("_")}
    return sorted(own | set(_foreign(kind)))


def require(kind: str, name: str) -> str:
    """`name`, if there is such a plugin.

    Raises ConfigError with the nearest name otherwise.
    """
    if name not in names(kind):
        one = {"families": "family"}.get(kind, kind.removesuffix("s"))
        raise ConfigError(f"no {one} '{name}'{did_you_mean(name, names(kind))}")
    return name


def load(kind: str, name: str) -> ModuleType:
    """Import a plugin.

    Raises ConfigError for an unknown name and MissingExtra where it needs a package that is not installed.
    """
    require(kind, name)
    own = folder(kind) / f"{name}.py"
    try:
        if own.exists():
            return importlib.import_module(f"figment.{FOLDERS[kind].replace('/', '.')}.{name}")
        return _foreign(kind)[name].load()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in EXTRAS:
            raise MissingExtra(f"'{name}'", EXTRAS[package]) from error
        raise


def source_file(kind: str, name: str) -> Path | None:
    """The file that defines a plugin; None where a foreign one cannot be located without importing it."""
    own = folder(kind) / f"{name}.py"
    if own.exists():
        return own
    spec = find_spec(_foreign(kind)[name].module)
    return Path(spec.origin) if spec and spec.origin else None


def source_digest(kind: str, name: str) -> str:
    """SHA-256 of the file that defines a plugin, for what depends on its every line; "" where none can be located."""
    file = source_file(kind, name)
    return hashlib.sha256(file.read_bytes()).hexdigest() if file else ""


@cache
def _tree(kind: str, name: str) -> ast.Module:
    file = source_file(kind, name)
    return ast.parse(file.read_text(encoding="utf-8")) if file else ast.Module([], [])


def summary(kind: str, name: str) -> str:
    """First line of a plugin's docstring."""
    return (ast.get_docstring(_tree(kind, name)) or "").partition("\n")[0]


def constant(kind: str, name: str, constant_name: str, default: object = None) -> object:
    """Value of a literal that the plugin assigns at module level, such as GLOBAL = True."""
    for node in _tree(kind, name).body:
        if isinstance(node, ast.Assign) and constant_name in {t.id for t in node.targets if isinstance(t, ast.Name)}:
            return ast.literal_eval(node.value)
    return default


def settings(kind: str, name: str) -> Iterator[Setting]:
    """The fields of a plugin's `Config`, with their help: the string literal below each; inherited ones come first."""
    yield from _fields(_tree(kind, name), "Config").values()


def _fields(module: ast.Module, class_name: str) -> dict[str, Setting]:
    for node in module.body:
        if isinstance(node, ast.ImportFrom) and class_name in {alias.name for alias in node.names}:
            parent = ROOT.parent / f"{(node.module or '').replace('.', '/')}.py"
            return _fields(ast.parse(parent.read_text(encoding="utf-8")), class_name) if parent.exists() else {}
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            found: dict[str, Setting] = {}
            for base in node.bases:
                found |= _fields(module, base.id) if isinstance(base, ast.Name) else {}
            return found | {setting.name: setting for setting in _own_fields(node)}
    return {}


def _own_fields(node: ast.ClassDef) -> Iterator[Setting]:
    for field, after in zip(node.body, [*node.body[1:], None], strict=True):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
            if "Suppress" in ast.unparse(field.annotation):
                continue  # recorded by the family, not set by anyone
            is_help = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            yield Setting(
                name=field.target.id,
                type=ast.unparse(field.annotation),
                default=ast.unparse(field.value) if field.value else "required",
                help=" ".join(str(after.value.value).split()) if is_help else "",  # type: ignore[union-attr]
            )
