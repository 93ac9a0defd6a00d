"""Settings as a page shows them and as a request may give them: frozen dataclasses of plugins, checked strictly.

A setting that names a file or a run is neither shown nor taken: no path comes from a request.
"""

from __future__ import annotations

import ast
import inspect
import math
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from figment.core import plugins
from figment.core.config import from_json, to_json
from figment.core.errors import did_you_mean
from figment.samplers import RANGES, Sampling
from figment.serve.refusal import invalid

PATHS = {"guide", "judge", "judge_scale", "open"}  # settings that are texts and name a run or a file

_LONGEST = 200  # signs of a setting that is a text
_NAMES = {int: "integer", float: "number", str: "string", bool: "boolean", tuple: "array"}


def shown(kind: type | None) -> list[dict[str, Any]]:
    """The settings that may be given, each as {name, type, default, choices, low, high, is_optional, help}."""
    if kind is None:
        return []
    hints, helps = typing.get_type_hints(kind), dict(_helps(kind))
    return [_shown(kind, field, hints[field.name], helps.get(field.name, "")) for field in _open(kind, hints)]


def taken(kind: type | None, given: Mapping[str, Any], base: Any = None, param: str = "settings") -> Any:
    """An object of `kind`: what is given, and the rest as in `base`; None where there is nothing to set.

    Raises a Refusal for a setting that is unknown or of another type, ConfigError for one out of range.
    """
    if kind is None:
        if given:
            raise invalid(f"{param}: there is nothing to set here", param)
        return None
    if base is not None and not given:
        return base
    hints = typing.get_type_hints(kind)
    known = [field.name for field in _open(kind, hints)]
    for name, value in given.items():
        if name not in known:
            raise invalid(f"{param}: no setting '{name[:_LONGEST]}'{did_you_mean(name[:_LONGEST], known)}", param)
        if not _fits(hints[name], value):
            raise invalid(f"{param}.{name}: not a value that it can have", f"{param}.{name}")
    return from_json(kind, (to_json(base) if base is not None else {}) | dict(given), param)


def _open(kind: type, hints: Mapping[str, Any]) -> list[Field]:
    """The fields that are no business of files."""
    return [field for field in fields(kind) if field.name not in PATHS and not _has_path(hints[field.name])]


def _has_path(hint: Any) -> bool:
    return hint is Path or any(_has_path(part) for part in typing.get_args(hint))


def _shown(kind: type, field: Field, hint: Any, text: str) -> dict[str, Any]:
    options = _options(hint)
    first = next(option for option in options if option is not types.NoneType)
    choices = list(typing.get_args(first)) if typing.get_origin(first) is Literal else None
    if issubclass(kind, Sampling) and field.name == "sampler":
        choices = plugins.names("samplers")
    low, high = RANGES.get(field.name, (None, None)) if issubclass(kind, Sampling) else (None, None)
    base = type(choices[0]) if choices else typing.get_origin(first) or first
    default = field.default if field.default is not MISSING else None
    return {
        "name": field.name,
        "type": _NAMES.get(base, "string"),
        "default": default,
        "choices": choices,
        "low": low,
        "high": high,
        "is_optional": types.NoneType in options,
        "help": text,
    }


def _options(hint: Any) -> list[Any]:
    """The alternatives of a type: those of a union, else itself."""
    if typing.get_origin(hint) is typing.Annotated:
        return _options(typing.get_args(hint)[0])
    is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return list(typing.get_args(hint)) if is_union else [hint]


def _fits(hint: Any, value: Any) -> bool:
    """Whether a JSON value is of a type, exactly: no text for a number, no truth for a 1."""
    return any(_is(option, value) for option in _options(hint))


def _is(kind: Any, value: Any) -> bool:
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return any(type(value) is type(part) and value == part for part in parts)
    if origin is tuple:
        inner = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return isinstance(value, list) and len(value) == len(inner) and all(map(_fits, inner, value))
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if kind is int:
        return type(value) is int and abs(value) < 2**63
    if kind is str:
        return type(value) is str and len(value) <= _LONGEST and not set(value) & set("/\\\0")
    return type(value) is kind


def _helps(kind: type) -> Iterator[tuple[str, str]]:
    """The text below each field, as the classes' sources have it."""
    for one in reversed(kind.__mro__[:-1]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
        for field, after in pairwise([*node.body, None]):  # type: ignore[attr-defined]
            if isinstance(field, ast.AnnAssign) and isinstance(after, ast.Expr) and isinstance(field.target, ast.Name):
                yield field.target.id, " ".join(str(ast.literal_eval(after.value)).split())
