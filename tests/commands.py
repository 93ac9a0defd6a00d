"""figment's command line as tests use it: within this process, with what it said; and folders that compare."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.cli._main import main
from figment.train.runlog import read_log

# No seconds are spent on measuring the machine, and every machine does the same arithmetic.
FIXED = ("--train.precision", "float32", "--train.layout", "contiguous", "--train.attention", "math")
QUICK = (*FIXED, "--scale", "tiny", "--train.batch-size", "16", "--train.log-every", "1", "--train.sample-every", "0")


@dataclass(frozen=True)
class Answer:
    """What a command came to: its exit code, and what it wrote on standard output and standard error."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON object that standard output must consist of."""
        return json.loads(self.out)

    @property
    def complaint(self) -> str:
        """The one line on standard error that a user's mistake is answered with, without its `figment: `.

        Before it there may be progress, a line each ("train vae: 3/9 in 1 s"), and warnings.
        """
        assert self.code == 2, f"exit code {self.code}, not 2; it said: {self.err or self.out}"
        *before, line = self.err.splitlines()
        assert line.startswith("figment: "), self.err
        assert all(re.match(r"warning: |[\w ]+: \d+(/\d+)? in \d+ s", earlier) for earlier in before), self.err
        return line.removeprefix("figment: ")


def figment(*words: object) -> Answer:
    """Give a command, as in figment("list", "families")."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:  # help ends this way
            code = int(stop.code or 0)
    return Answer(code, out.getvalue(), err.getvalue())


def done(*words: object) -> Answer:
    """Give a command that must succeed."""
    answer = figment(*words)
    assert answer.code == 0, f"figment {' '.join(map(str, words))} ended with {answer.code}: {answer.err}"
    return answer


def contents(folder: Path, *, without: Sequence[str] = ()) -> dict[str, str]:
    """The SHA-256 of every file below a folder by its path, but for paths that begin with one of `without`."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in named.items()
        if not name.startswith(tuple(without))
    }


def log(run: Path, kind: str = "") -> list[dict[str, Any]]:
    """The lines of a run's log (of one kind), without the one thing that is never the same again: the time it took."""
    lines = [{name: value for name, value in line.items() if name != "seconds"} for line in read_log(run)]
    return [line for line in lines if not kind or line["kind"] == kind]


def trained(run: Path) -> dict[str, Any]:
    """All that two runs must have in common to be one and the same: weights, checkpoints, samples and log."""
    parts = ("model", "checkpoints", "samples")
    files = {part: contents(run / part) for part in parts}
    assert files["model"].keys() == {"config.json", "model.safetensors"}, f"{run} has no finished model"
    return files | {"log": log(run)}


def flip_bit(path: Path, position: float = 0.7) -> None:
    """Damage a file as a failing disk does: one bit of one byte, at a share of its length."""
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 0x10
    path.write_bytes(data)
