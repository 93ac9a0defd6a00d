"""What `eval` and `compare` share: which pictures are real, whose eyes see them, and how one run is scored."""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, make_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from figment.cli._console import Console
from figment.cli._parse import parse
from figment.core import plugins, ranks
from figment.core.errors import CapabilityError, ConfigError, DataError

if TYPE_CHECKING:
    from figment.core.types import Extractor
    from figment.evaluate.runs import Drawn, Yardstick
    from figment.features.judge import Judge

T = TypeVar("T", bound="Measure")


@dataclass(frozen=True)
class Measure:
    data: Path
    """Dataset whose held-out pictures are the reference; or a folder of pictures."""
    metrics: tuple[str, ...] = ()
    """Metrics to compute: figment list metrics. The usual ones where none is named, 'all' for every one that fits."""
    num: int = 2000
    """Pictures to generate; no more than there are training pictures."""
    judge: Path | None = None
    """Run whose features to use; the same as the features judge:RUN."""
    extractor: Annotated[str, tyro.conf.arg(name="features", metavar="NAME[:ARGUMENT]")] = ""
    """Eyes to see through: figment list features. The dataset's own judge where none are named."""
    seed: int = 0
    """Seed of the generated pictures."""


def parse_measure(kind: type[T], argv: Sequence[str], *, verb: str, about: str) -> tuple[T, Any]:
    """A verb's words, and the Config of the features that they name, or None for the dataset's own judge.

    With --features NAME its settings are flags too, --features.x.
    """
    name, argument = _named_features(argv)
    settings = _settings(name) if name else None
    if settings:
        flag = Annotated[settings, tyro.conf.arg(name="features")]
        kind = make_dataclass(
            kind.__name__, [("settings", flag, field(default=settings()))], bases=(kind,), frozen=True
        )
    args: Any = parse(kind, argv, verb=verb, about=about)
    for metric in args.metrics:
        if args.metrics != ("all",):
            plugins.require("metrics", metric)
    if args.num < 2:
        raise ConfigError(f"--num {args.num}: give a number of at least 2")
    if args.judge and name:
        raise ConfigError("--judge and --features: give one of them, not both")
    if args.judge:
        name, argument = "judge", str(args.judge)
    if not name or (name == "judge" and not argument):
        return args, None
    given = ({"argument": argument} if argument else {}) | (vars(args.settings) if settings else {})
    return args, plugins.load("features", name).Config(**given)


def _named_features(argv: Sequence[str]) -> tuple[str, str]:
    """Name and argument in --features NAME[:ARGUMENT], before the words are parsed: other flags depend on them."""
    text = ""
    for index, word in enumerate(argv):
        if word == "--features" and index + 1 < len(argv):
            text = argv[index + 1]
        elif word.startswith("--features="):
            text = word.partition("=")[2]
    name, _, argument = text.partition(":")
    return (plugins.require("features", name) if name else ""), argument


def _settings(name: str) -> Any:
    """The settings of an extractor as a dataclass of flags, without its argument, which stands behind the name."""
    config = plugins.load("features", name).Config
    told = {setting.name: setting.help for setting in plugins.settings("features", name)}
    hints = typing.get_type_hints(config)
    flags = [
        (one.name, Annotated[hints[one.name], tyro.conf.arg(help=told.get(one.name, ""))], field(default=one.default))
        for one in fields(config)
        if one.name != "argument"
    ]
    return make_dataclass("Features", flags, frozen=True) if flags else None


def judge_for(store: Any, path: Path | None, console: Console) -> Judge:
    """The judge that was named, or the dataset's own, trained now if need be."""
    from figment.core.checkpoint import load_model
    from figment.evaluate.judge import as_judge, judge_of

    if path:
        return as_judge(load_model(path), path, store)
    with console.progress("judge") as advance, console.graceful_stop() as stopping:
        return judge_of(
            store, progress=lambda done, total: advance(done, total, ""), warn=console.warn, stopping=stopping
        )


def yardstick_of(args: Measure, features: Any, console: Console) -> tuple[Yardstick, Any]:
    """What the words ask every run to be measured with, and the dataset, or None for a folder of pictures."""
    if _is_plain_folder(args.data):
        return _yardstick_in(args, features, console), None
    from figment.data.store import Store
    from figment.evaluate.runs import are_of_real_pictures

    store = Store(args.data)
    if store.spec.frames > 1:
        raise DataError(
            f"{args.data}: holds clips, and scores are of single pictures; give a dataset of those, or look at what a "
            "run makes of clips: figment sample RUN --out FILE.gif"
        )
    if features is None and are_of_real_pictures(args.metrics):  # which no judge looks at
        features = plugins.load("features", "pixels").Config()
    if features is None:
        extractor: Extractor = judge_for(store, None, console)
    else:
        extractor = _loaded(features, store)
    return yardstick_for(store, extractor, args.num, args.seed, console, args.metrics), store


def yardstick_for(
    store: Any, extractor: Extractor, num: int, seed: int, console: Console, metrics: Sequence[str] = ()
) -> Yardstick:
    """Held-out and training pictures of a dataset, seen through the extractor."""
    from figment.evaluate.extract import Eyes
    from figment.evaluate.runs import Yardstick, reference_of, require_classes

    require_classes(metrics, extractor, store.spec.classes)
    eyes = Eyes(extractor, _needs_places(extractor, metrics), store.path / "cache" / "features")
    with console.progress("features") as advance:
        reference = reference_of(store, eyes, num, lambda done, total: advance(done, total, ""))
    return Yardstick(reference, eyes, store.spec, tuple(metrics), num, seed)


