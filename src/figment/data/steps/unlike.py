"""Refuse pictures that look like given examples of what is not wanted: logos, placeholders, pages of text.

Part of the data room. Off until it is given a folder of such examples. What is compared are edges and colours of the
thumbnail (`figment.data.descriptors`), so an example stands for pictures composed as it is: copies in any size or
quality, and designs that always look alike. It does not know what a picture shows. Sequences and pairs are not judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.types import Rejected
from figment.data.decoding import decode
from figment.data.descriptors import described, descriptors, squared_distances, widened
from figment.data.figures import measure
from figment.data.headers import Unreadable
from figment.data.index import Index
from figment.data.layout import is_picture

ORDER = 82
GLOBAL = True

_AT_ONCE = 4096


@dataclass(frozen=True)
class Config:
    """Left alone, it refuses none."""

    examples: str = ""
    """Folder of pictures that show what is not wanted."""
    distance: float = 0.4
    """Refuse what is nearer than this to one of them: 0 is the same picture, unrelated ones are about 1 apart."""

    def __post_init__(self):
        check_range("unlike.distance", self.distance, 0, 2)


def select(index: Index, config: Config) -> Iterable[Rejected]:
    """One Rejected for every picture that is too near to an example; the reason names it.

    Raises ConfigError where the folder holds no picture.
    """
    if not config.examples:
        return
    names, examples = _examples(Path(config.examples))
    keys, points = described(index)
    for low in range(0, len(keys), _AT_ONCE):
        away = np.sqrt(squared_distances(points[low : low + _AT_ONCE], examples))
        for row in np.flatnonzero(away.min(1) < config.distance).tolist():
            nearest = int(away[row].argmin())
            yield Rejected(
                keys[low + row], "unlike", f"like the example {names[nearest]}: {away[row, nearest]:.2f} away"
            )


def _examples(folder: Path) -> tuple[list[str], np.ndarray]:
    """File names of the examples, and their descriptors."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and is_picture([file.name]))
    if not files:
        raise ConfigError(f"--unlike.examples {folder}: no picture in it; give a folder of examples")
    thumbnails = []
    for file in files:
        try:
            thumbnail = measure(decode(file.read_bytes())[0]).thumbnail
        except Unreadable as reason:
            raise ConfigError(f"--unlike.examples: {file}: {reason}; take it out of the folder") from None
        assert thumbnail is not None  # of single pictures there always is one
        thumbnails.append(widened(thumbnail))
    return [file.name for file in files], descriptors(np.stack(thumbnails))
