"""Draw pictures with a trained run, each carrying the recipe that made it.

--out FILE.png writes one grid; --out FOLDER writes <label>/<seed>.png at the model's own size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse, split_first
from figment.core import plugins
from figment.core.errors import CapabilityError, ConfigError, did_you_mean
from figment.version import VERSION

if TYPE_CHECKING:
    from figment.core.checkpoint import LoadedModel


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    run, rest = split_first(argv)
    if run is None:
        parse(_args(None), argv, verb="sample RUN", about=__doc__ or "")
        raise ConfigError("name a run first: figment sample RUN --out samples.png")
    from figment.core.checkpoint import load_model

    loaded = load_model(Path(run))
    family = plugins.load("families", loaded.family)
    args: Any = parse(_args(getattr(family, "Sampling", None)), rest, verb="sample RUN", about=__doc__ or "")
    settings: Any = getattr(args, "sampling", None)
    if args.sampler:
        if not hasattr(settings, "sampler"):
            raise ConfigError(
                f"--sampler {args.sampler}: a '{loaded.family}' has none, it draws in one step; leave it out"
            )
        settings = replace(settings, sampler=args.sampler)
    return sample(loaded, Path(args.out), args.num, args.label, args.seed, settings, console)


def sample(
    loaded: LoadedModel, out: Path, num: int, label: str, seed: int, settings: Any, console: Console
) -> dict[str, Any]:
    """Draw and write; returns the verb's JSON answer."""
    import numpy as np

    from figment.core.config import to_json
    from figment.core.images import grid, write_png
    from figment.core.types import Generates
    from figment.evaluate.extract import gathered, generate

    if not isinstance(loaded.model, Generates):
        raise CapabilityError(
            f"a '{loaded.family}' draws no pictures; give a run of a family that generates, such as flow"
        )
    if num < 1:
        raise ConfigError(f"--num {num}: give a number of at least 1")
    if out.suffix and out.suffix.lower() != ".png":
        raise ConfigError(f"--out {out}: samples are lossless; give a .png file or a folder")
    labels = _labels(loaded.spec.classes, label, num)
    seeds = list(range(seed, seed + num))
    with console.progress("sample") as advance:
        pixels = gathered(generate(loaded.model, seeds, labels, settings), advance, num)
    recipe: dict[str, Any] = {"figment": VERSION, "run": loaded.digest, "family": loaded.family, "label": label}
    recipe["settings"] = to_json(settings) if settings else {}
    if out.suffix.lower() == ".png":
        columns = len(loaded.spec.classes) if label == "all" and 2 <= len(loaded.spec.classes) <= 16 else None
        write_png(out, grid(pixels, columns), recipe | {"seeds": seeds})
        files = [out]
    else:
        names = [loaded.spec.classes[one] if one >= 0 else "" for one in labels] if labels else [""] * num
        files = [out / _folder_name(name) / f"{one}.png" for name, one in zip(names, seeds, strict=True)]
        for file, picture, name, one in zip(files, pixels, names, seeds, strict=True):
            write_png(file, np.ascontiguousarray(picture), recipe | {"seed": one, "label": name})
    console.say(f"{out}: {num} pictures, seeds {seeds[0]} to {seeds[-1]}")
    return {"out": str(out), "num": num, "files": [str(file) for file in files]}


def _labels(classes: tuple[str, ...], label: str, num: int) -> list[int] | None:
    """The classes asked for, one a picture; None for a model without classes."""
    from figment.core.images import interleave

    if not classes:
        if label not in ("all", "none"):
            raise ConfigError(f"--label {label}: this model was trained without labels; leave --label out")
        return None
    if label == "none":
        return [-1] * num
    if label != "all" and label not in classes:
        raise ConfigError(f"--label {label}: no such class{did_you_mean(label, classes)}")
    return interleave(range(len(classes)) if label == "all" else [classes.index(label)], num)


def _folder_name(label: str) -> str:
    """A label as the name of one folder, whatever signs are in it."""
    return "".join(sign if sign.isalnum() or sign in " -_.+" else "_" for sign in label).lstrip(".")


def _args(sampling: type | None) -> type:
    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Sample",
        [
            ("out", Annotated[Path, tyro.conf.arg(help="A .png file for one grid, or a folder for single pictures.")]),
            ("num", *option(int, 64, "Pictures to draw.")),
            ("label", *option(str, "all", "A class, 'all' for every class in turn, 'none' to leave it open.")),
            ("seed", *option(int, 0, "Seed of the first picture; the next have the following numbers.")),
            ("sampler", *option(str, "", "Short for --sampling.sampler: figment list samplers.")),
            *([("sampling", sampling, field(default=sampling()))] if sampling else []),
        ],
        frozen=True,
    )
