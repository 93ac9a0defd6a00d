"""Draw pictures with a trained run, each carrying the recipe that made it.

--out FILE.png writes one grid; --out FOLDER writes <label or caption>/<seed>.png at the model's own size.
Of a run that draws clips, FILE.png is a film strip, a row a clip, and FILE.gif a grid that moves.
--animate --out FILE.gif writes the way from noise to pictures.
--again PICTURE.png draws a picture, or a grid of them, once more from its recipe.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, field, fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse, split_first
from figment.cli._place import make_way
from figment.core import ranks
from figment.core.errors import CapabilityError, CheckpointError, ConfigError, DataError, FigmentError
from figment.evaluate.order import Order, condition_of, names_of
from figment.version import VERSION

if TYPE_CHECKING:
    import numpy as np

    from figment.core.checkpoint import LoadedModel

LONGEST_NAME = 60  # signs, of up to 4 bytes each where a name may have 255


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    run, rest = split_first(argv)
    if run is None:
        parse(_args(None), argv, verb="sample RUN", about=__doc__ or "")
        raise ConfigError("name a run first: figment sample RUN --out samples.png")
    with ranks.joined(), console.one_voice():
        answer = _asked(Path(run), rest, console)
        return answer if ranks.is_first() else None


def _asked(run: Path, rest: Sequence[str], console: Console) -> dict[str, Any]:
    """What the words behind the run ask for: it decides which words there may be."""
    from figment.core.checkpoint import load_model

    loaded = load_model(run)
    sampling = loaded.sampling_type
    if hasattr(sampling, "sampler"):  # before they are parsed: which other settings there may be depends on it
        rest = [re.sub("^--sampler(?==|$)", "--sampling.sampler", word) for word in rest]
    kind = _args(sampling, loaded.sampling)
    args: Any = parse(kind, rest, verb="sample RUN", about=__doc__ or "")
    from figment.data.layout import PICTURE_SUFFIXES

    make_way(args.out if args.out.suffix.lower() in PICTURE_SUFFIXES else args.out / "1.png")
    if args.again:
        for one in fields(kind):
            if one.name not in ("out", "again") and getattr(args, one.name) != one.default:
                raise ConfigError(f"--{one.name} and --again: the recipe of the picture says it; leave one of them out")
        return ranks.decided(lambda: again(loaded, args.again, args.out, console))
    settings: Any = getattr(args, "sampling", None)
    if args.sampler:
        raise ConfigError(f"--sampler {args.sampler}: a '{loaded.family}' has none, it draws in one step; leave it out")
    order = Order(args.num, args.label, args.seed, args.caption)
    if args.animate:
        return ranks.decided(lambda: animate(loaded, args.out, order, settings, console))
    return sample(loaded, args.out, order, settings, console)


def sample(loaded: LoadedModel, out: Path, order: Order, settings: Any, console: Console) -> dict[str, Any]:
    """Draw, on all ranks, and write, on the first; returns the verb's JSON answer."""
    is_gif = loaded.spec.frames > 1 and out.suffix.lower() == ".gif"
    write = _write_gif if is_gif else _write_sheet if _is_png(out) else _write_each
    pixels, recipe = _draw(loaded, order, settings, console), _recipe(loaded, order, settings)
    files = ranks.decided(lambda: write(out, pixels, loaded, order, recipe))
    console.say(f"{out}: {order.num} pictures, seeds {order.seeds[0]} to {order.seeds[-1]}")
    return {"out": str(out), "num": order.num, "files": [str(file) for file in files]}


def _write_gif(out: Path, pixels: np.ndarray, loaded: LoadedModel, order: Order, recipe: dict[str, Any]) -> list[Path]:
    from figment.cli._animate import write_gif
    from figment.core.images import FRAME_MS

    shown = [FRAME_MS] * loaded.spec.frames
    write_gif(out, _grid(pixels, loaded, order), shown, recipe | {"seeds": order.seeds})
    return [out]


