"""Check that a plugin, figment's own or anyone's, keeps the contract of its kind.

NAME is a plugin's name, such as vae, or kind/name where two kinds have the same.
"""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core import plugins
from figment.core.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Check:
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")]
    """Plugin to check: figment list KIND names them."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    kind, name = _find(parse(Check, argv, verb="check", about=__doc__ or "").name)
    from figment.testing import check_docstring, check_json, checks_of

    failed = {}
    with tempfile.TemporaryDirectory() as folder:
        for what, check in checks_of(kind).items():
            subject = f"{kind}/{name}" if check in (check_docstring, check_json) else name
            try:
                check(subject, Path(folder))
                console.say(f"ok      {what}")
            except Exception as error:
                failed[what] = str(error)
                console.say(f"FAILED  {what}: {error}")
                if not isinstance(error, AssertionError):
                    console.say(traceback.format_exc())
    if failed:
        raise ConfigError(
            f"{kind}/{name} fails {len(failed)} checks: {', '.join(failed)}; mend the plugin and check again"
        )
    return {"kind": kind, "name": name, "passed": list(checks_of(kind))}


def _find(word: str) -> tuple[str, str]:
    """(kind, name) of the plugin that a word means."""
    kind, slash, name = word.partition("/")
    if slash:
        return kind, plugins.require(kind, name)
    homes = [kind for kind in plugins.FOLDERS if word in plugins.names(kind)]
    if len(homes) == 1:
        return homes[0], word
    if homes:
        raise ConfigError(f"'{word}' is in {' and '.join(homes)}; say which: figment check {homes[0]}/{word}")
    every = [name for kind in plugins.FOLDERS for name in plugins.names(kind)]
    raise ConfigError(f"no plugin '{word}'{did_you_mean(word, every)}")
