"""The doctor's visits while a run is trained: diagnoses that need no more than the log; each sickness is told once."""

from __future__ import annotations

from pathlib import Path

from figment.cli._console import Console
from figment.core import ranks

VISITS = 10  # in the course of a training


class Visits:
    """Looks at the run in `folder` now and then; `fit` itself warns of overfitting."""

    def __init__(self, folder: Path, console: Console):
        self.folder, self.console = folder, console
        self.told = {"overfitting"}

    def after(self, step: int, steps: int) -> None:
        """A visit, where one is due after this step."""
        if step % max(1, steps // VISITS) or not ranks.is_first():
            return
        from figment.diagnoses import findings
        from figment.evaluate.evidence import logged
        from figment.train.run import read_run

        for finding in findings(logged(self.folder, read_run(self.folder)), ["log"]):
            if finding.sickness not in self.told:
                self.told.add(finding.sickness)
                self.console.warn(f"step {step}: {finding} ('figment doctor {self.folder}' says more)")
