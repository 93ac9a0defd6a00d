"""The 1,797 handwritten digits that come with scikit-learn, 8x8 grey, in ten classes: `digits:`.

Part of the data room. Nothing is downloaded: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits,
UCI Machine Learning Repository, 1998 (CC BY 4.0), the copy inside the scikit-learn package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from figment.core.errors import ConfigError
from figment.core.types import Record

NUM_DIGITS = 1797
ORIGIN = {
    "source": "scikit-learn digits",
    "url": "https://doi.org/10.24432/C50P49",
    "licence": "CC-BY-4.0",
}


@dataclass(frozen=True)
class Config:
    """`digits:` has nothing to set."""

    argument: str = ""
    """Must be empty: there is only one set of digits."""

    def __post_init__(self):
        if self.argument:
            raise ConfigError(f"digits:{self.argument} takes no argument: type digits:")


def records(config: Config) -> Iterator[Record]:
    """The digits in scikit-learn's order: image (8, 8, 1) uint8, keys "0000".."1796", labels "0".."9", no split."""
    import numpy as np
    from sklearn.datasets import load_digits

    ink, classes = (np.asarray(part) for part in load_digits(return_X_y=True))  # (1797, 64) in 0..16, (1797,)
    images = np.rint(ink * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    for number, (image, label) in enumerate(zip(images, classes, strict=True)):
        yield Record(image=image, key=f"{number:04d}", label=str(label), origin=ORIGIN)


def count(config: Config) -> int:
    """How many records there will be."""
    return NUM_DIGITS
