"""Walks among a model's pictures (slide, interpolate, animate, traverse, mix), and finding a given one among them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch

from figment.core import plugins
from figment.core.checkpoint import write_model
from figment.core.engine import seeded
from figment.core.errors import CapabilityError, ConfigError
from figment.core.noise import noise
from figment.core.types import Condition, ImageSpec
from figment.edits import Request, fits, require
from figment.edits._directions import open_axes
from figment.edits._walk import evenly, largest_step, slerp
from figment.samplers import Sampling
from tests.doubles import Patterns

SPEC = Patterns.spec


@cache
def model_of(family):
    """An untrained model of a family, or the double; loud enough that its pictures differ."""
    if family == "patterns":
        return Patterns()
    module = plugins.load("families", family)
    with seeded(0):
        return module.build(module.Config.preset("tiny"), SPEC).model.eval()


def asked(labels):
    return Condition(labels=torch.tensor(labels))


def run(edit, family, *, seeds=(3,), images=(), labels=None, settings=None, **config):
    model, module = model_of(family), plugins.load("edits", edit)
    condition = None if labels is None else asked(labels)
    request = Request(SPEC, images=images, seeds=seeds, condition=condition, settings=settings)
    require(edit, model, request)
    return module.edit(model, request, module.Config(**config))


def drawn(family, *seeds, labels=None):
    model = model_of(family)
    with torch.no_grad():
        return model.generate(noise(seeds, model), None if labels is None else asked(labels))


def distance(first, second):
    return float((first - second).square().mean().sqrt())


WALKS = [
    ("slide", "patterns", {"to": "red", "stops": 3}),
    ("slide", "stylegan2", {"to": "red", "stops": 3}),
    ("animate", "gan", {"frames": 5}),
    ("animate", "patterns", {"frames": 5}),
    ("traverse", "gan", {"directions": 2, "stops": 3}),
    ("traverse", "infogan", {"directions": 3, "stops": 3}),
    ("traverse", "stylegan2", {"directions": 2, "stops": 3}),
    ("traverse", "patterns", {"directions": 2, "stops": 3}),
    ("mix", "stylegan2", {}),
]


@pytest.mark.parametrize(("edit", "family", "config"), WALKS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_row_is_that_of_its_seed_alone(edit, family, config):
    both = run(edit, family, seeds=(5, 3), labels=[1, 0], **config).images
    alone = run(edit, family, seeds=(3,), labels=[0], **config).images
    assert both.shape[0] == 2
    assert both.abs().max() <= 1
    assert (both[1] - alone[0]).abs().max() < 1 / 255
    assert distance(both[0], both[1]) > 1e-3


def test_the_sphere_keeps_the_length_of_noise_and_meets_both_ends():
    start, end = torch.randn(2, 3000, generator=torch.Generator().manual_seed(0)).unbind()
    way = slerp(start, end, torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(way[[0, 2]], torch.stack([start, end]), atol=1e-5)
    assert way[1].norm() == pytest.approx(float(start.norm()), rel=0.05)  # a straight line would be 30% shorter
    assert torch.equal(slerp(start, start, torch.tensor([0.5]))[0], start)


def test_frames_lie_evenly_where_a_model_changes_all_at_once():
    def draw(times):
        return torch.tanh(40 * (times - 0.5)).view(-1, 1, 1, 1)

    assert largest_step(draw(torch.linspace(0, 1, 24))) > 50
    frames = evenly(draw, 24)
    assert len(frames) == 24
    assert largest_step(frames) < 3
    assert torch.equal(frames[[0, -1]], draw(torch.tensor([0.0, 1.0])))


@pytest.mark.parametrize("family", ["patterns", "gan", "flow"])
def test_a_walk_between_seeds_begins_and_ends_with_their_pictures(family):
    answer = run("interpolate", family, seeds=(1, 2, 3), labels=[0, 0, 0], frames=8)
    frames, ends = answer.images[0], drawn(family, 1, 2, 3, labels=[0, 0, 0])
    assert answer.images.shape == (1, 15, *SPEC.shape)
    assert (frames[[0, 7, 14]] - ends).abs().max() < 1 / 255
    assert answer.figures["largest_step_over_median"] == pytest.approx(largest_step(frames))
    assert largest_step(frames) <= 3


def test_a_walk_between_photos_meets_both():
    photos = tuple(drawn("patterns", 11, 12).split(1))
    frames = run("interpolate", "patterns", images=photos, frames=6).images[0]
    assert distance(frames[0], photos[0]) < 0.02
    assert distance(frames[-1], photos[1]) < 0.02
    with pytest.raises(ConfigError, match="1 was given; give two"):
        run("interpolate", "patterns", images=photos[:1])
    with pytest.raises(ConfigError, match="--num 2"):
        run("interpolate", "patterns")


def test_a_loop_comes_back_and_goes_further_the_wider_it_is():
    loop = run("animate", "patterns", frames=16).images[0]
    assert largest_step(torch.cat([loop, loop[:1]])) < 3
    wide = run("animate", "patterns", frames=16, reach=90.0).images[0]
    assert wide.std(0).mean() > 1.5 * loop.std(0).mean()


def test_the_ends_of_a_slide_are_what_each_class_looks_like():
    frames = run("slide", "patterns", labels=[0], to="red", stops=3).images[0]
    first, last = drawn("patterns", 3, 3, labels=[0, 1])
    assert torch.allclose(frames[0], first, atol=1e-5)
    assert torch.allclose(frames[2], last, atol=1e-5)
    inside = frames.abs().amax(0) < 0.99  # where nothing is cut off, all is linear: the middle stop is the mean
    assert torch.allclose(frames[1][inside], ((first + last) / 2)[inside], atol=1e-4)


def test_a_slide_along_an_attribute_asks_for_each_value():
    class Tall(Patterns):
        spec = ImageSpec(3, 8, 8, attributes=("age", "tall"))

        def denoise(self, noisy, sigma, condition=None):
            assert condition.attributes[:, 0].isnan().all()
            return condition.attributes[:, 1].view(-1, 1, 1, 1).expand_as(noisy)

    module, model = plugins.load("edits", "slide"), Tall()
    request = Request(model.spec, settings=Sampling(guidance=1.0))
    frames = module.edit(model, request, module.Config(attribute="tall", low=-0.5, high=0.5, stops=3)).images[0]
    assert frames.mean((1, 2, 3)).tolist() == pytest.approx([-0.5, 0.0, 0.5], abs=1e-6)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "give --edit.to CLASS; there are: dark, red"),
        ({"to": "rad"}, "--edit.to rad: .* did you mean 'red'"),
        ({"attribute": "age"}, "--edit.attribute age: this run has no such"),
        ({"to": "red", "attribute": "age"}, "give one of the two"),
        ({"to": "red", "low": 0.5}, "give --edit.attribute NAME too"),
    ],
)
def test_a_slide_says_where_it_can_go(config, message):
    with pytest.raises(ConfigError, match=message):
        run("slide", "patterns", **config)


def test_what_is_open_about_a_picture_is_what_the_exact_denoiser_says():
    model, sigma = Patterns(), torch.tensor(1.5)
    axes = open_axes(model.denoise, torch.zeros(1, *SPEC.shape), sigma, 3).flatten(1)
    deviations = (model.variances * sigma**2 / (model.variances + sigma**2)).sqrt()[:3]
    assert torch.allclose(axes.norm(dim=1), deviations, rtol=0.02)
    along = (axes / deviations[:, None]) @ model.axes[:3].T
    assert torch.allclose(along.abs(), torch.eye(3), atol=0.1)


@pytest.mark.parametrize("family", ["gan", "vae", "stylegan2"])
def test_the_middle_of_a_direction_is_the_seeds_own_picture(family):
    answer = run("traverse", family, directions=3, stops=5)
    rows = answer.images[0].unflatten(2, (3, 8)).movedim(2, 0)  # (directions, stops, C, H, W)
    assert rows.shape == (3, 5, *SPEC.shape)
    assert answer.extras["sheet"].shape == (1, 3, 3 * 8, 5 * 8)
    assert torch.equal(answer.extras["sheet"][0, :, :8, 8:16], rows[0, 1])
    model = model_of(family)
    with torch.no_grad():
        own = model.synthesize(model.map(noise([3], model))) if family == "stylegan2" else drawn(family, 3)
    for row in rows:
        assert (row[2] - own[0]).abs().max() < 1e-5
    spans = [distance(row[0], row[-1]) for row in rows]
    assert spans[0] > 0


def test_the_first_direction_of_noise_changes_pictures_more_than_others_do():
    model = model_of("gan")
    rows = run("traverse", "gan", directions=16, stops=2).images[0].unflatten(2, (16, 8)).movedim(2, 0)
    spans = [distance(row[0], row[-1]) for row in rows]
    assert len(spans) == model.latents
    assert sum(spans[:4]) > 1.5 * sum(spans[-4:])


def test_codes_are_shown_where_a_model_has_them():
    model = model_of("infogan")
    rows = run("traverse", "infogan", directions=3, stops=10).images[0].unflatten(2, (3, 8)).movedim(2, 0)
    assert len(rows) == 1 + model.parts[2]
    assert len(torch.unique(rows[0].flatten(1), dim=0)) == model.parts[1]  # ten stops, ten categories
    for row in rows[1:]:
        assert distance(row[0], row[-1]) > 0


def test_mixing_takes_the_fine_layers_of_the_other_seed():
    answer = run("mix", "stylegan2", seeds=(3,), fine=4)
    coarse, fine = answer.extras["coarse"], answer.extras["fine"]
    assert distance(answer.images, coarse) > 1e-3
    assert distance(answer.images, fine) > 1e-3
    assert torch.equal(run("mix", "stylegan2", seeds=(4,), fine=4).images, fine)
    layers = model_of("stylegan2").synthesis.styles
    nearly = run("mix", "stylegan2", seeds=(3,), fine=4, crossover=layers - 1).images
    assert distance(nearly, coarse) < distance(answer.images, coarse)
    with pytest.raises(ConfigError, match=f"give 1 to {layers - 1}"):
        run("mix", "stylegan2", crossover=layers)


def test_edits_are_offered_to_the_models_that_can():
    fit = {
        name: [edit for edit in ("mix", "slide", "traverse", "invert") if fits(edit, model_of(name))] for name in MODELS
    }
    assert fit == MODELS


MODELS = {
    "patterns": ["slide", "traverse", "invert"],
    "gan": ["traverse", "invert"],
    "stylegan2": ["mix", "slide", "traverse", "invert"],
}


@pytest.mark.parametrize(("family", "steps"), [("gan", 150), ("vae", 100), ("stylegan2", 60)])
def test_a_search_comes_nearer_than_any_of_many_draws(family, steps):
    photo = drawn(family, 99)
    nearest = (drawn(family, *range(200)) - photo).square().mean((1, 2, 3))
    nearest = torch.cat([nearest[:99], nearest[100:]]).min()
    answer = run("invert", family, images=(photo,), steps=steps)
    assert (answer.images - photo).square().mean() < nearest / 2
    assert answer.figures["psnr_db"] > float(10 * torch.log10(4 / nearest)) + 3


@pytest.mark.parametrize("settings", [None, Sampling(sampler="euler", steps=9)], ids=["default", "coarse"])
def test_the_way_backwards_finds_the_noise_of_a_picture(settings):
    photo = drawn("patterns", 21, labels=[1])
    answer = run("invert", "patterns", images=(photo,), labels=[1], settings=settings)
    assert answer.figures["psnr_db"] > 40


def test_photos_of_another_size_are_fitted():
    photo = torch.nn.functional.interpolate(drawn("patterns", 21), scale_factor=4, mode="bicubic").clamp(-1, 1)
    wide = torch.cat([-torch.ones(1, 3, 32, 10), photo, torch.ones(1, 3, 32, 10)], 3)
    answer = run("invert", "patterns", images=(wide,))
    assert answer.images.shape == (1, *SPEC.shape)
    assert answer.figures["psnr_db"] > 20


def test_a_judge_has_a_say_in_the_search(tmp_path):
    classifier = plugins.load("families", "classifier")
    config = classifier.Config.preset("tiny")
    with seeded(0):
        judge = classifier.build(config, SPEC).model
    write_model(tmp_path / "judge/model", judge.state_dict(), "classifier", config, SPEC, {})
    photo = Patterns().generate(noise([7], Patterns()))
    plain, judged = (
        run("invert", "gan", images=(photo,), steps=60, judge=name).images for name in ("", str(tmp_path / "judge"))
    )
    judge.eval()
    with torch.no_grad():
        far, near = (distance(judge.features(one), judge.features(photo)) for one in (plain, judged))
    assert near < far
    with pytest.raises(ConfigError, match="walked backwards; leave it out"):
        run("invert", "patterns", images=(photo,), judge=str(tmp_path / "judge"))
    with pytest.raises(ConfigError, match="sees pictures of 3 channels, these have 1"):
        module, grey = plugins.load("edits", "invert"), replace(SPEC, channels=1)
        request = Request(grey, images=(photo[:, :1],))
        module.edit(model_of("gan"), request, module.Config(judge=str(tmp_path / "judge")))


def test_a_model_without_a_gradient_is_refused():
    class Stepwise:
        def noise_shape(self):
            return (3, 8, 8)

        @torch.no_grad()
        def generate(self, noise, condition=None, settings=None):
            return noise.sign()

    for edit in ("invert", "traverse"):
        module = plugins.load("edits", edit)
        request = Request(SPEC, images=(torch.zeros(1, 3, 8, 8),) if edit == "invert" else ())
        with pytest.raises(CapabilityError, match="do not change smoothly with their noise"):
            module.edit(Stepwise(), request, module.Config())
