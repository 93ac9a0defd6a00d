"""List the plugins of a kind, such as families or metrics, or the settings of one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from figment.cli._console import Console
from figment.cli._parse import split_first, wants_help
from figment.core import plugins
from figment.core.errors import ConfigError


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    kind, rest = split_first(argv)
    kinds = [kind for kind in plugins.FOLDERS if plugins.names(kind)]
    if kind is None and (argv or console.as_json) and not wants_help(argv):
        raise ConfigError("say what to list, such as: figment list families")
    if wants_help(argv) or kind is None:
        print(f"usage: figment list {{{','.join(kinds)}}} [NAME]\n\n{__doc__}")
        return None
    names = plugins.names(kind)
    if not names:
        console.say(f"there are no {kind} yet")
    if not rest:
        for name in names:
            console.say(f"{name:<20}{plugins.summary(kind, name)}")
        return {"kind": kind, "plugins": [{"name": name, "summary": plugins.summary(kind, name)} for name in names]}
    if len(rest) > 1:
        raise ConfigError(f"'{rest[1]}' is one word too many; usage: figment list {kind} [NAME]")
    name = plugins.require(kind, rest[0])
    settings = list(plugins.settings(kind, name))
    console.say(plugins.summary(kind, name))
    for setting in settings:
        console.say(f"  {setting.name.replace('_', '-'):<22}{setting.help} ({setting.type}, default {setting.default})")
    return {"kind": kind, "name": name, "settings": [vars(setting) for setting in settings]}