def _write_sheet(
    out: Path, pixels: np.ndarray, loaded: LoadedModel, order: Order, recipe: dict[str, Any]
) -> list[Path]:
    from figment.core.images import write_png

    write_png(out, _sheet(pixels, loaded, order), recipe | {"seeds": order.seeds})
    return [out]


def _write_each(out: Path, pixels: np.ndarray, loaded: LoadedModel, order: Order, recipe: dict[str, Any]) -> list[Path]:
    import numpy as np

    from figment.core.images import write_png

    names = names_of(loaded, order)
    files = [out / _folder_name(name) / f"{seed}.png" for name, seed in zip(names, order.seeds, strict=True)]
    for file, picture, name, seed in zip(files, pixels, names, order.seeds, strict=True):
        own = {"seed": seed, "label": name, "of": asdict(order)}
        write_png(file, np.ascontiguousarray(picture), recipe | own)
    return files


def animate(loaded: LoadedModel, out: Path, order: Order, settings: Any, console: Console) -> dict[str, Any]:
    """Draw and write the way from noise to pictures as one moving grid; returns the verb's JSON answer."""
    from figment.cli._animate import way, write_gif

    if out.suffix.lower() != ".gif":
        raise ConfigError(f"--out {out}: --animate moves; give a .gif file")
    with console.progress("animate") as advance:
        frames, shown = way(loaded.model, order.seeds, condition_of(loaded, order), settings, advance)
    write_gif(out, _grid(frames, loaded, order), shown, _recipe(loaded, order, settings) | {"seeds": order.seeds})
    console.say(f"{out}: {order.num} pictures in {len(shown) - 1} steps, seeds {order.seeds[0]} to {order.seeds[-1]}")
    return {"out": str(out), "num": order.num, "files": [str(out)]}


def _recipe(loaded: LoadedModel, order: Order, settings: Any) -> dict[str, Any]:
    from figment.core.config import to_json

    recipe = {"figment": VERSION, "run": loaded.digest, "family": loaded.family, "label": order.label}
    recipe |= {"captions": list(order.captions)} if order.captions else {}
    return recipe | {"settings": to_json(settings) if settings else {}}


def again(loaded: LoadedModel, picture: Path, out: Path, console: Console) -> dict[str, Any]:
    """Draw a generated picture, or a grid of them, once more from the recipe in its file; the verb's JSON answer."""
    from figment.core.images import read_recipe, write_png
    from figment.evaluate.extract import CHUNK

    if not _is_png(out):
        raise ConfigError(f"--out {out}: --again draws one picture; give a .png file")
    recipe = read_recipe(picture)
    order, settings, place = _order_of(recipe, picture, loaded)
    if place is None:
        pixels = _sheet(_draw(loaded, order, settings, console), loaded, order)
    else:  # among those that it was drawn with: in another batch, sums are rounded in another order
        first = place // CHUNK * CHUNK
        pixels = _draw(loaded, order, settings, console, slice(first, first + CHUNK))[place - first]
    write_png(out, pixels, recipe | {"figment": VERSION})
    console.say(f"{out}: drawn again from the recipe of {picture}")
    return {"out": str(out), "num": 1 if place is not None else order.num, "files": [str(out)]}


def _order_of(recipe: dict[str, Any], picture: Path, loaded: LoadedModel) -> tuple[Order, Any, int | None]:
    """What a recipe asks for: pictures, settings, and which of the pictures this one is; None for a grid of all.

    Raises DataError for a recipe that nothing can be drawn from, CheckpointError for one of other weights.
    """
    from figment.core.config import from_json

    try:
        if recipe["run"] != loaded.digest:
            raise CheckpointError(
                f"{picture}: was drawn by a '{recipe['family']}' with the weights {recipe['run'][:12]}, "
                f"this run has {loaded.digest[:12]}; give the run that drew it"
            )
        seeds, captions = recipe.get("seeds", ()), tuple(recipe.get("captions", ()))
        order = Order(len(seeds), recipe["label"], seeds[0], captions) if seeds else from_json(Order, recipe["of"])
        place = None if seeds else order.seeds.index(recipe["seed"])
        sampling = loaded.sampling_type
        return order, from_json(sampling, recipe["settings"]) if sampling else None, place
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, FigmentError) as error:
        why = f"it names no {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(
            f"{picture}: its recipe cannot be drawn from, {why}; give a PNG that 'figment sample' wrote"
        ) from None


