"""Models that others have trained, as runs: what diffusers draws, figment draws; and what is refused."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import figment as package
from figment.core import plugins
from figment.core.checkpoint import Inner, load_model
from figment.core.errors import CheckpointError, ConfigError
from figment.core.images import read_recipe, write_png
from figment.core.noise import noise
from figment.core.types import Condition, capabilities
from figment.data.captions import encode_captions
from figment.samplers import Sampling, guided
from figment.serve.drawing import draw
from figment.serve.runs import read_runs
from tests import pipelines
from tests.commands import contents, done, figment

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs

STEPS = 4


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folders of the tiny pipelines, by kind."""
    folder = tmp_path_factory.mktemp("pipelines")
    return {kind: make(folder / kind) for kind, make in pipelines.KINDS.items()}


def opened(folder: Path) -> Any:
    return load_model(Path(f"diffusers:{folder}"))


def own(folder: Path) -> Any:
    """The pipeline as its users have it."""
    import diffusers

    pipeline = diffusers.DiffusionPipeline.from_pretrained(folder, safety_checker=None)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@torch.no_grad()
def drawn(model: Any, scheduler: Any, start: torch.Tensor, condition: Condition | None, guidance: float = 1.0) -> Any:
    """What figment's DDIM draws from the state that a pipeline begins with, at the times that the pipeline visits."""
    scheduler.set_timesteps(STEPS)
    kept = scheduler.alphas_cumprod[scheduler.timesteps]
    sigmas = torch.cat([(1 / kept - 1).sqrt(), torch.zeros(1)])
    start = start * (1 + sigmas[0] ** 2).sqrt() / sigmas[0]  # diffusers keeps x / sqrt(1 + sigma^2)
    ddim = plugins.load("samplers", "ddim")
    *_, last = ddim.sample(guided(model, condition, Sampling(sampler="ddim", guidance=guidance)), start, sigmas)
    return (model.decode(last) if hasattr(model, "decode") else last).clamp(-1, 1)


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def as_given(pictures: Any) -> torch.Tensor:
    """(B, H, W, C) from 0 to 1, as pipelines answer, as (B, C, H, W) in [-1, 1]."""
    return 2 * torch.from_numpy(pictures).permute(0, 3, 1, 2) - 1


def test_pictures_without_a_condition_are_those_of_the_pipeline(made):
    loaded, pipeline = opened(made["ddpm"]), own(made["ddpm"])
    theirs = pipeline(3, torch.Generator().manual_seed(7), num_inference_steps=STEPS, output_type="np").images
    mine = drawn(loaded.model, pipeline.scheduler, normal(3, 1, 8, 8), None)
    assert (mine - as_given(theirs)).abs().max() < 1e-3 and mine.std() > 0.1
    assert loaded.spec.shape == (1, 8, 8) and capabilities(loaded.model) == ("Generates", "Denoises")


def test_pictures_of_classes_are_those_of_the_pipeline(made):
    loaded, pipeline = opened(made["dit"]), own(made["dit"])
    generator = torch.Generator().manual_seed(7)
    theirs = pipeline([2, 7], 3.0, generator, num_inference_steps=STEPS, output_type="np").images
    start, asked = normal(2, 4, 4, 4), Condition(labels=torch.tensor([2, 7]))
    mine = drawn(loaded.model, pipeline.scheduler, start, asked, guidance=3.0)
    assert (mine - as_given(theirs)).abs().max() < 1e-3 and mine.std() > 0.1
    other = drawn(loaded.model, pipeline.scheduler, start, Condition(labels=torch.tensor([3, 7])), guidance=3.0)
    moved = (other - mine).abs().flatten(1).amax(1)
    assert moved[0] > 0.01 and moved[1] < 1e-5
    assert loaded.spec.classes[:4] == ("tench, Tinca tinca", "crane (1)", "crane (2)", "3")
    assert loaded.spec.num_classes == 1000 and loaded.sampling.guidance == 4.0  # what the pipeline itself would take


def test_pictures_of_captions_are_those_of_the_pipeline(made):
    loaded, pipeline = opened(made["stable"]), own(made["stable"])
    start, texts = normal(2, 4, 4, 4), ["a cat", "dog"]
    theirs = pipeline(texts, guidance_scale=3.0, num_inference_steps=STEPS, latents=start, output_type="np").images
    rows = torch.from_numpy(encode_captions(texts, loaded.spec.caption_bytes).copy())
    mine = drawn(loaded.model, pipeline.scheduler, start, Condition(captions=rows), guidance=3.0)
    assert (mine - as_given(theirs)).abs().max() < 1e-3 and mine.std() > 0.05
    open_ = drawn(loaded.model, pipeline.scheduler, start, None)
    assert (open_ - mine).abs().max() > 1e-3
    assert loaded.sampling.guidance == 7.5 and "Encodes" in capabilities(loaded.model)


