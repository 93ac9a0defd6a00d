"""Dispatch a verb, and turn what happens into an exit code: 0 done, 2 your mistake, 1 ours, 130 interrupted."""

from __future__ import annotations

import ast
import errno
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from figment.cli._console import Console
from figment.core import ranks
from figment.core.errors import ConfigError, FigmentError, did_you_mean, is_out_of_memory
from figment.version import VERSION

# In the order of a project's life, which is the order of the help.
VERBS = (
    *("demo", "make", "data", "plan", "train", "sample", "edit", "eval", "compare", "tune"),
    *("serve", "doctor", "audit", "export", "list", "check"),
)

SPREAD = ("train", "sample", "eval")  # the work of as many processes as there are

# What the operating system may refuse without it being anybody's bug.
REFUSALS = {
    errno.ENOSPC: "the disk is full; free some space and give the same command again, what is saved is kept",
    errno.EDQUOT: "your disk quota is used up; free some space and give the same command again, what is saved is kept",
    errno.EACCES: "permission denied; give --out a folder that you may write to",
    errno.EPERM: "permission denied; give --out a folder that you may write to",
    errno.EROFS: "the file system is read-only; give --out a folder that you may write to",
    errno.ENOTDIR: "a part of this path is a file, not a folder; give another path",
    errno.EISDIR: "is a folder, a file was expected; give another path",
    errno.ENAMETOOLONG: "the name is too long; give a shorter one",
    errno.EEXIST: "is there already and is no folder, or leads to a disk that is not; give another path",
    errno.EFBIG: "a file would be larger than this disk or your account allows; give --out a place without that limit",
    errno.EIO: "the disk reports a fault; give --out a folder on another one",
}


OUT_OF_MEMORY = (
    "memory is used up, what is saved is kept; end other programs and give the same command again, or ask for less at "
    "once: more --train.slices, a smaller --num or --scale"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever began this: nobody reads it, and that is no mistake
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  until the program ends
    console = Console(as_json="--json" in argv, quiet=ranks.are_announced() and os.environ["RANK"] != "0")
    argv = [word for word in argv if word != "--json"]
    code = 0
    try:
        try:
            _dispatch(argv, console)
        except (Exception, KeyboardInterrupt) as error:
            code, complaint = told(error)
            console.fail(complaint, code)
        finally:
            _flush(is_told=code != 0)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        _look_away()
    return code


def told(error: BaseException) -> tuple[int, str]:
    """The exit code of what went wrong, and the line that says it; raises it again where it is a bug of ours."""
    if isinstance(error, FigmentError):
        return 2, str(error)
    if isinstance(error, KeyboardInterrupt):  # its text says what is kept, where something is
        kept = f"{error}, give the same command again to go on" if str(error) else "give the same command again"
        return 130, f"interrupted; {kept}"
    if isinstance(error, OSError) and error.errno in REFUSALS:
        place = error.filename2 or error.filename or "the output"  # renaming has two: from and to
        return 2, f"{place}: {REFUSALS[error.errno]}"
    if is_out_of_memory(error):
        return 2, OUT_OF_MEMORY
    raise error


def _flush(*, is_told: bool) -> None:
    """Write out what is left: here, where it can be noticed that the reader has gone, and not when Python ends.

    is_told: a failure has been, so that of a full disk nothing more need be said.
    """
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError:
        if not is_told:
            raise
        _look_away()


def _look_away() -> None:
    """Write to nowhere from now on, so that Python does not stumble over the broken pipe again when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _dispatch(argv: list[str], console: Console) -> None:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(overview())
        return
    if argv[0] in ("-V", "--version"):
        print(f"figment {VERSION}")
        return
    verb, rest = argv[0], argv[1:]
    if verb not in VERBS:
        near = did_you_mean(verb, VERBS)
        raise ConfigError(f"no verb '{verb}'{near}{'' if near.endswith('?') else '.'} See 'figment --help'")
    if verb not in SPREAD and ranks.are_announced():
        raise ConfigError(f"figment {verb} is the work of one process: give the command without torchrun")
    answer = importlib.import_module(f"figment.cli.{verb}").main(rest, console)
    if answer is not None and console.as_json:
        print(json.dumps(answer, ensure_ascii=False), flush=True)


def overview() -> str:
    """What `figment --help` prints; verbs' docstrings are read, not imported."""
    lines = [
        "figment: from a pile of pictures to a trained, measured, served image generator.",
        "",
        "usage: figment VERB ...",
    ]
    for verb in VERBS:
        tree = ast.parse((Path(__file__).parent / f"{verb}.py").read_text(encoding="utf-8"))
        lines.append(f"  {verb:<8}{(ast.get_docstring(tree) or '').partition(chr(10))[0]}")
    lines += [
        "",
        "Start with 'figment demo', then 'figment make FOLDER --out RESULT' on your own pictures.",
        "'figment VERB --help' explains a verb. --json: one JSON object on standard output, nothing else there.",
    ]
    return "\n".join(lines)
