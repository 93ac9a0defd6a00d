"""Flags from dataclasses, by tyro; its many-line complaints become one line that says what to type."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

import tyro

from figment.core.errors import ConfigError, did_you_mean

T = TypeVar("T")

_FRAME = re.compile(r"^\s*([╭╰]|│?\s*[─━-]{3})")  # a panel's title, its rules and its last line

_FLAG = re.compile(r"--\S|[A-Z\W]+$")  # a flag with its type, or the type of a word without one


def parse(kind: type[T], argv: Sequence[str], *, verb: str, about: str, default: Any = None) -> T:
    """An object of the dataclass `kind` from a verb's words; `--help` prints and exits.

    verb: as typed after `figment`. about: the text above the help's options. default: an object to start from.

    Raises ConfigError with one line for whatever does not fit.
    """
    complaint = io.StringIO()
    options: dict[str, Any] = {} if default is None else {"default": default}
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                prog=f"figment {verb}",
                args=list(argv),
                description=about,
                config=(tyro.conf.FlagCreatePairsOff,),
                **options,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ConfigError(_one_line(complaint.getvalue(), argv, verb)) from None


def _one_line(panel: str, argv: Sequence[str], verb: str) -> str:
    """tyro's panel as one sentence: what is unknown or wrong, before what is missing."""
    told: list[str] = []
    sections = {section[0]: section for section in _sections(panel)}
    if "╭" not in panel:  # drawn in ASCII, where the title is no part of the frame
        sections.pop(next(iter(sections), ""), None)
    for title, lines in sections.items():
        if title.startswith("Unrecognized options"):
            words = [*title.partition(":")[2].replace(",", " ").split(), *lines[1:]]
            flags = [word for word in words if word.startswith("-")]
            flag = (flags or words)[0]
            told.insert(0, f"unknown {flag}{_nearest(flag, sections)}")
        elif title.startswith("Error parsing "):
            flag = title.removeprefix("Error parsing ").partition(":")[0]
            given = argv[argv.index(flag) + 1] if flag in argv[:-1] else ""
            wanted = next((line for line in sections.get("Argument helptext:", ()) if line.startswith(flag)), flag)
            told.append(f"{flag} {given}: expected {wanted.removeprefix(flag).strip()}")
        elif title.startswith("Missing value for argument "):
            flag = title.removeprefix("Missing value for argument ").partition(". ")[0].strip("'")
            told.append(f"{flag}: its value is missing")
        elif title.startswith("Missing from"):
            told.append("missing: " + ", ".join(line for line in lines[1:] if _FLAG.match(line)))
    told = told or [" ".join(next(iter(sections.values()), ["not understood"])).rstrip(".")]
    return f"{'; '.join(told)}. See 'figment {verb} --help'".replace("?. See", "? See")


def _sections(panel: str) -> Iterator[list[str]]:
    """The lines between a panel's rules."""
    section: list[str] = []
    for line in [*panel.splitlines(), "---"]:
        if not _FRAME.match(line):
            section += [line.strip(" │")] if line.strip(" │") else []
        elif section:
            yield section
            section = []


def _nearest(flag: str, sections: Mapping[str, list[str]]) -> str:
    """The flag that tyro proposes, else the nearest one among those missing."""
    for title, lines in sections.items():
        if title.startswith(("Perhaps you meant", "Missing from")):
            known = [line.split()[0] for line in lines[1:] if line.startswith("--")]
            near = known[:1] if title.startswith("Perhaps") else get_close_matches(flag, known, n=1)
            if near:
                return f"; did you mean '{near[0]}'?"
    return ""


def split_first(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The first word that is not a flag, if the words begin with one, and the rest."""
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    return None, list(argv)


def peek(argv: Sequence[str], flag: str, default: str, allowed: Sequence[str]) -> str:
    """The value of `flag` before the words are parsed, because other flags' defaults depend on it."""
    value = default
    for index, word in enumerate(argv):
        if word == flag and index + 1 < len(argv):
            value = argv[index + 1]
        elif word.startswith(f"{flag}="):
            value = word.partition("=")[2]
    if value not in allowed:
        raise ConfigError(f"{flag} {value}{did_you_mean(value, allowed)}")
    return value


def wants_help(argv: Sequence[str]) -> bool:
    return "--help" in argv or "-h" in argv
