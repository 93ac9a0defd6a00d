"""Runs as folders of diffusers: the same network there and here, and back again as the same pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from figment.core import plugins
from figment.core.checkpoint import load_model, write_model, write_sampling
from figment.core.config import from_json
from figment.core.engine import seeded
from figment.core.errors import CapabilityError
from figment.core.images import to_uint8
from figment.core.noise import noise
from figment.core.types import Condition, ImageSpec
from figment.exports import Run, diffusers
from tests.commands import QUICK, done, figment

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs

PLAIN = ImageSpec(1, 16, 24)
NAMED = ImageSpec(3, 16, 16, classes=("cat", "dog"))
SMALL = {"net": "unet2d", "width": 16, "attention_below": 8}


def run_of(folder: Path, family: str, spec: ImageSpec, **settings: Any) -> Run:
    """A run whose weights are random throughout, those too that begin at zero."""
    module = plugins.load("families", family)
    config = from_json(module.Config, SMALL | settings)
    with seeded(0), torch.no_grad():
        model = module.build(config, spec).model
        for weights in model.parameters():
            weights.add_(0.05 * torch.randn_like(weights))
    write_model(folder / "model", model.state_dict(), family, config, spec, {})
    return Run(folder, load_model(folder))


@pytest.mark.parametrize(
    ("family", "spec", "settings"),
    [
        ("flow", PLAIN, {"depth": 2}),
        ("flow", NAMED, {"width": 24}),
        ("ddpm", PLAIN, {"target": "noise", "schedule": "linear"}),
        ("ddpm", NAMED, {"attention_below": 16}),
    ],
)
def test_it_comes_back_as_the_same_pictures(tmp_path, family, spec, settings):
    run = run_of(tmp_path / "run", family, spec, **settings)
    facts = diffusers.export(run, tmp_path / "out", diffusers.Config())
    assert facts["largest_difference"] < 1e-4
    before, after = run.loaded, load_model(Path(f"diffusers:{tmp_path / 'out'}"))
    assert before.spec == after.spec
    start = noise(range(3), before.model)
    asked = Condition(labels=torch.tensor([0, 1, -1])) if spec.classes else None
    pictures = [to_uint8(loaded.model.generate(start, asked)).astype(int) for loaded in (before, after)]
    assert np.abs(pictures[0] - pictures[1]).max() <= 1 and pictures[0].std() > 10
    assert (before.model.sigma_min, before.model.sigma_max) == pytest.approx(
        (after.model.sigma_min, after.model.sigma_max), rel=1e-4
    )


@pytest.mark.parametrize("spec", [PLAIN, NAMED], ids=str)
@pytest.mark.parametrize("family", ["flow", "ddpm"])
def test_the_folder_draws_in_diffusers_without_figment(tmp_path, family, spec):
    from diffusers import DiffusionPipeline

    facts = diffusers.export(run_of(tmp_path / "run", family, spec), tmp_path / "out", diffusers.Config())
    pipeline: Any = DiffusionPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    assert type(pipeline).__name__ == facts["pipeline"]
    asked = {"class_labels": [1, 0]} if spec.classes else {}
    pictures = pipeline(batch_size=2, num_inference_steps=8, output_type="np", **asked).images
    assert pictures.shape == (2, spec.height, spec.width, spec.channels) and np.isfinite(pictures).all()
    files = {path.suffix for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {".json", ".safetensors"}


def test_a_trained_run_scores_the_same_there_and_back(tmp_path, judged):
    run, out = tmp_path / "run", tmp_path / "out"
    flags = ("--data", judged.path, "--out", run, "--steps", 12, *QUICK, "--family.net", "unet2d")
    done("train", "flow", *flags)
    write_sampling(run, plugins.load("families", "flow").Sampling(steps=5, guidance=2.0))
    answer = done("export", run, "--to", "diffusers", "--out", out, "--json").json
    assert answer["pipeline"] == "ConsistencyModelPipeline" and answer["largest_difference"] < 1e-4
    score = ("--data", judged.path, "--num", 60, "--metrics", "kid", "accuracy", "--json")
    before, after = done("eval", run, f"diffusers:{out}", *score).json["runs"]
    for name, value in before["scores"].items():
        assert after["scores"][name]["value"] == pytest.approx(value["value"], rel=0.02, abs=0.02), name
        assert after["scores"][name]["protocol"] == value["protocol"], name
    assert json.loads((out / "figment.json").read_text())["classes"] == list("0123456789")


@pytest.mark.parametrize(
    ("family", "spec", "settings", "reason"),
    [
        ("flow", PLAIN, {"net": "unet"}, "norms over the channels of a pixel, and a way past them"),
        ("flow", PLAIN, {"net": "dit", "attention_below": 8}, "a way past the norms, and other positions"),
        ("edm", PLAIN, {}, "a 'edm' is drawn as no pipeline of diffusers draws; train a flow or a ddpm"),
        ("flow", ImageSpec(1, 17, 24), {}, "17x24 pictures, whose sides 2 does not divide"),
        ("flow", ImageSpec(1, 16, 24, classes=("cat",)), {}, "pictures that are not square; train without them"),
        ("flow", ImageSpec(1, 16, 16, caption_bytes=8), {}, "captions or attributes"),
        ("ddpm", PLAIN, {"steps": 500}, "500 steps; train with --family.steps 1000"),
        ("ddpm", PLAIN, {"learn_variance": True}, "learnt variances"),
    ],
)
def test_what_diffusers_cannot_express_is_refused_by_its_name(tmp_path, family, spec, settings, reason):
    with pytest.raises(CapabilityError, match=reason) as told:
        diffusers.export(run_of(tmp_path / "run", family, spec, **settings), tmp_path / "out", diffusers.Config())
    assert "train" in str(told.value) or "resize" in str(told.value)
    assert "\n" not in str(told.value) and not (tmp_path / "out").exists()


def test_the_extra_is_named_where_it_is_missing(tmp_path, monkeypatch):
    import sys

    run = run_of(tmp_path / "run", "flow", PLAIN)
    monkeypatch.setitem(sys.modules, "diffusers", None)
    for module in ("figment.exports.diffusers", "figment.imports.diffusers"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    for words in (("export", run.folder, "--to", "diffusers"), ("sample", f"diffusers:{tmp_path}")):
        complaint = figment(*words, "--out", tmp_path / "out").complaint
        assert "needs the extra 'diffusers': pip install 'figment[diffusers]'" in complaint
