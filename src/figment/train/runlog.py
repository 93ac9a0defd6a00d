"""log.jsonl: one JSON object a line, cut back to the checkpoint when a run is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figment.core.errors import MissingExtra


class RunLog:
    """Appends events to a run's log, and to TensorBoard where that is asked for.

    Every line has a `step`; resuming at a step drops what was written after it, so that nothing stands there twice.
    """

    def __init__(self, folder: Path, resume_step: int, *, tensorboard: bool = False):
        self.path = folder / "log.jsonl"
        kept = [line for line in read_log(folder) if line["step"] <= resume_step]
        fresh = self.path.with_suffix(".tmp")
        fresh.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        fresh.replace(self.path)
        self.file = self.path.open("a", encoding="utf-8")
        self.board = _tensorboard(folder / "tensorboard", resume_step) if tensorboard else None

    def write(self, kind: str, step: int, **values: Any) -> None:
        """Add one event, such as write("train", 20, loss=0.5)."""
        self.file.write(json.dumps({"kind": kind, "step": step, **values}) + "\n")
        self.file.flush()
        if self.board:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(f"{kind}/{name}", value, step)

    def close(self) -> None:
        self.file.close()
        if self.board:
            self.board.close()


def read_log(folder: Path) -> Iterator[dict[str, Any]]:
    """The events of a run so far; a line that a kill cut short or a disk damaged is left out."""
    path = folder / "log.jsonl"
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("step"), int) and isinstance(event.get("kind"), str):
            yield event


def _tensorboard(folder: Path, resume_step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ModuleNotFoundError:
        raise MissingExtra("--train.tensorboard", "track") from None
    return SummaryWriter(str(folder), purge_step=resume_step)
