"""One HTML file from one template: everything escaped, every picture inside, no script, nothing fetched.

The page's content policy forbids all but its own style sheet (by digest) and embedded pictures, so that even a label
that slipped through the escaping could do nothing.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from figment.pages import numerals, plots
from figment.pages.pictures import Shown, fit, size_of
from figment.version import VERSION

LIMIT = 5_000_000
"""Bytes of a page, at most."""


def write(path: Path, template: str, *, pngs: Sequence[bytes], **context: Any) -> None:
    """Render `template` with `context` to `path`, whole or not at all, in at most LIMIT bytes.

    pngs: every picture that the template shows, once for each time; it looks them up in `shown` by these bytes.
    """
    blank = {png: Shown("", *size_of(png)) for png in pngs}
    room = LIMIT - len(_render(template, shown=blank, **context))
    _replace(path, _render(template, shown=fit(pngs, room), **context))


def _render(template: str, **context: Any) -> bytes:
    html = _environment().get_template(template).render(**context)
    # A file name that is not UTF-8 reaches us with lone surrogates; the page shows them as \udcXX.
    return html.encode("utf-8", errors="backslashreplace")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("figment.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = environment.get_template("page.css").render()
    digest = b64encode(sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    environment.globals.update(style=Markup(style), policy=Markup(policy), plots=plots, version=VERSION)
    environment.filters.update(number=numerals.number, percent=numerals.percent, pictures=numerals.pictures)
    return environment


def _replace(path: Path, content: bytes) -> None:
    """Write so that a reader finds the old file or the new one, never half of it."""
    fresh = path.with_name(path.name + ".tmp")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
