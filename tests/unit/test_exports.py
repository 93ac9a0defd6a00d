"""Exports: what is carried elsewhere answers as the run does, and says what it is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import figment as package
from figment.core.checkpoint import load_model
from figment.core.errors import CapabilityError, CheckpointError, ConfigError
from figment.core.images import read_recipe, to_uint8
from figment.core.noise import noise
from figment.core.types import Condition
from figment.exports import Run, _standalone, hub, int8, onnx
from tests.commands import QUICK, contents, done, figment


@pytest.fixture(scope="module")
def runs(tmp_path_factory, digits):
    """Runs of a few steps, by family."""
    made: dict[str, Path] = {}

    def of(family: str, *words: object) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp("runs") / family
            done("train", family, "--data", digits.path, "--out", made[family], "--steps", 8, *QUICK, *words)
        return made[family]

    return of


def carried(target: Any, run: Path, out: Path, **config: Any) -> dict[str, Any]:
    return target.export(Run(run, load_model(run)), out, target.Config(**config))


@pytest.mark.parametrize("family", ["gan", "vae", "dcgan"])
def test_a_generator_becomes_one_graph_that_draws_the_same_pictures(tmp_path, runs, family):
    facts = carried(onnx, runs(family), tmp_path)
    assert facts["graphs"] == ["generator"] and facts["largest_difference"] < 1e-4
    model: Any = load_model(runs(family)).model
    start, labels = noise(range(5), model), torch.arange(5)  # another number of rows than it was traced with
    mine = _standalone.draw(tmp_path, start.numpy(), {"labels": labels.numpy()})
    theirs = to_uint8(model.generate(start, Condition(labels=labels)))
    assert np.abs(mine.astype(int) - theirs).max() <= 1


def test_a_denoiser_is_followed_by_the_script_as_figments_sampler_would(tmp_path, runs):
    from figment.families.flow import Sampling

    carried(onnx, runs("flow"), tmp_path, steps=6, guidance=2.0)
    model: Any = load_model(runs("flow")).model
    start, labels = noise(range(4), model), torch.tensor([3, 1, 4, 1])
    mine = _standalone.draw(tmp_path, start.numpy(), {"labels": labels.numpy()})
    theirs = to_uint8(model.generate(start, Condition(labels=labels), Sampling(steps=6, guidance=2.0)))
    assert np.abs(mine.astype(int) - theirs).max() <= 1


def test_a_latent_model_brings_its_decoder(tmp_path, runs, digits):
    run = runs("latent", "--family.autoencoder", runs("autoencoder"))
    facts = carried(onnx, run, tmp_path, steps=4, guidance=1.0)
    assert facts["graphs"] == ["decoder", "denoiser"]
    from figment.families.latent import Sampling

    model: Any = load_model(run).model
    start = noise(range(2), model)
    theirs = to_uint8(model.generate(start, Condition(labels=torch.tensor([0, 1])), Sampling(steps=4, guidance=1.0)))
    mine = _standalone.draw(tmp_path, start.numpy(), {"labels": np.array([0, 1])})
    assert np.abs(mine.astype(int) - theirs).max() <= 1


def test_the_script_needs_no_figment(tmp_path, runs):
    carried(onnx, runs("gan"), tmp_path / "graphs")
    script = tmp_path / "graphs" / onnx._graphs.SCRIPT
    code = "import sys; sys.modules['figment'] = sys.modules['torch'] = None; import runpy; runpy.run_path(sys.argv[1])"
    subprocess.run([sys.executable, "-W", "error", "-c", code, script], check=True)
    words = ("--num", "3", "--label", "7", "--out", str(tmp_path / "pictures"))
    subprocess.run([sys.executable, script, *words], check=True, capture_output=True)
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["0.png", "1.png", "2.png"]
    spec = importlib.util.spec_from_file_location("draw", script)
    assert spec and spec.loader


def test_eight_bits_are_a_third_of_the_size_and_nearly_the_same_pictures(tmp_path, runs):
    facts = carried(int8, runs("vae"), tmp_path)
    assert facts["bytes_after"] < 0.4 * facts["bytes_before"]
    assert facts["psnr_db"] > 25 and facts["milliseconds_after"] > 0
    told = json.loads((tmp_path / "graphs.json").read_text())
    zeros = np.zeros((2, *told["noise"]), np.float32)
    assert _standalone.draw(tmp_path, zeros, _standalone.condition(told, 2)).shape == (2, 8, 8, 1)


def test_a_model_that_draws_nothing_has_no_graph(tmp_path, runs):
    with pytest.raises(CapabilityError, match="draws no pictures; export a run that generates"):
        carried(onnx, runs("classifier"), tmp_path)


# The hub.


def test_the_card_says_what_the_run_is_and_how_good(tmp_path, runs, judged):
    run = runs("gan")
    answer = done("eval", run, "--data", judged.path, "--num", 50, "--metrics", "fd", "--json")
    (tmp_path / "scores.json").write_text(answer.out)
    facts = carried(hub, run, tmp_path / "out", scores=tmp_path / "scores.json", licence="cc0-1.0")
    card = (tmp_path / "out/README.md").read_text()
    assert facts["scores"] == ["fd"] and "| fd |" in card and "judge classifier" in card
    assert card.startswith("---\nlicense: cc0-1.0\n") and "8 steps" in card
    assert read_recipe(tmp_path / "out/samples.png")["run"] == load_model(run).digest
    same = contents(run / "model") == contents(tmp_path / "out/model")
    assert same and package.from_pretrained(tmp_path / "out").noise_shape() == (16,)


def test_scores_of_another_run_are_refused(tmp_path, runs):
    (tmp_path / "scores.json").write_text(json.dumps({"runs": [{"run": "elsewhere", "scores": {}}]}))
    with pytest.raises(ConfigError, match=r"holds no scores of .*; evaluate that run"):
        carried(hub, runs("gan"), tmp_path / "out", scores=tmp_path / "scores.json")
    (tmp_path / "scores.json").write_text("{")
    with pytest.raises(ConfigError, match="give what 'figment eval RUN"):
        carried(hub, runs("gan"), tmp_path / "out", scores=tmp_path / "scores.json")


def test_what_was_saved_is_loaded_and_what_is_not_there_is_said(tmp_path, runs):
    package.save_pretrained(runs("gan"), tmp_path / "saved")
    before, after = load_model(runs("gan")).model, package.from_pretrained(tmp_path / "saved")
    assert all(torch.equal(before.state_dict()[name], one) for name, one in after.state_dict().items())
    with pytest.raises(CheckpointError, match="is no folder here, and the hub does not give it"):
        package.from_pretrained("no such/name at all")


# The verb.


def test_the_verb_writes_where_there_is_room(tmp_path, runs):
    answer = done("export", runs("gan"), "--to", "onnx", "--out", tmp_path / "out", "--json").json
    assert answer["to"] == "onnx" and (tmp_path / "out/generator.onnx").stat().st_size == answer["generator_bytes"]
    again = figment("export", runs("gan"), "--to", "onnx", "--out", tmp_path / "out")
    assert (
        again.complaint == f"--out {tmp_path / 'out'}: is not empty; give another folder, or --fresh to write into it"
    )
    assert figment("export", runs("gan"), "--to", "onyx", "--out", tmp_path / "new").complaint.startswith(
        "--to onyx; did you mean 'onnx'?"
    )
    assert figment("export").complaint == "name a run first: figment export RUN --to onnx --out FOLDER"
