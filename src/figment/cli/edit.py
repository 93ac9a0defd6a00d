"""Edit pictures of your own with a trained run: mend, enlarge, colour, vary them, or walk between them.

figment edit EDIT [RUN] [IMAGE...] --out FILE_OR_FOLDER

RUN is what an edit draws with; edits that need none leave it out. Of several pictures, or a folder of them, --out is a
folder and names are kept. The originals are never overwritten.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from figment.cli._console import Advance, Console
from figment.cli._parse import parse, split_first, wants_help
from figment.cli._place import make_way
from figment.core import plugins
from figment.core.errors import ConfigError, DataError
from figment.data.layout import PICTURE_SUFFIXES, is_picture, natural
from figment.evaluate.order import Order, condition_of
from figment.version import VERSION

if TYPE_CHECKING:
    from figment.core.checkpoint import LoadedModel
    from figment.core.types import Progress
    from figment.edits import Request
    from figment.evaluate.opening import Given

WRITTEN = (".png", ".gif")  # kinds of pictures that --out may name


@dataclass(frozen=True)
class Job:
    """One call of an edit: the pictures that it is given, and the file that its first answer is written to."""

    files: tuple[Path, ...]
    out: Path


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    name, rest = split_first(argv)
    if name is None:
        if (argv or console.as_json) and not wants_help(argv):
            raise ConfigError("name an edit first: figment edit EDIT [RUN] [IMAGE...] --out FILE")
        print(_overview())
        return None
    plugins.require("edits", name)
    from figment.core.checkpoint import load_model
    from figment.edits import needs

    run, rest = split_first(rest) if needs(name) else (None, rest)
    loaded = load_model(Path(run)) if run else None
    usage = f"edit {name}{' RUN' * bool(needs(name))}"
    args: Any = parse(_args(name, loaded), rest, verb=usage, about=plugins.summary("edits", name))
    if needs(name) and loaded is None:
        raise ConfigError(f"'{name}' needs a trained run before the pictures: figment edit {name} RUN IMAGE --out FILE")
    return edit(name, loaded, args, console)


def edit(name: str, loaded: LoadedModel | None, args: Any, console: Console) -> dict[str, Any]:
    """Edit every picture that is given, and write the answers; returns the verb's JSON answer."""
    jobs, answers = _jobs(name, args.images, args.out), []
    order = Order(args.num, args.label, args.seed, args.caption)
    originals = [*(file for job in jobs for file in job.files), *(file for file in (args.mask, args.style) if file)]
    _refuse_clashes(jobs, order.seeds, originals)
    make_way(*(job.out for job in jobs))
    with console.progress(f"edit {name}") as advance:
        for done, job in enumerate(jobs):
            note = f"{job.out.name} ({done + 1}/{len(jobs)})" if len(jobs) > 1 else ""
            try:
                answers.append(_one(name, loaded, job, order, args, originals, partial(_tell, advance, note)))
            except DataError as error:
                if len(jobs) == 1:
                    raise
                which = job.files[0] if job.files else name
                named = str(error) if str(error).startswith(str(which)) else f"{which}: {error}"
                console.warn(f"{named}; left out")
    if not answers:
        raise DataError(f"{args.images[0]}: none of its pictures could be edited, see the warnings above")
    for answer in answers:
        told = "".join(f", {figure.replace('_', ' ')} {value:.4g}" for figure, value in answer["figures"].items())
        console.say(f"{answer['files'][0]}: {name}, seeds {order.seeds[0]} to {order.seeds[-1]}{told}")
    files = [file for answer in answers for file in answer["files"]]
    return {"edit": name, "out": str(args.out), "num": order.num, "files": files, "answers": answers}


def _tell(advance: Advance, note: str, done: int, total: int) -> None:
    advance(done, total, note)


def _one(
    name: str,
    loaded: LoadedModel | None,
    job: Job,
    order: Order,
    args: Any,
    originals: Sequence[Path],
    progress: Progress,
) -> dict[str, Any]:
    """One job: read, edit, write."""
    from figment.cli._answer import write_answer
    from figment.core.config import to_json
    from figment.edits import require

    request, given, recipe = _request(name, loaded, job, order, args, progress)
    model = loaded and loaded.model
    require(name, model, request)
    answer = plugins.load("edits", name).edit(model, request, args.edit)
    recipe |= {"figment": VERSION, "edit": name, "config": to_json(args.edit)}
    files = write_answer(job.out, answer, given, order.seeds, recipe, originals)
    images = [str(file) for file in job.files]
    return {"images": images, "files": [str(file) for file in files], "figures": dict(answer.figures)}


