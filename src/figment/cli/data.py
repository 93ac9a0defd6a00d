"""Make a dataset of pictures, look at it, change it, keep it: build, report, split, outliers, propose, export, seal.

figment data build SOURCE... --out DATASET [--size 32|48x64] [--skip STEP] [--SOURCE.x v] [--STEP.x v] [--dry-run]
                   [--on ray|ray://HOST:PORT]
figment data report DATASET [--out report.html]
figment data split DATASET [--val 0.1] [--test 0.1]
figment data restore DATASET KEY...
figment data outliers DATASET [--distance 2] [--judge RUN]
figment data propose DATASET [--accept 0.95] [--num 20]
figment data protect DATASET --out DATASET [--fill solid|pixelate|noise] [--regions FILE.json]
figment data export DATASET --to folder|webdataset|parquet --out PATH
figment data seal FOLDER --out FILE [--key FILE | --to PUBLIC.pem]
figment data open FILE --out FOLDER [--key FILE | --key PRIVATE.pem]
"""

from __future__ import annotations

import typing
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from figment.cli._console import REPORT, Console
from figment.cli._parse import parse, split_first, wants_help
from figment.core import plugins
from figment.core.config import to_json
from figment.core.errors import ConfigError, did_you_mean

Words = Annotated[tuple[str, ...], tyro.conf.Positional]
Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]

WAYS = ("build", "report", "split", "restore", "outliers", "propose", "protect", "export", "seal", "open")


def main(argv: Sequence[str], console: Console) -> dict[str, Any] | None:
    way, rest = split_first(argv)
    if way is None:
        if (argv or console.as_json) and not wants_help(argv):
            raise ConfigError(f"say what to do with the data: figment data {{{','.join(WAYS)}}} ...")
        print(__doc__)
        return None
    if way not in WAYS:
        raise ConfigError(f"no 'figment data {way}'{did_you_mean(way, WAYS)}")
    if way in ("export", "seal", "open"):
        from figment.cli import _data_keep

        return {"export": _data_keep.export, "seal": _data_keep.seal, "open": _data_keep.unseal}[way](rest, console)
    if way == "outliers":
        from figment.cli._data_outliers import outliers

        return outliers(rest, console)
    if way == "propose":
        from figment.cli._data_propose import propose

        return propose(rest, console)
    if way == "protect":
        from figment.cli._data_protect import protect

        return protect(rest, console)
    return {"build": build, "report": report, "split": split, "restore": restore}[way](rest, console)


