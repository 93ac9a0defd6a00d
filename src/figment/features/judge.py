"""The judge: a network trained on the dataset's own training pictures, which sees what matters in them.

A [classifier](families/classifier.md) where there are two classes or more, else a
[contrastive](families/contrastive.md) network. `figment eval` trains it by a fixed recipe, once for each state of the
dataset, into `DATASET/judges/`. `judge:RUN`, or `--judge RUN`, takes another run for it. It has logits where it is a
classifier. Its scores are for comparing runs on one dataset; those of two judges cannot be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from figment.core.checkpoint import LoadedModel, load_model
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.types import Classifies, Embeds, ImageSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from figment.data.store import Store


@dataclass(frozen=True)
class Config:
    """Which run is the judge."""

    argument: str = ""
    """A classifier or contrastive run; the dataset's own judge where none is named."""


@dataclass(frozen=True)
class Judge:
    """A trained run as feature extractor; spec: of the pictures that it was trained on."""

    model: Any
    family: str
    digest: str
    spec: ImageSpec | None = None
    resize: str = "native size"

    @property
    def name(self) -> str:
        return f"judge {self.family} {self.digest[:8]}, penultimate, {self.model.trunk.width}, {self.resize}"

    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D)"""
        return self.model.features(images)

    @property
    def classify(self) -> Callable[[Tensor], Tensor] | None:
        """(B, C, H, W) -> (B, K), where the judge knows classes."""
        return self.model.classify if isinstance(self.model, Classifies) else None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the K, none where it knows no classes."""
        return self.spec.classes if self.spec and self.classify else ()


def load(config: Config, store: Store | None) -> Judge:
    """The run that was named, or the dataset's own judge.

    Raises ConfigError where there is none yet, CheckpointError, CapabilityError or DataError where the run will not do.
    """
    path = Path(config.argument) if config.argument else folder_of(store)
    if not config.argument and not (path / "model" / "config.json").exists():
        raise ConfigError(
            f"{path.parent.parent}: its judge is not trained yet; 'figment eval RUN --data DATASET' does that"
        )
    return as_judge(load_model(path), path, store)


def folder_of(store: Store | None) -> Path:
    """Where the dataset's own judge lives: edited pictures or labels get a judge of their own.

    Raises ConfigError for a plain folder of pictures, which has none.
    """
    if store is None:
        raise ConfigError("a folder of pictures has no judge of its own; name --judge RUN, or --features descriptors")
    family = "classifier" if store.spec.num_classes >= 2 else "contrastive"
    return store.path / "judges" / f"{family}-{store.pixel_digest[:8]}-{store.label_digest[:8]}"


def as_judge(loaded: LoadedModel, path: Path, store: Store | None) -> Judge:
    """A trained run as judge of a dataset. One of other classes is no more than eyes: its logits name nothing there.

    Raises CapabilityError where it has no features, DataError where it was trained on pictures of another size.
    """
    if not isinstance(loaded.model, Embeds):
        raise CapabilityError(
            f"--judge {path}: a '{loaded.family}' has no features; give a classifier or contrastive run"
        )
    if store and loaded.spec.shape != store.spec.shape:
        raise DataError(f"--judge {path}: made for {loaded.spec}, the dataset has {store.spec}")
    return Judge(loaded.model, loaded.family, loaded.digest, loaded.spec)
