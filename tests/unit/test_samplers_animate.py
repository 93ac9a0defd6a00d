"""`figment sample --animate`: a GIF that goes from noise to the very pictures that are drawn without it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageSequence

from figment.core import plugins
from figment.core.checkpoint import write_model
from figment.core.engine import seeded
from figment.core.types import ImageSpec
from tests.commands import done, figment


@pytest.fixture(scope="module", params=[1, 3, 4], ids=["grey", "rgb", "alpha"])
def flow(request, tmp_path_factory):
    """A run of a small flow whose weights are drawn at random."""
    folder, module = tmp_path_factory.mktemp("run"), plugins.load("families", "flow")
    config, spec = module.Config.preset("tiny"), ImageSpec(request.param, 6, 8, classes=("a", "b"))
    with seeded(0):
        model = module.build(config, spec).model
        for weight in model.parameters():
            weight.data.normal_(std=0.1)
    write_model(folder / "model", model.state_dict(), "flow", config, spec, {})
    return folder


def frames(path):
    with Image.open(path) as picture:
        return [np.array(one.convert("RGBA")) for one in ImageSequence.Iterator(picture)]


def test_it_goes_from_noise_to_the_pictures_of_the_seeds(flow, tmp_path):
    done("sample", flow, "--out", tmp_path / "way.gif", "--animate", "--num", 70, "--sampling.steps", 5)
    done("sample", flow, "--out", tmp_path / "end.png", "--num", 70, "--sampling.steps", 5)
    way = frames(tmp_path / "way.gif")
    with Image.open(tmp_path / "end.png") as picture:
        ground = Image.new("RGBA", picture.size, "white")
        end = np.array(Image.alpha_composite(ground, picture.convert("RGBA"))).astype(int)
    assert len(way) == 6
    far = [np.abs(frame.astype(int) - end).mean() for frame in way]
    assert far == sorted(far, reverse=True) and far[0] > 5 * far[-1]
    assert far[-1] < (0.01 if picture.mode == "L" else 8)  # of 256 colours


def test_noise_fades_evenly_and_the_recipe_is_in_the_comment(flow, tmp_path):
    answer = done("sample", flow, "--out", tmp_path / "way.gif", "--animate", "--num", 2, "--json").json
    assert answer == {"out": str(tmp_path / "way.gif"), "num": 2, "files": [str(tmp_path / "way.gif")]}
    with Image.open(tmp_path / "way.gif") as picture:
        shown = [one.info["duration"] for one in ImageSequence.Iterator(picture)]
        recipe = json.loads(picture.info["comment"])
    assert shown[0] < shown[9] and shown[-1] == 2000
    assert abs(sum(shown[:-1]) - 2500) < 200
    assert recipe["seeds"] == [0, 1] and recipe["settings"]["steps"] == 18


def test_what_cannot_be_animated_is_refused(flow, tmp_path):
    still = figment("sample", flow, "--out", tmp_path / "way.png", "--animate")
    assert "--animate moves; give a .gif file" in still.complaint
    module = plugins.load("families", "vae")
    config, spec = module.Config.preset("tiny"), ImageSpec(1, 8, 8)
    model = module.build(config, spec).model
    write_model(tmp_path / "vae" / "model", model.state_dict(), "vae", config, spec, {})
    told = figment("sample", tmp_path / "vae", "--out", tmp_path / "way.gif", "--animate").complaint
    assert "--animate: this run does not denoise step by step" in told