def build(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Read pictures from sources, keep, mend or reject them, and store them with labels, splits and reasons."""
    about = build.__doc__ or ""
    if wants_help(argv):  # read, not imported: help answers at once
        parse(_build_args((), ()), argv, verb="data build", about=f"{about}\n\n{_all_settings()}")
    named = _named_sources(argv)
    args: Any = parse(_build_args(named, plugins.names("steps")), argv, verb="data build", about=about)
    for step in args.skip:
        plugins.require("steps", step.replace("-", "_"))
    from figment.data import build as room

    steps = {name: _changed(getattr(args, name)) for name in plugins.names("steps")}
    steps = {name: made for name, made in steps.items() if made}
    sources = {name: to_json(getattr(args, name)) for name in named}
    skip = tuple(step.replace("-", "_") for step in args.skip)
    config = room.BuildConfig(size=args.size, skip=skip, steps=steps, sources=sources)
    with console.progress("build") as advance:
        if args.dry_run:
            trial = room.dry_run(
                args.sources, config, progress=lambda done, total: advance(done, total, ""), on=args.on
            )
            answer = _answer(None, trial.spec, trial.counts, trial.rejected, console)
            for flag, count in trial.suggested.items():
                console.say(f"  would refuse {count} more with {flag}")
            return {**answer, "suggested": dict(trial.suggested)}
        with console.keeping("what was committed is kept"):
            made = room.build(
                args.sources,
                args.out,
                config,
                progress=lambda done, total: advance(done, total, ""),
                fresh=args.fresh,
                on=args.on,
            )
    leave_page(made, console)
    _warn_of_leaks(made.card.get("leaks"), console)
    return _answer(args.out, made.spec, made.counts, made.rejected(), console)


def _warn_of_leaks(leaks: Any, console: Console) -> None:
    """What of the training side is held out as well, by the source's own split."""
    if leaks and leaks["refused"] + leaks["kept"]:
        key, held_out = next(iter(leaks["pairs"].items()))
        console.warn(
            f"the source's own split leaks: {leaks['refused'] + leaks['kept']} copies of held-out pictures, of which "
            f"{leaks['refused']} were refused and {leaks['kept']} stay, such as {key}, like {held_out}; the report "
            "shows them"
        )


def leave_page(store: Any, console: Console, *, anew: bool = False) -> None:
    """Have the report written into the dataset, where there is none yet, or `anew`."""
    page = store.path / REPORT
    if anew or not page.exists():
        with console.not_vital(page):
            from figment.cli._data_report import write_data_report

            write_data_report(page, store)


def _all_settings() -> str:
    lines = ["Sources and their settings:"]
    lines += [line for name in plugins.names("sources") for line in _settings("sources", name)]
    lines += ["", "Steps and their settings, in the order of their names:"]
    lines += [line for name in plugins.names("steps") for line in _settings("steps", name)]
    return "\n".join(lines)


def _settings(kind: str, name: str) -> Iterator[str]:
    """A plugin and what can be set of it, a line each."""
    flag = name.replace("_", "-")
    yield f"  {flag}: {plugins.summary(kind, name)}"
    for one in plugins.settings(kind, name):
        if one.name != "argument":
            yield f"    --{flag}.{one.name.replace('_', '-')}: {one.help} ({one.default})"


def _named_sources(argv: Sequence[str]) -> list[str]:
    """Sources with a setting among the words, as in --shapes.frames 8: only these must be imported."""
    flags = {word.removeprefix("--").partition(".")[0] for word in argv if word.startswith("--") and "." in word}
    return [name for name in plugins.names("sources") if name.replace("_", "-") in flags]


def _build_args(sources: Sequence[str], steps: Sequence[str]) -> type:
    def option(kind: Any, default: Any, text: str) -> tuple[Any, Any]:
        return Annotated[kind, tyro.conf.arg(help=text)], field(default=default)

    return make_dataclass(
        "Build",
        [
            (
                "sources",
                Annotated[Words, tyro.conf.arg(help="Folders, archives or name:argument: figment list sources.")],
            ),
            ("out", Annotated[Path, tyro.conf.arg(help="Dataset folder to make, or to go on with.")]),
            (
                "size",
                *option(str, "", "Picture size, 32 or 48x64 (height x width); the pictures' own where they agree."),
            ),
            ("skip", *option(tuple[str, ...], (), "Steps to leave out: figment list steps.")),
            (
                "on",
                *option(str, "", "Where the steps run: ray, or ray://HOST:PORT; processes of this machine otherwise."),
            ),
            ("dry_run", *option(bool, False, "Only say what would be kept and refused, and why.")),
            ("fresh", *option(bool, False, "Delete the dataset that is there and build it again.")),
            *((name, *_source(name)) for name in sources),
            *((name, *_step(name)) for name in steps),
        ],
        frozen=True,
    )


def _source(name: str) -> tuple[Any, Any]:
    """The settings of a source without its argument, which is typed behind its name; checked when both are there."""
    config = plugins.load("sources", name).Config
    hints, helps = typing.get_type_hints(config), {one.name: one.help for one in plugins.settings("sources", name)}
    parts = [
        (one.name, Annotated[hints[one.name], tyro.conf.arg(help=helps[one.name])], field(default=one.default))
        for one in fields(config)
        if one.name != "argument"
    ]
    made = make_dataclass(name, parts, frozen=True)
    return made, field(default=made())


def _step(name: str) -> tuple[Any, Any]:
    config = plugins.load("steps", name).Config
    return config, field(default=config())


def _changed(config: Any) -> dict[str, Any]:
    """The settings of a step that are not its defaults."""
    usual = to_json(type(config)())
    return {name: value for name, value in to_json(config).items() if value != usual[name]}


def _answer(out: Path | None, spec: Any, counts: Any, rejected: Sequence[Any], console: Console) -> dict[str, Any]:
    """Say what a dataset holds; its JSON."""
    title = str(out) if out else "would make"
    console.say(f"{title}: {', '.join(f'{count} {name}' for name, count in counts.items())}; {spec}")
    reasons = Counter((row.step, row.reason) for row in rejected)
    for (step, reason), count in reasons.most_common(10):
        console.say(f"  refused {count} by {step}: {reason}")
    if len(reasons) > 10:
        console.say(f"  and {len(reasons) - 10} more reasons")
    by_step = dict(Counter(row.step for row in rejected))
    return {"dataset": str(out or ""), "spec": to_json(spec), "counts": dict(counts), "rejected": by_step}


@dataclass(frozen=True)
class Report:
    dataset: Folder
    """Dataset to look at."""
    out: Path | None = None
    """HTML file to write; DATASET/report.html otherwise."""


def report(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Write one offline HTML page: contact sheets, class balance, histograms, what was refused and why."""
    args = parse(Report, argv, verb="data report", about=report.__doc__ or "")
    from figment.cli._data_report import write_data_report
    from figment.data.store import Store

    store, out = Store(args.dataset), args.out or args.dataset / REPORT
    out.parent.mkdir(parents=True, exist_ok=True)
    write_data_report(out, store)
    console.say(f"open {out}")
    return {"report": str(out)}


@dataclass(frozen=True)
class Split:
    dataset: Folder
    """Dataset whose pictures to divide anew."""
    val: float | None = None
    """Share held out for validation."""
    test: float | None = None
    """Share held out for scores."""


def split(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Draw the held-out pictures anew; what the source itself divided stays as it is."""
    args = parse(Split, argv, verb="data split", about=split.__doc__ or "")
    from figment.data.store import Store

    store = Store(args.dataset)
    config = plugins.load("steps", "split").Config
    shares = {name: share for name, share in (("val", args.val), ("test", args.test)) if share is not None}
    try:
        store.resplit(config(**shares))
    except ConfigError as error:  # the step is a part of the build, and names its flags as they are there
        raise ConfigError(str(error).replace("--split.", "--")) from None
    leave_page(store, console, anew=True)
    return _answer(args.dataset, store.spec, store.counts, store.rejected(), console)


@dataclass(frozen=True)
class Restore:
    dataset: Folder
    """Dataset that refused the pictures."""
    keys: Words
    """Keys of refused pictures, as the report names them."""


def restore(argv: Sequence[str], console: Console) -> dict[str, Any]:
    """Take refused pictures into the dataset after all, without the step that refused them."""
    args = parse(Restore, argv, verb="data restore", about=restore.__doc__ or "")
    from figment.data.store import Store

    store = Store(args.dataset)
    store.restore(args.keys)
    leave_page(store, console, anew=True)
    _warn_of_leaks(store.card.get("leaks"), console)
    return _answer(args.dataset, store.spec, store.counts, store.rejected(), console)
