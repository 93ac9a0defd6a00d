"""The data room: what the place of a file says about its picture, by one rule for folders and archives alike.

The rule looks at one path at a time, so that it also holds for a tar that is read as a stream:

- the first folder named train, training, val, valid, validation, test or testing, in any case, is the split;
- with a split, the class is the folder right below it: `cifar10/train/cat/1.png` -> "train", "cat";
- without one, the class is the folder that holds the file: `animals/cat/1.png` -> "cat";
- a file that lies in no folder, or right in its split, has no class.

A root folder around everything (`cifar10/` above) therefore changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}

# Which files are worth opening; what they are is decided by their content.
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".dib", ".tif", ".tiff")


def place(folders: Sequence[str]) -> tuple[str | None, str | None]:
    """(split, class) of a file that lies in these folders, outermost first; None where the path does not say.

    >>> place(["cifar10", "Train", "cat"])
    ('train', 'cat')
    >>> place(["animals", "cat"])
    (None, 'cat')
    >>> place(["test"])
    ('test', None)
    """
    for depth, name in enumerate(folders):
        if split := SPLITS.get(name.casefold()):
            below = folders[depth + 1 :]
            return split, below[0] if below else None
    return None, folders[-1] if folders else None


def is_picture(parts: Sequence[str]) -> bool:
    """Whether a path (its parts, the file last) is named like a picture and no part of it is hidden."""
    return parts[-1].lower().endswith(PICTURE_SUFFIXES) and not any(is_hidden(part) for part in parts)


def is_hidden(name: str) -> bool:
    """Names that begin with a dot, and the folder of leftovers that macOS packs into zip files."""
    return (name.startswith(".") and name != "..") or name == "__MACOSX"


@lru_cache(maxsize=1024)  # folders come again and again
def natural(text: str) -> tuple[tuple[str | int, ...], str]:
    """Sort key that puts "img2" before "img10"; equal only for equal texts."""
    parts = re.split(r"(\d+)", text)
    return tuple(int(part) if place % 2 else part.casefold() for place, part in enumerate(parts)), text