def _yardstick_in(args: Measure, features: Any, console: Console) -> Yardstick:
    """Pictures of a folder, seen through an extractor that needs no dataset."""
    if features is None:
        raise DataError(
            f"{args.data}: is a plain folder, not a dataset; make one of it with: figment data build {args.data} --out "
            "DATASET, or score against it as it is with --features descriptors"
        )
    from figment.core.types import ImageSpec
    from figment.evaluate.extract import Eyes
    from figment.evaluate.reference import reference_in
    from figment.evaluate.runs import Yardstick, require_classes

    extractor = _loaded(features, None)
    eyes = Eyes(extractor, _needs_places(extractor, args.metrics))
    with console.progress("features") as advance:
        reference = reference_in(
            args.data, getattr(extractor, "spec", None), eyes, args.num, lambda done, total: advance(done, total, "")
        )
    assert reference.real.images is not None
    require_classes(args.metrics, extractor, reference.classes)
    height, width, channels = reference.real.images.shape[1:]
    spec = ImageSpec(channels, height, width, classes=reference.classes)
    return Yardstick(reference, eyes, spec, args.metrics, args.num, args.seed)


def _loaded(features: Any, store: Any) -> Extractor:
    module = type(features).__module__.rpartition(".")[2]
    return plugins.load("features", module).load(features, store)


def _is_plain_folder(path: Path) -> bool:
    """Whether a path holds pictures and is no work of figment's; whatever else is wrong with it, Store says."""
    return path.is_dir() and not any((path / name).exists() for name in ("card.json", "index.sqlite", "config.json"))


def _needs_places(extractor: Extractor, metrics: Sequence[str]) -> bool:
    """Whether features of places are worth their room: some metric that is asked for looks at them."""
    names = plugins.names("metrics") if tuple(metrics) == ("all",) else metrics
    asked = any("spatial" in plugins.constant("metrics", name, "NEEDS", ()) for name in names)  # type: ignore[operator]
    return asked and getattr(extractor, "spatial", None) is not None


def measured(path: Path, yardstick: Yardstick, store: Any, console: Console) -> dict[str, Any]:
    """One run or folder scored: "answer", the JSON of it; "fake", its sample or None; "warnings"; "weights", a digest.

    weights: "" for a folder of pictures, and for what draws none. All ranks draw, the first one scores.
    """
    if found := ranks.decided(lambda: _classification(path, store)):
        answer, warnings = found
        if yardstick.statistics:
            raise CapabilityError(
                f"{path}: a '{answer['family']}' draws no pictures to compare with statistics; leave --reference out"
            )
        return {"answer": {"run": str(path), **answer, "scores": {}}, "fake": None, "warnings": warnings, "weights": ""}
    from figment.evaluate.runs import score

    facts, drawn = _drawn_by(path, yardstick, store, console)
    with console.progress("probability") as advance:
        scores, warnings = ranks.decided(lambda: score(drawn, yardstick, lambda done, total: advance(done, total, "")))
    answer = {"run": str(path), **facts, "scores": scores}
    return {"answer": answer, "fake": drawn.fake, "warnings": warnings, "weights": drawn.digest}


def _drawn_by(path: Path, yardstick: Yardstick, store: Any, console: Console) -> tuple[dict[str, Any], Drawn]:
    """Pictures of a run, drawn now if need be, or of a folder of anyone's pictures; before them, what drew them.

    That is its family, and what tuning may have chosen: the settings and the width of the weights' average.
    """
    from figment.core.checkpoint import load_model
    from figment.core.types import Translates
    from figment.evaluate.reference import pictures_in
    from figment.evaluate.runs import are_of_real_pictures, doubts_about, draw, require_spec, show, undrawn
    from figment.evaluate.scored import sampling_of

    is_run = (path / "config.json").exists() or not path.is_dir()
    if not is_run:
        shown = ranks.decided(lambda: show(pictures_in(path, yardstick.spec), yardstick))
        return {"family": "pictures"}, shown
    loaded = load_model(path)
    require_spec(loaded, path, yardstick.spec)
    doubts = doubts_about(loaded, store) if store and not yardstick.statistics else []
    facts = {
        "family": loaded.family,
        "sampling": sampling_of(loaded),
        "sigma_rel": loaded.facts.get("sigma_rel"),
    }
    if are_of_real_pictures(yardstick.metrics) and not isinstance(loaded.model, Translates):
        return facts, replace(undrawn(loaded, yardstick), doubts=doubts)
    with console.progress("sample") as advance:
        pictures = draw(loaded, yardstick, lambda done, total: advance(done, total, ""))
    return facts, replace(pictures, doubts=doubts)


def _classification(path: Path, store: Any) -> tuple[dict[str, Any], list[str]] | None:
    """{"family", "classification"} of a run that neither draws nor rebuilds pictures, and warnings; None for others."""
    from figment.core.checkpoint import load_model
    from figment.core.types import Encodes, Generates, Translates
    from figment.evaluate.runs import classify_held_out, doubts_about, require_fit

    if store is None or not (path / "config.json").exists():
        return None
    loaded = load_model(path)
    if isinstance(loaded.model, Generates | Translates | Encodes):
        return None
    require_fit(loaded, path, store)
    answer = {"family": loaded.family, "classification": classify_held_out(loaded, store)}
    return answer, doubts_about(loaded, store)