@pytest.mark.parametrize("target", ["epsilon", "v_prediction", "sample"])
def test_every_target_means_the_clean_picture_that_the_scheduler_takes_it_for(tmp_path, target):
    import diffusers

    scheduler = diffusers.DDIMScheduler(prediction_type=target, beta_schedule="squaredcos_cap_v2", clip_sample=True)
    model = opened(pipelines.ddpm(tmp_path, scheduler)).model
    scheduler.set_timesteps(1000)
    for time in (0, 3, 500, 900):
        x_t = normal(2, 1, 8, 8)
        theirs = scheduler.step(model.asked.net(x_t, time).sample, time, x_t).pred_original_sample
        kept = scheduler.alphas_cumprod[time]
        mine = model.denoise(x_t / kept.sqrt(), (1 / kept - 1).sqrt().expand(2))
        assert (mine - theirs).abs().max() < 1e-3, time


def test_a_flow_is_told_its_own_time(tmp_path):
    import diffusers

    model = opened(pipelines.ddpm(tmp_path, diffusers.FlowMatchEulerDiscreteScheduler())).model
    x_t, t = normal(2, 1, 8, 8), torch.tensor([0.25, 0.5])
    theirs = x_t - t.view(2, 1, 1, 1) * model.asked.net(x_t, 1000 * t).sample
    mine = model.denoise(x_t / (1 - t).view(2, 1, 1, 1), t / (1 - t))
    assert (mine - theirs).abs().max() < 1e-5 and (model.sigma_min, model.sigma_max) == (0.02, 80.0)


def test_classes_without_one_for_none_must_be_named(tmp_path):
    loaded = opened(pipelines.ddpm(tmp_path, num_class_embeds=3))
    model, start = loaded.model, normal(2, 1, 8, 8)
    assert loaded.spec.classes == ("0", "1", "2") and loaded.sampling.guidance == 1.0
    model.generate(start, Condition(labels=torch.tensor([0, 2])), loaded.sampling)
    with pytest.raises(ConfigError, match="no picture without a class; give --label"):
        model.generate(start, None, loaded.sampling)


@pytest.mark.parametrize("kind", pipelines.KINDS)
def test_a_row_depends_on_its_own_arguments_alone(made, kind):
    model = opened(made[kind]).model
    start, settings = noise(range(3), model), Sampling(steps=2)
    both = model.generate(start, None, settings)
    assert (both[1:2] - model.generate(start[1:2], None, settings)).abs().max() < 2 / 255


def test_it_is_sampled_edited_and_scored_as_any_run(made, tmp_path, judged):
    run, quick = f"diffusers:{made['ddpm']}", ("--sampling.steps", 2)
    done("sample", run, "--num", 4, "--out", tmp_path / "grid.png", *quick)
    done("sample", run, "--again", tmp_path / "grid.png", "--out", tmp_path / "again.png")
    first, again = (tmp_path / name for name in ("grid.png", "again.png"))
    assert first.read_bytes() == again.read_bytes() and read_recipe(first)["family"] == "diffusers"
    write_png(tmp_path / "photo.png", judged.images(judged.held_out)[0], {})
    done("edit", "upscale", run, tmp_path / "photo.png", "--out", tmp_path / "large.png", *quick)
    score = ("--data", judged.path, "--num", 40, "--metrics", "kid", "--json")
    (answer,) = done("eval", run, *score).json["runs"]
    assert answer["family"] == "diffusers" and answer["scores"]["kid"]["num_fake"] == 40
    assert "does not know what it was trained on; give --data" in figment("audit", run).complaint


def test_a_text_pipeline_is_sampled_and_edited(made, tmp_path, judged):
    run, quick = f"diffusers:{made['stable']}", ("--sampling.steps", 2, "--caption", "a cat")
    done("sample", run, "--num", 2, "--out", tmp_path / "cats", *quick)
    assert [file.name for file in sorted((tmp_path / "cats/a cat").iterdir())] == ["0.png", "1.png"]
    write_png(tmp_path / "photo.png", judged.images(judged.held_out)[0], {})
    done("edit", "redraw", run, tmp_path / "photo.png", "--out", tmp_path / "drawn.png", *quick)


