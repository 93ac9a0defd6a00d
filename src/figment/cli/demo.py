"""See it all work in two minutes: a generator of handwritten digits, made, scored and reported.

The data is scikit-learn's 1,797 handwritten digits, which come with the installation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.cli.make import Plan, make

MINUTES = 0.75


@dataclass(frozen=True)
class Demo:
    out: Path = Path("demo")
    """Folder for all that is made."""
    minutes: float = MINUTES
    """Time to train the model."""
    seed: int = 0
    """Everything random follows from it."""


def main(argv: Sequence[str], console: Console) -> dict[str, Any]:
    args = parse(Demo, argv, verb="demo", about=__doc__ or "")
    return make(Plan("digits:", args.out, minutes=args.minutes, seed=args.seed), console)
