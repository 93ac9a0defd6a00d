"""What can go wrong for a user, as a tree; each message says what was given, what was expected and what to type next.

    FigmentError            the user's mistake: one line on standard error, exit code 2
    |-- ConfigError         a setting, flag or plugin name that cannot be used
    |-- DataError           a source, picture or dataset that cannot be read or does not fit
    |-- CheckpointError     a run or checkpoint that is damaged, missing or of another kind
    |-- CapabilityError     a model asked for something that its family cannot do
    |-- NumericsError       a loss or gradient that became NaN or infinite
    `-- MissingExtra        an optional package that is not installed

Anything else that escapes is our fault: exit code 1. `assert` is for what no input of a user's can cause.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from difflib import get_close_matches

_MEMORY = (r"can't allocate memory", r"not enough memory", r"std::bad_alloc", r"could not create a primitive$")


class FigmentError(Exception):
    """The user's mistake; the message is one line that tells them what to type next, whatever it quotes of a file."""

    def __str__(self) -> str:
        return " ".join(super().__str__().splitlines())


class ConfigError(FigmentError):
    """A setting, flag or plugin name that cannot be used; the message names it."""


class DataError(FigmentError):
    """A source, picture or dataset that cannot be read or does not fit the model; the message names the path."""


class CheckpointError(FigmentError):
    """A run or checkpoint that is damaged, missing, or belongs to another family or dataset."""


class CapabilityError(FigmentError):
    """A model was asked for something that its family cannot do; the message names one that can."""


class NumericsError(FigmentError):
    """A loss or gradient became NaN or infinite; the message names the phase, the term and the step."""


class MissingExtra(FigmentError):
    """An optional package is missing; the message gives the `pip install` line."""

    def __init__(self, feature: str, extra: str):
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'figment[{extra}]'")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is used up; torch says so in several ways, most without a kind of their own."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(re.search(words, str(error)) for words in _MEMORY)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest of `options`, else the list of them, else nothing."""
    options = sorted(options)
    near = get_close_matches(word, options, n=1, cutoff=0.6)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are: {', '.join(options)}" if options else ""
