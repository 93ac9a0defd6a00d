"""The runs that are served, as the process that speaks HTTP knows them: what each can do and be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any

from figment import edits
from figment.core import plugins
from figment.core.checkpoint import LoadedModel, load_model
from figment.core.config import to_json
from figment.core.errors import ConfigError, FigmentError, did_you_mean
from figment.core.types import Denoises, Generates, ImageSpec, Maps, capabilities
from figment.data.store import spread_rows
from figment.diagnoses import findings
from figment.evaluate.evidence import logged
from figment.evaluate.extract import asked_spec
from figment.evaluate.scored import kept_scores
from figment.samplers import Sampling
from figment.serve.refusal import Refusal, invalid, missing
from figment.serve.settings import shown, taken
from figment.train.run import read_run
from figment.train.runlog import read_log

ALL = "all"  # in place of a label: every class in turn

_MOST_EVENTS = 2000  # lines of one kind that a curve is drawn from


@dataclass(frozen=True)
class ServedRun:
    """A run without its weights.

    spec: of its pictures. asked: of what it can be asked for. sampling: its defaults, None where there are none; tuned
    ones where it was tuned.
    """

    id: str
    path: Path
    name: str
    family: str
    digest: str
    spec: ImageSpec
    asked: ImageSpec
    sampling: Any
    capabilities: tuple[str, ...]
    edits: tuple[str, ...]

    @property
    def kind(self) -> type | None:
        """The class of its settings, its family's Sampling."""
        return type(self.sampling) if self.sampling is not None else None

    @property
    def steps(self) -> int:
        """How often the network is asked for a picture, about; what a picture costs is this times its pixels."""
        return self.steps_of(self.sampling)

    def steps_of(self, settings: Any) -> int:
        return int(getattr(settings, "steps", 1))

    @property
    def pixels(self) -> int:
        return self.spec.height * self.spec.width * self.spec.frames

    @property
    def has_preview(self) -> bool:
        return "Denoises" in self.capabilities and isinstance(self.sampling, Sampling)

    def settings(self, given: Mapping[str, Any]) -> Any:
        """The settings to draw with: what is given, the rest as the run has it.

        Raises a Refusal or ConfigError for what cannot be set.
        """
        return taken(self.kind, given, self.sampling)

    def places(self, label: str | None, num: int) -> list[int]:
        """The class of each of `num` pictures, -1 where it is left open.

        Raises a Refusal for a class that this run cannot be asked for.
        """
        classes = self.asked.classes
        if label is None:
            return [-1] * num
        if not classes:
            raise Refusal(400, "cannot", "this run was trained without labels; leave the label out", "label")
        if label == ALL:
            return [place % len(classes) for place in range(num)]
        if label not in classes:
            raise Refusal(400, "cannot", f"no such class{did_you_mean(label[:100], classes)}", "label")
        return [classes.index(label)] * num

    def checked_caption(self, caption: str | None) -> str:
        """What to show in words; "" where that is left open.

        Raises a Refusal for a run without captions, or a text that is too long for it.
        """
        if not caption or not caption.strip():
            return ""
        if not self.asked.caption_bytes:
            raise Refusal(400, "cannot", "this run was trained without captions; leave the caption out", "caption")
        length = len(caption.encode("utf-8", "replace"))
        if length > self.asked.caption_bytes:
            told = f"{length} bytes of UTF-8, this run reads {self.asked.caption_bytes}"
            raise Refusal(400, "cannot", f"{told}; give a shorter caption", "caption")
        return caption

    @cached_property
    def description(self) -> dict[str, Any]:
        """What `GET /api/runs` tells, but for whether it can draw now."""
        settings, values = shown(self.kind), to_json(self.sampling) if self.sampling is not None else {}
        known = {one["name"] for one in settings}
        return {
            "id": self.id,
            "name": self.name,
            "family": self.family,
            "digest": self.digest,
            "spec": to_json(self.spec),
            "classes": list(self.asked.classes),
            "has_captions": bool(self.asked.caption_bytes),
            "caption_bytes": self.asked.caption_bytes,
            "capabilities": list(self.capabilities),
            "has_preview": self.has_preview,
            "has_plane": "Maps" in self.capabilities,
            "sampling": {name: value for name, value in values.items() if name in known},
            "settings": settings,
            "edits": [_edit(name) for name in self.edits],
        }

    def log(self) -> list[dict[str, Any]]:
        """The lines of its log, of each kind at most so many, evenly spread."""
        lines = sorted(read_log(self.path), key=lambda line: str(line.get("kind")))
        kept = []
        for _, group in groupby(lines, lambda line: str(line.get("kind"))):
            rows = list(group)
            kept += [rows[place] for place in spread_rows(len(rows), _MOST_EVENTS)]
        return sorted(kept, key=lambda line: line["step"])

    def samples(self) -> list[Path]:
        """The grids drawn during its training, earliest first."""
        return sorted(path for path in (self.path / "samples").glob("*.png") if path.stem.isdecimal())

    def findings(self) -> list[dict[str, Any]]:
        """What the doctor sees in its log."""
        if not (self.path / "log.jsonl").exists():
            return []
        return [asdict(one) | {"text": str(one)} for one in findings(logged(self.path, read_run(self.path)), ["log"])]

    def scores(self) -> dict[str, Any]:
        """What `figment eval` found of these weights with these settings, by metric."""
        return kept_scores(self.path, self.digest, None if self.sampling is None else to_json(self.sampling))


