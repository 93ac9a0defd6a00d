"""How the judge of a dataset is trained: on its own training pictures, once, by a fixed recipe.

A classifier where there are two classes or more, else a contrastive network. It lives in `DATASET/judges/`, under the
digests of what it was trained on, so that edited labels or pictures get a judge of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from figment.core import plugins
from figment.core.checkpoint import LoadedModel, load_model
from figment.core.config import Augment
from figment.core.errors import DataError
from figment.data.store import Store
from figment.features.judge import Judge, as_judge, folder_of
from figment.train.fit import fit
from figment.train.run import DataPin, RunConfig, open_run

# Pictures that the recipe shows: each 60 times, but no more than these in all.
EPOCHS = 60
LEAST_IMAGES = 20_000
MOST_IMAGES = 300_000


def judge_run(store: Store, scale: str = "small") -> RunConfig:
    """The fixed recipe."""
    family = "classifier" if store.spec.num_classes >= 2 else "contrastive"
    module = plugins.load("families", family)
    count = store.counts.get("train", 0)
    if count < 2:
        raise DataError(
            f"{store.path}: {count} training pictures are too few for a judge; add pictures and build again"
        )
    images = min(max(count * EPOCHS, LEAST_IMAGES), MOST_IMAGES)
    shift = max(1, min(store.spec.height, store.spec.width) // 10)
    train = replace(module.TRAIN, sample_every=0, validate_every=0, patience=0)
    if family == "classifier":
        train = replace(train, augment=Augment(crop=shift, noise=0.05))
    return RunConfig(
        family=family,
        settings=module.Config.preset(scale),
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=train,
        steps=max(1, images // train.batch_size),
    )


def judge_of(
    store: Store, *, progress: Callable[[int, int], None], warn: Callable[[str], None], stopping: Callable[[], bool]
) -> Judge:
    """The dataset's judge, trained now if it was not before; an interrupted training is taken up again."""
    folder = folder_of(store)
    loaded = trained(folder, judge_run(store), store, progress=progress, warn=warn, stopping=stopping)
    return as_judge(loaded, folder, store)


def trained(
    folder: Path,
    asked: RunConfig,
    store: Store,
    *,
    progress: Callable[[int, int], None],
    warn: Callable[[str], None],
    stopping: Callable[[], bool],
) -> LoadedModel:
    """The model of the run in `folder`, trained now if it was not before."""
    if not (folder / "model" / "config.json").exists():
        folder.parent.mkdir(exist_ok=True)
        run = open_run(folder, asked)
        for report in fit(folder, run, store, warn=warn, stopping=stopping):
            progress(report.step, run.steps)
    return load_model(folder)
