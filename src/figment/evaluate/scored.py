"""The scores that a run was found to have, kept beside it: RUN/scores.json.

They are of one set of weights: those of a run that was trained on since are forgotten. What other metrics were scored
before stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figment.core.config import read_json, write_json
from figment.core.errors import ConfigError

FORMAT = 1

_FILE = "scores.json"


def keep_scores(run: Path, digest: str, scores: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the scores of weights with this digest into a run folder, over earlier ones of the same metrics.

    Raises OSError where the folder cannot be written.
    """
    write_json(run / _FILE, {"format": FORMAT, "weights": digest, "scores": {**kept_scores(run, digest), **scores}})


def kept_scores(run: Path, digest: str) -> dict[str, dict[str, Any]]:
    """The scores by metric of weights with this digest; none where there is no file, or it is of other weights."""
    try:
        found = read_json(run / _FILE)
        return found["scores"] if (found["format"], found["weights"]) == (FORMAT, digest) else {}
    except (ConfigError, OSError, LookupError, TypeError):
        return {}
