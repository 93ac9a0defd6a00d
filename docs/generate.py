"""Write the generated blocks of README.md and docs/**/*.md. With --check: write nothing, name the stale files, exit 1.

A block is all that stands between one of these lines and the next `<!-- end -->`:

    <!-- help: figment VERB --help -->              a command and what it prints, with its exit code where it fails
    <!-- code: src/figment/losses/kl.py NAME -->    a function, method, class or constant, as it stands in its file
    <!-- settings: families/vae -->                 the settings of a plugin, at every scale where it has scales
    <!-- plugins: metrics -->                       a heading, docstring and settings for each plugin of a kind
    <!-- table: families -->                        also: verbs, capabilities
    <!-- file-map -->                               the packages, lowest layer first
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import textwrap
import tomllib
from pathlib import Path
from unittest import mock

from figment.cli import _main
from figment.core import plugins
from figment.core.types import CAPABILITIES, ImageSpec, capabilities
from figment.testing import tiny_settings

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src/figment"
PLAIN = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
OPENING = r"^<!-- (help|code|settings|plugins|table|file-map)(?:: (.*))? -->\n"
BLOCK = re.compile(rf"{OPENING}(?:(?!<!-- ).*\n)*<!-- end -->$", re.MULTILINE)


def stale() -> dict[Path, str]:
    """The pages whose blocks are not what they should be, each with the text that it should have."""
    pages = {page: page.read_text(encoding="utf-8") for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}
    fresh = {page: renewed(page, text) for page, text in sorted(pages.items())}
    return {page: text for page, text in fresh.items() if text != pages[page]}


def renewed(page: Path, text: str) -> str:
    """The text of a page with its blocks made anew."""
    if len(BLOCK.findall(text)) != len(re.findall(OPENING, text, re.MULTILINE)):
        raise SystemExit(f"{page}: a generated block has no `<!-- end -->` of its own")
    make = {"help": _command, "code": _code, "settings": _settings, "plugins": _plugins, "table": _table}
    make["file-map"] = _file_map
    return BLOCK.sub(lambda m: f"{m[0].partition(chr(10))[0]}\n{make[m[1]](m[2], page)}\n<!-- end -->", text)


def printed(command: str) -> tuple[str, int]:
    """What a figment command prints in an empty folder, 100 columns wide, and its exit code."""
    with contextlib.ExitStack() as inside, io.TextIOWrapper(io.BytesIO(), encoding="utf-8") as stream:
        inside.enter_context(contextlib.chdir(inside.enter_context(tempfile.TemporaryDirectory())))
        inside.enter_context(mock.patch.dict(os.environ, PLAIN))
        inside.enter_context(contextlib.redirect_stdout(stream))
        inside.enter_context(contextlib.redirect_stderr(stream))
        try:
            code = _main.main(shlex.split(command)[1:])
        except SystemExit as stop:  # tyro ends a --help like this
            code = int(stop.code or 0)
        stream.seek(0)
        return "\n".join(line.rstrip() for line in stream.read().strip("\n").splitlines()), code


def _command(command: str, page: Path) -> str:
    output, code = printed(command)
    return "\n".join(["```text", f"$ {command}", output, *([f"(exit code {code})"] if code else []), "```"])


def _link(target: str, page: Path, title: str) -> str:
    return f"[{title}]({os.path.relpath(ROOT / target, page.parent)})"


def _code(argument: str, page: Path) -> str:
    path, name = argument.split()
    text = (ROOT / path).read_text(encoding="utf-8")
    node = ast.parse(text)
    for part in name.split("."):  # a constant begins with its name too
        node = next(one for one in node.body if getattr(one, "name", ast.unparse(one).split(" ")[0]) == part)
    first = min(one.lineno for one in (node, *getattr(node, "decorator_list", ())))
    code = textwrap.dedent("\n".join(text.splitlines()[first - 1 : node.end_lineno]))
    return f"`{name}` in {_link(path, page, path)}:\n\n```python\n{code}\n```"


def _rows(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def _settings(argument: str, page: Path) -> str:
    kind, name = argument.split("/")
    before = {"families": "--family.", "features": "--features.", "edits": "--edit."}
    before = before.get(kind, f"--{name.replace('_', '-')}.")
    config = plugins.load(kind, name).Config
    scales = ("tiny", "small", "base") if hasattr(config, "preset") else ()
    rows = []
    for one in plugins.settings(kind, name):
        values = [repr(getattr(config.preset(scale), one.name)) for scale in scales] or [one.default]
        is_argument = kind in ("sources", "features") and one.name == "argument"
        flag = f"{name}:" if is_argument else before + one.name.replace("_", "-")
        rows.append([f"`{flag}`", *(f"`{value}`" for value in values), one.help])
    return _rows(["setting", *(scales or ["default"]), "what it does"], rows) if rows else "It has nothing to set."


def _plugins(kind: str, page: Path) -> str:
    parts = []
    for name in plugins.names(kind):
        about = _docstring(plugins.source_file(kind, name) or Path(os.devnull))
        parts += [f"## {name}", re.sub(r"Part of the data room\.\s*", "", about).strip()]
        if kind in ("sources", "steps", "features"):
            parts.append(_settings(f"{kind}/{name}", page))
    return "\n\n".join(parts)


def _table(subject: str, page: Path) -> str:
    if subject == "verbs":
        about = {verb: _docstring(SOURCE / f"cli/{verb}.py").partition("\n")[0] for verb in _main.VERBS}
        return _rows(["verb", "what it does"], [[_link(f"docs/verbs/{k}.md", page, k), v] for k, v in about.items()])
    kinds, rows = [kind.__name__ for kind in CAPABILITIES], []
    for name in plugins.names("families"):
        module, takes = plugins.load("families", name), plugins.constant("families", name, "TAKES") or ()
        frames, paired = 2 if "frames" in takes else 1, "pairs" in takes
        spec = ImageSpec(3, 32, 32, classes=("cat", "dog"), frames=frames, paired=paired)
        with tempfile.TemporaryDirectory() as folder:
            able = capabilities(module.build(tiny_settings(name, spec, Path(folder)), spec).model)
        each = ["yes" if kind in able else "" for kind in kinds]
        link = _link(f"docs/families/{name}.md", page, name)
        rows.append([link, *(each if subject == "capabilities" else [plugins.summary("families", name)])])
    return _rows(["family", *(kinds if subject == "capabilities" else ["what it is"])], rows)


def _docstring(file: Path) -> str:
    return ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""


def _file_map(argument: str, page: Path) -> str:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    layers = " ".join(reversed(tools["importlinter"]["contracts"][0]["layers"])).replace("figment.", "").split()
    found = [file.parent.relative_to(SOURCE) for file in SOURCE.glob("*/**/__init__.py")]
    found.sort(key=lambda one: (layers.index(one.parts[0]) if one.parts[0] in layers else len(layers), one))
    lines = [f"{f'{one}/':<14}{_docstring(SOURCE / one / '__init__.py').partition(chr(10))[0]}" for one in found]
    return "\n".join(["```text", "src/figment/", *(f"  {line}" for line in lines), "```"])


if __name__ == "__main__":
    check, changed = "--check" in sys.argv, stale()
    for page, text in changed.items():
        print(f"{page.relative_to(ROOT)}: {'stale; run python docs/generate.py' if check else 'renewed'}")
        if not check:
            page.write_text(text, encoding="utf-8")
    sys.exit(1 if changed and check else 0)
