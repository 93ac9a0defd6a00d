"""What campaign "crashes" does in processes of its own: a tiny training, which may kill itself in the middle of a save.

Its arguments and what it leaves behind are JSON, so that whoever starts it need not import torch.
"""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from figment.core import plugins
from trust._calls import Call
from trust._disk import watched

SAVED = ("checkpoints", "averages", "model")


def families() -> list[str]:
    return plugins.names("families")


def drawn(family: str, choose: random.Random) -> dict[str, Any]:
    """A training with settings drawn at random."""
    train = {
        "batch_size": 12,
        "slices": choose.choice((1, 2, 3)),
        "optimizer": choose.choice(("adamw", "adam", "rmsprop")),
        "ema_half_life": choose.choice((0, 50, 50)),
        "ema_snapshots": choose.choice((0, 0, 2)),
        "clip_norm": choose.choice((0.0, 1.0)),
        "schedule": choose.choice(("constant", "cosine", "step", "plateau")),
        "save_every": choose.choice((1, 2, 3)),
        "sample_every": choose.choice((0, 0, 3)),
        "log_every": 1,
        "patience": 0,
    }
    augment = {"flip": choose.random() < 0.5, "crop": choose.choice((0, 1)), "noise": choose.choice((0.0, 0.05))}
    engine = {
        "precision": choose.choice(("float32", "bfloat16")),
        "layout": choose.choice(("contiguous", "channels_last")),
    }
    facts = {"family": family, "steps": choose.randint(4, 7), "seed": choose.randrange(1000)}
    return {**facts, "train": train, "augment": augment, "engine": engine}


def prepare(family: str, workshop: str) -> None:
    """Make what trainings of a family need: its dataset, its settings, runs that it builds upon."""
    from figment.core.config import to_json
    from figment.testing import store_for, tiny_settings
    from figment.train.fit import build_objective

    folder = Path(workshop)
    folder.mkdir(exist_ok=True)
    store = store_for(family, folder)
    store.images("train")
    settings = tiny_settings(family, store.spec, store.path.parent)
    run = _run({"family": family, "steps": 1, "seed": 0}, store, settings)
    is_watched = build_objective(run).has_validation and bool(store.counts.get("val"))
    facts = {"data": str(store.path), "settings": to_json(settings), "is_watched": is_watched}
    (folder / f"{family}.json").write_text(json.dumps(facts))


def train(setup: dict[str, Any], workshop: str, folder: str, kill_at: int, plant: str) -> None:
    """Train, or go on; die in the n-th call on a file of a save. Left alone, leave behind how many there were."""
    from figment.core.config import from_json
    from figment.data.store import Store
    from figment.train.fit import fit
    from figment.train.run import open_run

    began = time.monotonic()
    PLANTS[plant]()
    facts = json.loads((Path(workshop) / f"{setup['family']}.json").read_text())
    store = Store(facts["data"])
    settings = from_json(plugins.load("families", setup["family"]).Config, facts["settings"])
    asked = _run(setup, store, settings, is_watched=facts["is_watched"])
    killer = _Killer(Path(folder), kill_at)
    with watched(Path(folder), killer.through):
        run = open_run(Path(folder), asked)
        for _ in fit(Path(folder), run, store, warn=_refuse, stopping=lambda: False):
            pass
    told = {"calls": killer.seen, "seconds": time.monotonic() - began}
    Path(f"{folder}.json").write_text(json.dumps(told))


def _run(setup: dict[str, Any], store: Any, settings: Any, *, is_watched: bool = False) -> Any:
    from figment.core.config import Augment
    from figment.core.engine import Engine
    from figment.train.run import DataPin, RunConfig

    usual = plugins.load("families", setup["family"]).TRAIN
    chosen = dict(setup.get("train", {}))
    if is_watched and chosen["schedule"] == "plateau":
        chosen["validate_every"] = 2
    elif chosen.get("schedule") == "plateau":  # nothing to watch
        chosen["schedule"] = "cosine"
    return RunConfig(
        family=setup["family"],
        settings=settings,
        spec=store.spec,
        data=DataPin(str(store.path), store.pixel_digest, store.label_digest),
        train=replace(usual, augment=Augment(**setup.get("augment", {})), **chosen),
        seed=setup["seed"],
        steps=setup["steps"],
        engine=Engine(**setup.get("engine", {})),
    )


def _refuse(warning: str) -> None:
    if not warning.startswith("overfitting"):
        raise AssertionError(f"a user was warned: {warning}")


class _Killer:
    """Counts calls on what is saved, and dies in the n-th: of a write, with half of it done."""

    def __init__(self, run: Path, kill_at: int):
        self._run, self._kill_at, self.seen = run.resolve(), kill_at, 0

    def through(self, call: Call, act: Callable[..., Any]) -> Any:
        parts = call.path.relative_to(self._run).parts
        if parts and parts[0] in SAVED:
            self.seen += 1
            if self.seen == self._kill_at:
                if call.data:
                    act(call.data[: len(call.data) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
        return act()


# Bugs that the harness must notice.


def _forget(part: str, otherwise: Callable[[Any], Any]) -> None:
    from figment.train.trainer import Trainer

    load = Trainer.load_state

    def load_state(self: Any, step: int, parts: Any, facts: Any) -> None:
        load(self, step, {**parts, part: otherwise(self)}, facts)

    Trainer.load_state = load_state


def _unseeded() -> None:
    from figment.train import trainer

    trainer.seed_slice = lambda *numbers: None


PLANTS: dict[str, Callable[[], None]] = {
    "": lambda: None,
    "moments of the optimizer forgotten": lambda: _forget("optimizers", lambda trainer: {}),
    "average forgotten": lambda: _forget("average", lambda trainer: trainer.ema.model.state_dict()),
    "noise not derived from the step": _unseeded,
}
