"""A folder for a model hub: the shippable run, its pictures, and a card that says what it is and how good, with proof.

`figment.load(folder)` reads it, and `figment.from_pretrained(NAME)` once it is pushed. Scores come with their passports
from the file that `figment eval --json` printed.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figment.core.checkpoint import shippable
from figment.core.config import to_json
from figment.core.errors import CapabilityError, CheckpointError, ConfigError, MissingExtra
from figment.core.images import encode_png, grid, interleave, to_uint8
from figment.core.noise import noise
from figment.core.types import Condition, Generates
from figment.exports import Run

SHOWN = 32
PICTURES = "samples.png"
CARD = "README.md"


@dataclass(frozen=True)
class Config:
    """What the card says, and where it goes."""

    licence: str = "apache-2.0"
    """Licence of the weights, by the hub's name for it; that of the pictures may demand another."""
    scores: Path | None = None
    """What 'figment eval RUN --data DATASET --json' printed."""
    push: str = ""
    """Name on the hub, OWNER/NAME, to push to; needs a token in HF_TOKEN."""


def export(run: Run, out: Path, config: Config) -> dict[str, Any]:
    """Write the folder, and push it where that is asked for.

    Raises ConfigError for scores of another run, CheckpointError where the hub refuses.
    """
    loaded, source = run.loaded, shippable(run.folder)
    scores = _scores(config.scores, run.folder) if config.scores else {}
    out.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, out / "model", dirs_exist_ok=True)
    if isinstance(loaded.model, Generates) and loaded.spec.frames == 1 and not loaded.spec.paired:
        (out / PICTURES).write_bytes(_pictures(loaded))
    (out / CARD).write_text(card(run, config, scores), encoding="utf-8")
    if config.push:
        _push(out, config.push)
    return {"card": str(out / CARD), "scores": sorted(scores), "pushed": config.push}


def card(run: Run, config: Config, scores: dict[str, Any]) -> str:
    """The model card, Markdown under the hub's front matter."""
    loaded, name = run.loaded, config.push or run.folder.resolve().name
    spec = loaded.spec
    classes = f" of {spec.num_classes} classes: {', '.join(spec.classes[:20])}" if spec.classes else ""
    lines = [
        "---",
        f"license: {config.licence}",
        "library_name: figment",
        "pipeline_tag: unconditional-image-generation",
    ]
    lines += ["tags:", f"- {loaded.family}", "- figment", "---", "", f"# {name}", ""]
    lines += [f"A `{loaded.family}` for pictures of {spec.height}x{spec.width}x{spec.channels}{classes}.", ""]
    lines += [f"![Samples, seeds in order, not chosen]({PICTURES})", ""] if isinstance(loaded.model, Generates) else []
    lines += ["```python", "import figment", "from figment.core.noise import noise", ""]
    lines += [f'model = figment.from_pretrained("{name}")', "images = model.generate(noise([0, 1], model))", "```", ""]
    facts = loaded.facts
    lines += [
        "## How it was trained",
        "",
        f"{facts.get('seen_images', 0):,} pictures seen in {facts.get('step', 0):,} steps.",
    ]
    data = facts.get("data") or {}
    lines += [f"Pixel digest of the data `{data.get('pixel_digest', '')[:16]}`, weights `{loaded.digest[:16]}`.", ""]
    if privacy := facts.get("privacy"):
        lines += ["Differentially private: epsilon {epsilon:.3g} at delta {delta:g}.".format(**privacy), ""]
    lines += ["```json", json.dumps(to_json(loaded.settings), indent=1), "```", ""]
    if scores:
        lines += ["## Scores", "", "| score | value | 95% interval | floor | real | generated | seen through |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- |", *(_row(*item) for item in scores.items()), ""]
    lines += ["A model draws what it was shown, with what was missing or wrong there. Look before you rely on it."]
    return "\n".join(lines) + "\n"


def _row(name: str, score: dict[str, Any]) -> str:
    floor = "" if score.get("floor") is None else f"{score['floor']:.4g}"
    interval = f"{score['low']:.4g} to {score['high']:.4g}"
    cells = [name, f"{score['value']:.4g}", interval, floor, score["num_real"], score["num_fake"], score["extractor"]]
    return f"| {' | '.join(map(str, cells))} |"


def _scores(file: Path, folder: Path) -> dict[str, Any]:
    """The scores of this run in the answer of `figment eval --json`."""
    try:
        answer = json.loads(file.read_text(encoding="utf-8"))
        runs = {Path(one["run"]).resolve(): one["scores"] for one in answer["runs"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"--export.scores {file}: give what 'figment eval RUN --data DATASET --json' printed"
        ) from None
    if folder.resolve() not in runs:
        raise ConfigError(f"--export.scores {file}: holds no scores of {folder}; evaluate that run")
    return runs[folder.resolve()]


def _pictures(loaded: Any) -> bytes:
    model, spec = loaded.model, loaded.spec
    labels = None
    if spec.classes:
        import torch

        labels = torch.tensor(interleave(range(spec.num_classes), SHOWN))
    images = model.generate(noise(range(SHOWN), model), Condition(labels=labels), loaded.sampling)
    return encode_png(grid(to_uint8(images), columns=8), {"run": loaded.digest, "seeds": f"0..{SHOWN - 1}"})


def _push(folder: Path, name: str) -> None:
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError:
        raise MissingExtra("--export.push", "hub") from None
    if name.count("/") != 1:
        raise CapabilityError(f"--export.push {name}: give OWNER/NAME")
    try:
        HfApi().create_repo(name, exist_ok=True)
        HfApi().upload_folder(repo_id=name, folder_path=folder)
    except (OSError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise CheckpointError(f"--export.push {name}: the hub refuses ({said}); {folder} is kept") from None
