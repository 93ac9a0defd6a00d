"""The scores that a run was found to have, kept beside it: RUN/scores.json.

They are of one set of weights and of the settings that these draw with: those of a run that was trained on or tuned
since are forgotten. What other metrics were scored before stays.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figment.core.checkpoint import LoadedModel
from figment.core.config import read_json, to_json, write_json
from figment.core.errors import ConfigError

FORMAT = 1

_FILE = "scores.json"


def sampling_of(loaded: LoadedModel) -> dict[str, Any] | None:
    """The settings that a run draws with, plain JSON: tuned ones, else its family's own; None where there are none."""
    kind = loaded.sampling_type
    settings = loaded.sampling or (kind() if kind else None)
    return None if settings is None else to_json(settings)


def keep_scores(
    run: Path, digest: str, sampling: Mapping[str, Any] | None, scores: Mapping[str, Mapping[str, Any]]
) -> None:
    """Write the scores of weights with this digest, drawing with these settings, into a run folder.

    Earlier ones of the same metrics give way.

    Raises OSError where the folder cannot be written.
    """
    whose = {"format": FORMAT, "weights": digest, "sampling": sampling}
    write_json(run / _FILE, {**whose, "scores": {**kept_scores(run, digest, sampling), **scores}})


def kept_scores(run: Path, digest: str, sampling: Mapping[str, Any] | None) -> dict[str, dict[str, Any]]:
    """The scores by metric of these weights with these settings; none where there is no file, or it is of others."""
    try:
        found = read_json(run / _FILE)
        whose = found["format"], found["weights"], found.get("sampling")
        return found["scores"] if whose == (FORMAT, digest, sampling) else {}
    except (ConfigError, OSError, LookupError, TypeError, AttributeError):
        return {}