def read_runs(paths: Sequence[Path]) -> dict[str, ServedRun]:
    """The runs in these folders by their ids; names are made different where folders' names are the same.

    Raises FigmentError, naming the path, where one cannot be served.
    """
    runs: dict[str, ServedRun] = {}
    for number, path in enumerate(paths):
        name, used = path.resolve().name, {run.name for run in runs.values()}
        name = next(each for each in (name, *(f"{name}-{again}" for again in range(2, 999))) if each not in used)
        runs[f"r{number}"] = _served(f"r{number}", path, name, load_model(path))
    return runs


def _served(id: str, path: Path, name: str, loaded: LoadedModel) -> ServedRun:
    sampling = loaded.sampling_type
    if not isinstance(loaded.model, Generates | Denoises | Maps):
        raise ConfigError(f"{path}: a '{loaded.family}' draws no pictures; serve a run of a family that generates")
    return ServedRun(
        id=id,
        path=path,
        name=name,
        family=loaded.family,
        digest=loaded.digest,
        spec=loaded.spec,
        asked=asked_spec(loaded),
        sampling=loaded.sampling or (sampling() if sampling else None),
        capabilities=capabilities(loaded.model),
        edits=tuple(edit for edit in plugins.names("edits") if edits.fits(edit, loaded.model, loaded.spec)),
    )


def _edit(name: str) -> dict[str, Any]:
    """An edit as a page shows it; without settings where it cannot be imported."""
    try:
        settings = shown(plugins.load("edits", name).Config)
    except FigmentError:  # needs a package that is not installed
        settings = []
    about = plugins.summary("edits", name)
    return {"name": name, "summary": about, "inputs": list(edits.inputs(name)), "settings": settings}


def find(runs: Mapping[str, ServedRun], id: str) -> ServedRun:
    """A run by its id or its name.

    Raises a Refusal where there is none.
    """
    by_name = {run.name: run for run in runs.values()}
    run = runs.get(id) or by_name.get(id)
    if run is None:
        raise missing("run")
    return run


def leaderboard(runs: Mapping[str, ServedRun]) -> dict[str, Any]:
    """The served runs in order of each score that they have in common, as `figment compare` ranks them."""
    from figment.evaluate.ranking import entries_of, ranked

    known = [{"run": run.name, "family": run.family, "scores": run.scores()} for run in runs.values()]
    answers = [answer for answer in known if answer["scores"]]
    if not answers:
        return {"leaderboard": {}, "higher_is_better": {}, "refused": {}}
    try:
        order, columns = ranked(entries_of(answers, [answer["run"] for answer in answers]))
    except (KeyError, TypeError, ValueError):
        raise invalid("a scores.json is not of this figment; score the run again") from None
    ids = {run.name: run.id for run in runs.values()}
    board: dict[str, Any] = {}
    for column in (one for one in columns if not one.refusal):
        having = sorted((one for one in order if one.name in column.ranks), key=lambda one: column.ranks[one.name])
        board[column.metric] = [
            {
                "rank": column.ranks[one.name],
                "run": ids[one.answers[0]["run"]],
                "name": one.answers[0]["run"],
                "seeds": len(one.answers),
                **{key: value for key, value in asdict(one.scores[column.metric]).items() if key != "passport"},
            }
            for one in having
        ]
    return {
        "leaderboard": board,
        "higher_is_better": {one.metric: one.higher_is_better for one in columns},
        "refused": {one.metric: one.refusal for one in columns if one.refusal},
    }
