"""Carry a trained run to where figment is not: ONNX graphs, eight-bit weights, a folder for a model hub or diffusers.

figment export RUN --to onnx|int8|hub|diffusers --out FOLDER
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse, peek, split_first, wants_help
from figment.core import plugins
from figment.core.errors import CheckpointError, ConfigError


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    run, rest = split_first(argv)
    if run is None and not wants_help(argv):
        raise ConfigError("name a run first: figment export RUN --to onnx --out FOLDER")
    targets = plugins.names("exports")
    target = peek(rest, "--to", "" if wants_help(argv) else "onnx", ["", *targets])
    config = plugins.load("exports", target).Config if target else None
    args: Any = parse(_args(config, targets), rest, verb="export RUN", about=_about(targets))
    from figment.core.checkpoint import load_model
    from figment.exports import Run

    assert run
    folder = Path(run)
    if args.out.exists() and (not args.out.is_dir() or any(args.out.iterdir())) and not args.fresh:
        raise CheckpointError(f"--out {args.out}: is not empty; give another folder, or --fresh to write into it")
    facts = plugins.load("exports", args.to).export(Run(folder, load_model(folder)), args.out, args.export)
    for name, value in facts.items():
        console.say(f"  {name.replace('_', ' ')}: {value:.4g}" if isinstance(value, float) else f"  {name}: {value}")
    console.say(f"{args.out}: {args.to} of {folder}")
    return {"run": str(folder), "to": args.to, "out": str(args.out), **facts}


def _about(targets: Sequence[str]) -> str:
    lines = [__doc__ or "", "targets:", *(f"  {name:<11}{plugins.summary('exports', name)}" for name in targets)]
    for name in targets:
        lines += [
            f"  --to {name} --export.{one.name.replace('_', '-')}: {one.help}"
            for one in plugins.settings("exports", name)
        ]
    return "\n".join(lines)


def _args(config: Any, targets: Sequence[str]) -> type:
    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Export",
        [
            ("out", Annotated[Path, tyro.conf.arg(help="Folder to write.")]),
            ("to", *option(str, "onnx", f"Target: {', '.join(targets)}.")),
            ("fresh", *option(bool, False, "Write into a folder that is not empty.")),
            *([("export", config, field(default=config()))] if config else []),
        ],
        frozen=True,
    )