def _request(
    name: str, loaded: LoadedModel | None, job: Job, order: Order, args: Any, progress: Progress
) -> tuple[Request, list[Given], dict[str, Any]]:
    """What an edit is given, the pictures as they were opened, and the part of the recipe that says all this."""
    from figment.core.config import to_json
    from figment.edits import Request, inputs
    from figment.evaluate.opening import open_frames, open_image, open_mask

    channels = loaded.spec.channels if loaded else 3 if args.style or len(job.files) > 1 else None
    if loaded and "clip?" in inputs(name):
        given = [one for file in job.files for one in open_frames(_read(file), str(file), loaded.spec.channels)]
    else:
        given = [open_image(_read(file), str(file), channels) for file in job.files]
    recipe: dict[str, Any] = {"images": [one.digest for one in given]}
    mask = style = condition = None
    if args.mask and given:
        height, width = given[0].image.shape[2:]
        mask, recipe["mask"] = open_mask(_read(args.mask), str(args.mask), (height, width))
    if args.style:
        opened = open_image(_read(args.style), str(args.style), channels)
        style, recipe["style"] = opened.image, opened.digest
    settings = getattr(args, "sampling", None)
    if loaded:
        condition = condition_of(loaded, order) if order.captions or order.label != "none" else None
        recipe |= {"run": loaded.digest, "family": loaded.family, "label": order.label}
        recipe |= {"captions": list(order.captions)} if order.captions else {}
        recipe |= {"settings": to_json(settings)} if settings else {}
    elif order.captions or order.label != "none":
        raise ConfigError("--label and --caption are asked of a model, and this edit needs none; leave them out")
    images = tuple(one.image for one in given)
    spec = loaded.spec if loaded else None
    return Request(spec, images, mask, style, condition, tuple(order.seeds), settings, progress), given, recipe


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; give a picture or a folder of pictures") from None


def _jobs(name: str, paths: Sequence[Path], out: Path) -> list[Job]:
    """What is to be done: one job for each picture, or one for all where an edit takes several at once."""
    from figment.edits import inputs

    takes_several = not {"image", "image?"} & set(inputs(name))
    found = [(path, below) for path in paths for below in _pictures(path)]
    files = tuple(path / below for path, below in found)
    if takes_several or not files or (len(files) == 1 and not paths[0].is_dir()):
        is_file = out.suffix.lower() in PICTURE_SUFFIXES and not out.is_dir()
        jobs = [Job(files, out if is_file else out / f"{files[0].stem if len(files) == 1 else name}.png")]
    else:
        if out.suffix.lower() in PICTURE_SUFFIXES:
            raise ConfigError(f"--out {out}: {len(files)} pictures are given; give a folder")
        names = [below if below.name else Path(path.name) for path, below in found]
        jobs = [Job((file,), out / name.with_suffix(".png")) for file, name in zip(files, names, strict=True)]
    for job in jobs:
        suffix = job.out.suffix.lower()
        if suffix in PICTURE_SUFFIXES and suffix not in WRITTEN:
            raise ConfigError(f"--out {job.out}: what is edited is written without loss; give a .png file or a folder")
    return jobs


def _refuse_clashes(jobs: Sequence[Job], seeds: Sequence[int], originals: Sequence[Path]) -> None:
    """Raise ConfigError where an answer would take the place of a picture that is given, or of another answer.

    Before the work, so that nothing is lost.
    """
    from figment.cli._answer import named, refuse_original

    taken: dict[Path, Job] = {}
    for job in jobs:
        for file in named(job.out, seeds):
            refuse_original(file, originals)
            if (other := taken.setdefault(file, job)) is not job:
                raise ConfigError(f"{other.files[0]} and {job.files[0]}: both would be written to {file}; rename one")


def _pictures(path: Path) -> Iterator[Path]:
    """The picture files of a folder, relative to it, in natural order; of a file, the empty path."""
    if not path.is_dir():
        yield Path()
        return
    below = (file.relative_to(path) for file in path.rglob("*") if file.is_file())
    found = sorted((one for one in below if is_picture(one.parts)), key=lambda one: natural(one.as_posix()))
    if not found:
        raise DataError(f"{path}: holds no pictures ({', '.join(PICTURE_SUFFIXES)}); give a folder that does")
    yield from found


def _args(name: str, loaded: LoadedModel | None) -> type:
    """The verb's flags with the edit's own, and those of the run's family."""
    config = plugins.load("edits", name).Config
    sampling = loaded.sampling_type if loaded else None
    words = tyro.conf.UseAppendAction[tuple[str, ...]]
    pictures = Annotated[
        tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE", help="Pictures, or a folder.")
    ]

    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Edit",
        [
            ("out", Annotated[Path, tyro.conf.arg(help="A .png file, or a folder.")]),
            ("images", pictures, field(default=())),
            ("label", *option(str, "none", "What an answer is asked to show: a class, or 'all' in turn.")),
            ("caption", *option(words, (), "What an answer is asked to show, in words; of several each in turn.")),
            ("seed", *option(int, 0, "Seed of the first answer; the next have the following numbers.")),
            ("num", *option(int, 1, "Answers to each picture; all but the first have their seed in the name.")),
            ("mask", *option(Path | None, None, "Picture of the same size: white is made new, black is kept.")),
            ("style", *option(Path | None, None, "Picture whose look is taken over.")),
            ("edit", config, field(default=config())),
            *([("sampling", sampling, field(default=loaded.sampling or sampling()))] if sampling and loaded else []),
        ],
        frozen=True,
    )


def _overview() -> str:
    lines = [__doc__ or "", "edits:"]
    lines += [f"  {name:<18}{plugins.summary('edits', name)}" for name in plugins.names("edits")]
    lines += ["", "figment edit EDIT --help lists the edit's own settings."]
    return "\n".join(lines)
