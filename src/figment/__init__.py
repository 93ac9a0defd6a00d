"""figment: from a pile of pictures to a trained, measured, served image generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figment.version import VERSION

__all__ = ["load"]

__version__ = VERSION


def load(path: str | Path) -> Any:
    """The trained model in `path` (a run folder or its `model/`), in evaluation mode.

    >>> from figment.core.noise import noise
    >>> model = figment.load("runs/digits")                       # doctest: +SKIP
    >>> images = model.generate(noise([0, 1], model))     # doctest: +SKIP
    """
    from figment.core.checkpoint import load_model

    return load_model(Path(path)).model
