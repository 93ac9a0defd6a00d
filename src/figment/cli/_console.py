"""What a person or a program sees: results on standard output, progress and warnings on standard error."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from figment.core import ranks
from figment.core.errors import FigmentError

REPORT = "report.html"  # the page of a dataset, of a run, and of all that `make` made

Advance = Callable[[int, "int | None", str], None]

PLAIN_SECONDS = 10.0


class Console:
    """With `as_json`, standard output is left to the one JSON answer; a quiet one leaves speaking to another rank."""

    def __init__(self, *, as_json: bool, quiet: bool = False):
        self.as_json, self.quiet = as_json, quiet

    def say(self, text: str) -> None:
        """A result, for people."""
        if self.quiet:
            return
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def warn(self, text: str) -> None:
        if self.quiet:
            return
        print(f"warning: {text}", file=sys.stderr, flush=True)

    def fail(self, text: str, code: int) -> int:
        """One line on standard error (and a JSON error where JSON was asked for); returns the exit code."""
        if self.quiet:
            return code
        line = " ".join(text.split())
        print(f"figment: {line}", file=sys.stderr, flush=True)
        if self.as_json:
            try:
                print(json.dumps({"error": {"code": code, "message": line}}, ensure_ascii=False), flush=True)
            except BrokenPipeError:
                raise
            except OSError:
                pass  # standard output is what failed, as was just said
        return code

    @contextlib.contextmanager
    def progress(self, title: str) -> Iterator[Advance]:
        """Show work under way: a bar in a terminal, else a line every ten seconds.

        Yields a function of (done, total or None, note).
        """
        if self.quiet:
            yield lambda done, total, note="": None
        elif sys.stderr.isatty():
            with _bar(title) as advance:
                yield advance
        else:
            yield _plain(title)

    @contextlib.contextmanager
    def graceful_stop(self) -> Iterator[Callable[[], bool]]:
        """The first Ctrl-C or SIGTERM only sets the flag that the yielded function reads; the second is final.

        Among several ranks none is: torchrun sends one of its own after a Ctrl-C, and kills who does not end in time.
        """
        asked = False

        def ask(number: int, frame: object) -> None:
            nonlocal asked
            asked = True
            self.warn("stopping after this step; everything is being saved")
            for one, handler in before.items():
                signal.signal(one, signal.SIG_IGN if ranks.are_announced() else handler)

        before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield lambda: asked
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)

    @contextlib.contextmanager
    def one_voice(self) -> Iterator[None]:
        """Of what goes wrong inside, the first rank to notice tells, and the others end without a word."""
        try:
            yield
        except KeyboardInterrupt:  # which all have agreed upon
            raise
        except BaseException as error:
            self.quiet = not ranks.speaks_first()
            if self.quiet and not isinstance(error, FigmentError | OSError):
                raise SystemExit(1) from None
            raise

    @contextlib.contextmanager
    def not_vital(self, page: Path) -> Iterator[None]:
        """For a page beside finished work: what goes wrong with it is said, and costs nobody the work."""
        try:
            yield
        except Exception as error:  # of whatever kind
            self.warn(f"{page}: could not be written ({error}); the same command again tries anew")

    @contextlib.contextmanager
    def keeping(self, what: str) -> Iterator[None]:
        """Whoever interrupts the work inside is told what of it is kept, such as "what is done is kept"."""
        try:
            yield
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(str(stop) or what) from None  # the innermost knows best


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Advance]:
    from rich.console import Console as RichConsole
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=RichConsole(stderr=True)) as bar:
        task = bar.add_task(title, total=None, note="")
        yield lambda done, total, note="": bar.update(task, completed=done, total=total, note=note)


def _plain(title: str) -> Advance:
    started = shown = time.monotonic()
    first: tuple[int, float] | None = None

    def advance(done: int, total: int | None, note: str = "") -> None:
        nonlocal shown, first
        now = time.monotonic()
        first = first or (done, now)  # what came before the first report, or was done before a resume, has no pace
        if now - shown < PLAIN_SECONDS and done != total:
            return
        shown = now
        pace = (now - first[1]) / (done - first[0]) if done > first[0] else 0.0
        left = f", {pace * (total - done):.0f} s left" if total and pace and done < total else ""
        of = f"/{total}" if total else ""
        print(f"{title}: {done}{of} in {now - started:.0f} s{left} {note}".rstrip(), file=sys.stderr, flush=True)

    return advance
