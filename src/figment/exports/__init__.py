"""One file a target: carry a trained run to where figment is not.

A target is a module with

    Config                          its settings, a frozen dataclass
    export(run, out, config)        writes the folder `out` and returns what is worth telling of it, as JSON

What is written runs or reads without figment, and was compared with the run before `export` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from figment.core.checkpoint import LoadedModel


@dataclass(frozen=True)
class Run:
    """A trained run to be carried elsewhere: its folder, and the model in it."""

    folder: Path
    loaded: LoadedModel