def _is_png(out: Path) -> bool:
    """Whether one grid is asked for, and not a folder; a folder's name may have a dot in it.

    Raises ConfigError for another kind of picture.
    """
    from figment.data.layout import PICTURE_SUFFIXES

    suffix = out.suffix.lower()
    if suffix in PICTURE_SUFFIXES and suffix != ".png":
        raise ConfigError(f"--out {out}: samples are lossless; give a .png file or a folder")
    return suffix == ".png"


def _draw(loaded: LoadedModel, order: Order, settings: Any, console: Console, rows: slice = slice(None)) -> np.ndarray:
    """Some rows of what is ordered: uint8 (N, H, W, C), or (N, T, H, W, C) of clips."""
    from figment.core.types import Generates
    from figment.evaluate.extract import drawn

    if not isinstance(loaded.model, Generates):
        raise CapabilityError(
            f"a '{loaded.family}' draws no pictures; give a run of a family that generates, such as flow"
        )
    seeds, condition = order.seeds[rows], condition_of(loaded, order)
    with console.progress("sample") as advance:
        asked = condition and condition[rows]
        return drawn(loaded.model, seeds, asked, settings, progress=lambda done, total: advance(done, total, ""))


def _sheet(pixels: np.ndarray, loaded: LoadedModel, order: Order) -> np.ndarray:
    """All pictures as one that stands still; of clips each as a row, from its first frame to its last."""
    from figment.core.images import grid

    if pixels.ndim == 5:
        return grid(pixels.reshape(-1, *pixels.shape[2:]), pixels.shape[1])
    return _grid(pixels, loaded, order)


def _grid(pixels: np.ndarray, loaded: LoadedModel, order: Order) -> np.ndarray:
    """All pictures as one, a column for each class or caption where they are few and take turns."""
    from figment.core.images import grid
    from figment.evaluate.extract import asked_spec

    turns = len(order.captions) or len(asked_spec(loaded).classes) * (order.label == "all")
    return grid(pixels, turns if 2 <= turns <= 16 else None)


def _folder_name(label: str) -> str:
    """A label or caption as the name of one folder, whatever signs are in it."""
    return "".join(sign if sign.isalnum() or sign in " -_.+" else "_" for sign in label).lstrip(".")[:LONGEST_NAME]


def _args(sampling: type | None, tuned: Any = None) -> type:
    """The verb's flags with a family's own; tuned: the settings that the run draws with where nothing is asked."""

    captions = tyro.conf.UseAppendAction[tuple[str, ...]]

    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Sample",
        [
            ("out", Annotated[Path, tyro.conf.arg(help="A .png file for one grid, or a folder for single pictures.")]),
            ("num", *option(int, 64, "Pictures to draw.")),
            ("label", *option(str, "all", "A class, 'all' for every class in turn, 'none' to leave it open.")),
            ("caption", *option(captions, (), "What to draw, in words; of several each in turn.")),
            ("seed", *option(int, 0, "Seed of the first picture; the next have the following numbers.")),
            ("sampler", *option(str, "", "Short for --sampling.sampler: figment list samplers.")),
            ("animate", *option(bool, False, "Write the way from noise to pictures as one moving .gif.")),
            ("again", *option(Path | None, None, "A generated picture, to be drawn once more from its recipe.")),
            *([("sampling", sampling, field(default=tuned or sampling()))] if sampling else []),
        ],
        frozen=True,
    )
