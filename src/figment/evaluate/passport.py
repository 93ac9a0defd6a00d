"""The passport of a score: all that it depends on beside the pictures. Numbers of two passports are not ranked.

Published distances differ by tens of per cent because of resizes, counts, layers and rounding that nobody wrote down.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from figment.core.types import Extractor
from figment.version import VERSION

# What must agree before two numbers are put in an order. Seed and versions are told, and may differ.
RANKED_BY = (
    "metric",
    "definition",
    "extractor",
    "extractor_digest",
    "resize",
    "quantisation",
    "dtype",
    "reference_digest",
    "num_real",
    "num_fake",
)

Passport = dict[str, Any]


def extractor_facts(extractor: Extractor) -> dict[str, str]:
    """What a passport says of who looked at the pictures, and how they came before its eyes."""
    return {
        "extractor": extractor.name,
        "extractor_digest": extractor.digest,
        "resize": extractor.resize,
        "quantisation": "8 bits, rounded",
        "dtype": "float32 features, float64 statistics",
    }


def issued(facts: Mapping[str, Any]) -> Passport:
    """A passport: the facts, the versions of what computed, and `hash`, equal where numbers may be ranked."""
    versions = {"figment": VERSION, "torch": torch.__version__, "numpy": np.__version__}
    decisive = json.dumps([facts.get(name) for name in RANKED_BY], sort_keys=True)
    return {**facts, **versions, "hash": hashlib.sha256(decisive.encode()).hexdigest()[:12]}


def difference(first: Passport, second: Passport) -> str | None:
    """The first field that keeps two numbers from being ranked, as "num_fake: 2000 and 500"; None where none does."""
    for name in RANKED_BY:
        if first.get(name) != second.get(name):
            return f"{name}: {_brief(first.get(name))} and {_brief(second.get(name))}"
    return None


def _brief(value: Any) -> str:
    is_digest = isinstance(value, str) and len(value) == 64
    return value[:8] if is_digest else "not stated" if value is None else str(value)
