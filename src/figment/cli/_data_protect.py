"""`figment data protect`: a copy of a dataset that can be shown, and a page to check it by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import tyro

from figment.cli._console import Console
from figment.cli._parse import parse

if TYPE_CHECKING:
    from figment.data.store import Store
    from figment.pages.data_report import Sheet

AUDIT = "audit.html"
SHEET = 96  # pictures on a sheet
SHOWN = 480  # of those with something hidden, and of the others: few enough to be looked at

BEST_EFFORT = "faces are found as far as the detectors can, which miss some: look through the second sheet"


@dataclass(frozen=True)
class Protect:
    dataset: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    """Dataset to copy."""
    out: Path
    """New dataset folder to write."""
    faces: Literal["hide", "keep"] = "hide"
    """Hide what looks like a face, or hide the given regions alone."""
    fill: Literal["solid", "pixelate", "noise"] = "solid"
    """What takes their place: one grey, coarse squares (partly reversible), or black and white noise."""
    regions: Path | None = None
    """JSON file of further parts to hide: {"KEY": [[left, top, width, height], ...]} in pixels."""


def protect(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Copy a dataset with faces and chosen regions hidden, and without any metadata of the source's files."""
    args = parse(Protect, argv, verb="data protect", about=protect.__doc__ or "")
    from figment.data.protecting import Protection, hidden_in, read_regions
    from figment.data.protecting import protect as write
    from figment.data.store import Store

    regions = read_regions(args.regions) if args.regions else {}
    protection = Protection(faces=args.faces == "hide", fill=args.fill, regions=regions)
    with console.progress("protect") as advance:
        made = write(Store(args.dataset), args.out, protection, lambda done, total: advance(done, total, ""))
    hidden = hidden_in(made)
    number = int(sum(marks.sum() for marks in hidden.values()))
    page = args.out / AUDIT
    with console.not_vital(page):
        _write_audit(page, made, hidden, number)
    total = sum(made.counts.values())
    console.say(f"{args.out}: {total} pictures, in {number} of them something was hidden; check it by {page}")
    if protection.faces:
        console.warn(BEST_EFFORT)
    return {"dataset": str(args.out), "pictures": total, "hidden": number, "audit": str(page)}


def _write_audit(page: Path, store: Store, hidden: dict[str, np.ndarray], number: int) -> None:
    """Contact sheets of the protected pictures: where something was hidden, and where nothing was."""
    from figment.pages.data_report import write

    settings = store.card["recipe"]["protected"]
    facts = {"pictures": sum(store.counts.values()), "with something hidden": number, **settings, "care": BEST_EFFORT}
    sheets = [*_sheets(store, hidden, True), *_sheets(store, hidden, False)]
    write(page, title=f"What is hidden in {store.path.resolve().name}", card=facts, sheets=sheets)


def _sheets(store: Store, hidden: dict[str, np.ndarray], wanted: bool) -> Iterator[Sheet]:
    """Of the pictures in which something was hidden, or of the others, evenly spread."""
    from figment.core.images import encode_png, grid
    from figment.data.store import spread_rows
    from figment.pages.data_report import Sheet

    title = "Something was hidden: is it all of it?" if wanted else "Nothing was hidden: was a face missed?"
    places = [(split, row) for split, marks in hidden.items() for row in np.flatnonzero(marks == wanted).tolist()]
    chosen = [places[row] for row in spread_rows(len(places), SHOWN)] if places else []
    for low in range(0, len(chosen), SHEET):
        pictures = np.stack([store.images(split)[row] for split, row in chosen[low : low + SHEET]])
        count = len(places) if low == 0 else None
        yield Sheet(f"{low + 1} to {low + len(pictures)}", encode_png(grid(pictures, 12)), group=title, count=count)