def test_it_is_served(made):
    class Nobody:
        def step(self, done, total, clean):
            assert clean is None or clean.isfinite().all()

    (served,) = read_runs([Path(f"diffusers:{made['dit']}")]).values()
    assert served.steps == 18 and "inpaint" in served.edits and served.has_preview
    row = {"seed": 5, "label": served.places("crane (2)", 1)[0], "caption": ""}
    loaded = opened(made["dit"])
    alone, first, other = (
        np.asarray(Image.open(io.BytesIO(picture))).astype(int)
        for rows in ([row], [row, row | {"seed": 6}])
        for picture in draw(loaded, rows, Sampling(steps=2), Nobody())
    )
    assert np.abs(alone - first).max() <= 1 < np.abs(alone - other).max()


def test_python_opens_it_too(made):
    model = package.from_pretrained(f"diffusers:{made['ddpm']}")
    assert model.noise_shape() == (1, 8, 8) and not any(weights.requires_grad for weights in model.parameters())


# What is refused.


def refused(folder: Path) -> str:
    """The one line that says why a folder is no run."""
    return figment("sample", f"diffusers:{folder}", "--out", folder / "x.png").complaint


def changed(made: Path, copy: Path, file: str, **values: Any) -> Path:
    """A copy of a pipeline in which a JSON file says something else."""
    import shutil

    shutil.copytree(made, copy)
    (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | values))
    return copy


def test_pickles_are_refused_and_not_read(made, tmp_path):
    folder = changed(made["ddpm"], tmp_path / "ddpm", "model_index.json")
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.rename(weights.with_suffix(".bin"))
    assert "diffusion_pytorch_model.bin: is a pickle, which can run code; save the pipeline with" in refused(folder)


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("model_index.json", {"_class_name": ["pipeline", "Mine"]}),
        ("model_index.json", {"_class_name": "Mine"}),
        ("model_index.json", {"unet": ["mine", "Net"]}),
        ("unet/config.json", {"auto_map": {"AutoModel": "mine.Net"}}),
    ],
    ids=["pipeline", "class", "part", "map"],
)
def test_code_of_others_is_refused_and_not_run(made, tmp_path, file, values):
    folder = changed(made["ddpm"], tmp_path / "ddpm", file, **values)
    for place in ("pipeline.py", "unet/mine.py", "mine.py"):
        (folder / place).write_text("raise SystemExit('it ran')")
    assert "is no class of diffusers" in refused(folder) and "code from a folder is not run" in refused(folder)


def test_what_is_no_pipeline_or_a_damaged_one_is_said_in_one_line(made, tmp_path):
    assert "no such file; give a folder that a pipeline of diffusers was saved in" in refused(tmp_path)
    folder = changed(made["ddpm"], tmp_path / "ddpm", "model_index.json")
    (weights,) = (folder / "unet").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "diffusers does not open it" in refused(folder)
    weights.unlink()
    assert "diffusers does not open it" in refused(folder)


def test_pipelines_that_cannot_be_followed_are_named(made, tmp_path):
    import diffusers

    folder = pipelines.ddpm(tmp_path / "edm", diffusers.EDMEulerScheduler())
    assert "its scheduler, EDMEulerScheduler, is none that figment can follow" in refused(folder)
    folder = pipelines.stable(tmp_path / "inpaint", in_channels=9)
    assert "its unet wants more than latents, a time and words (in_channels)" in refused(folder)
    assert "a LDMPipeline is none that figment can follow" in refused(pipelines.quantized(tmp_path / "ldm"))


def test_what_figment_did_not_train_is_not_shipped_as_a_run_nor_built_into_one(made, tmp_path):
    run = f"diffusers:{made['stable']}"
    for words in (("export", run, "--to", "hub"), ("tune", run, "--data", tmp_path)):
        assert "only its own runs can be shipped or tuned" in figment(*words, "--out", tmp_path / "out").complaint
    with pytest.raises(CheckpointError, match="only its own runs can be shipped or tuned"):
        package.save_pretrained(run, tmp_path / "out")
    with pytest.raises(CheckpointError, match="cannot be part of a run"):
        Inner.of(load_model(Path(run)))


def test_the_digest_is_of_weights_and_settings(made, tmp_path):
    same = changed(made["ddpm"], tmp_path / "same", "unet/config.json")
    other = changed(made["ddpm"], tmp_path / "other", "scheduler/scheduler_config.json", beta_end=0.03)
    digests = [opened(folder).digest for folder in (made["ddpm"], same, other)]
    assert len(set(digests)) == 3 and contents(same) != contents(other)  # laid out anew is another file
    assert digests[0] == opened(made["ddpm"]).digest
