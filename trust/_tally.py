"""What a campaign comes to: how often a promise was put to the test, and how often it did not hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tally:
    """trials: attacks that were really made. failures: one line for each that succeeded. note: what they consisted of,
    as "300 kills, 112 of them inside a save"."""

    trials: int
    failures: tuple[str, ...] = ()
    note: str = ""
