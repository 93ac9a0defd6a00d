"""Edits of how pictures look: palette, restyle by patches and by features, redraw, variations."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.nn import functional as F

from figment.core import plugins
from figment.core.checkpoint import write_model
from figment.core.engine import seeded
from figment.core.errors import ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Condition, ImageSpec
from figment.edits import Request, require
from figment.edits._colours import sliced_distance, to_lab, to_rgb, with_colours_of
from figment.edits._palette import palette_of, transported
from figment.edits._patches import Grid, grids, nearest
from figment.samplers import Sampling
from figment.testing import tiny_settings
from tests.doubles import Patterns

SPEC = Patterns.spec
COLORS = "#264653,#e9c46a,#e76f51"


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def photo(height, width, *, channels=3, seed=0):
    """Something with shapes and texture."""
    coarse = F.interpolate(randn(1, channels, 5, 6, seed=seed), (height, width), mode="bicubic")
    return (0.5 * coarse + 0.15 * randn(1, channels, height, width, seed=seed + 1)).clamp(-1, 1)


def run(edit, *, model=None, image=None, style=None, seeds=(3,), label=None, settings=None, spec=None, **config):
    module = plugins.load("edits", edit)
    request = Request(
        spec or (SPEC if model else None),
        images=() if image is None else (image,),
        style=style,
        seeds=seeds,
        condition=None if label is None else Condition(labels=torch.full((len(seeds),), label)),
        settings=settings,
    )
    require(edit, model, request)
    return module.edit(model, request, module.Config(**config))


def psnr(first, second):
    return float(10 * torch.log10(4 / (first - second).square().mean().clamp_min(1e-12)))


# redraw and variations


@pytest.mark.parametrize("size", [(8, 8), (8, 13), (20, 17), (5, 6)])
def test_strength_0_gives_the_picture_back_and_little_of_it_little_else(size):
    image = photo(*size)
    assert torch.equal(run("redraw", model=Patterns(), image=image, strength=0.0).images, image)
    answer = run("redraw", model=Patterns(), image=image, strength=0.5, seeds=(1, 2)).images
    assert answer.shape == (2, 3, *size)
    assert answer.abs().max() <= 1


def test_strength_1_is_a_sample_of_the_seed():
    model = Patterns()
    answer = run("redraw", model=model, image=photo(8, 8), strength=1.0, seeds=(4, 5), label=1).images
    sample = model.generate(noise([4, 5], model), Condition(labels=torch.tensor([1, 1])))
    assert (answer - sample).abs().max() < 1 / 255


def test_more_strength_goes_further_from_the_picture():
    model = Patterns()
    image = model.generate(noise([8], model))
    away = [
        float((run("redraw", model=model, image=image, strength=s).images - image).norm()) for s in (0.01, 0.3, 0.6)
    ]
    assert 0 < away[0] < away[1] < away[2]


@pytest.mark.parametrize("edit", ["redraw", "variations"])
def test_each_seed_redraws_by_itself(edit):
    image = photo(12, 9)
    both = run(edit, model=Patterns(), image=image, seeds=(1, 2)).images
    alone = run(edit, model=Patterns(), image=image, seeds=(2,)).images
    assert (both[1] - alone[0]).abs().max() < 1 / 255
    assert (both[0] - both[1]).abs().max() > 0.05


def test_a_picture_is_led_to_a_label():
    image = photo(8, 8)
    dark, red = (
        run("redraw", model=Patterns(), image=image, strength=0.8, label=label).images[0].mean((1, 2))
        for label in (0, 1)
    )
    assert red[0] > dark[0] + 0.3


class Jumping(Patterns):
    """The same pictures by the exact end of the way out of noise: what is left of a pattern is its share of the sum."""

    asked = 0

    def end(self, noisy, sigma, condition=None):
        self.asked += 1
        mean = self.means[torch.full((len(noisy),), -1) if condition is None else condition.labels]
        share = (self.variances / (self.variances + sigma[:, None] ** 2)).sqrt()
        return mean + ((share * ((noisy - mean).flatten(1) @ self.axes.T)) @ self.axes).view_as(mean)


@pytest.mark.parametrize("edit", ["redraw", "variations"])
@pytest.mark.parametrize("strength", [0.3, 0.7, 1.0])
def test_a_model_that_jumps_comes_in_one_pass_where_a_sampler_comes_in_many(edit, strength):
    model, image = Jumping(), photo(8, 8)
    jumped = run(edit, model=model, image=image, strength=strength, seeds=(1, 2), label=1).images
    assert model.asked == 1
    many = Sampling(sampler="heun", steps=200, guidance=1.0)
    walked = run(edit, model=Patterns(), image=image, strength=strength, seeds=(1, 2), label=1, settings=many).images
    assert (jumped - walked).abs().max() < 0.01


def test_a_model_that_jumps_redraws_large_pictures_tile_by_tile():
    model = Jumping()
    both = run("redraw", model=model, image=photo(20, 17), seeds=(1, 2)).images
    alone = run("redraw", model=model, image=photo(20, 17), seeds=(2,)).images
    assert both.shape == (2, 3, 20, 17)
    assert (both[1] - alone[0]).abs().max() < 1 / 255


@pytest.fixture(scope="module")
def latent(tmp_path_factory):
    module = plugins.load("families", "latent")
    settings = tiny_settings("latent", ImageSpec(3, 8, 8), tmp_path_factory.mktemp("latent"))
    with seeded(0):
        return module.build(settings, ImageSpec(3, 8, 8)).model.eval()


def test_latents_are_redrawn_too(latent):
    few = Sampling(steps=4)
    whole = run("redraw", model=latent, image=photo(8, 8), strength=1.0, settings=few).images
    assert (whole - latent.generate(noise([3], latent), None, few)).abs().max() < 1 / 255
    tiles = run("redraw", model=latent, image=photo(12, 10), strength=0.4, settings=few).images
    assert tiles.shape == (1, 3, 12, 10)


def test_a_model_that_encodes_gives_variations():
    module = plugins.load("families", "vae")
    with seeded(0):
        model = module.build(module.Config.preset("tiny"), SPEC).model.eval()
    image = photo(8, 8)
    plain = run("variations", model=model, image=image, strength=0.0).images
    with torch.no_grad():
        assert torch.allclose(plain, model.decode(model.encode(image)).clamp(-1, 1))
    answer = run("variations", model=model, image=image, strength=0.5, seeds=(1, 2)).images
    assert answer.shape == (2, 3, 8, 8)
    assert not torch.equal(answer[0], answer[1])


# palette


@pytest.mark.parametrize("size", [(8, 8), (7, 12)])
def test_colours_survive_the_way_to_lab_and_back(size):
    image = photo(*size)
    assert torch.allclose(to_rgb(to_lab(image), size), image, atol=2 / 255)
    assert to_lab(torch.ones(1, 3, 1, 1)).tolist()[0][0] == pytest.approx([100, 0, 0], abs=0.05)


def test_the_distance_of_colours_is_zero_to_themselves_and_that_of_a_shift():
    colours = randn(1, 400, 3)
    assert float(sliced_distance(colours, colours[0])) == 0
    # moved by v, each direction u sees |<u, v>|, whose mean over the sphere is half of |v|
    assert float(sliced_distance(colours + torch.tensor([10.0, 0, 0]), colours[0])) == pytest.approx(5, rel=0.15)


def test_balanced_transport_gives_each_colour_its_share_and_is_the_cheapest():
    """With little entropy, against an exact assignment: as many colours as points."""
    colours, palette = 20 * randn(12, 3), 20 * randn(12, 3, seed=1)
    moved = transported(colours, palette, e=1.0, balance=1.0)
    rows, columns = linear_sum_assignment(torch.cdist(colours, palette).square().numpy())
    exact = palette[torch.tensor(columns)[torch.tensor(rows)]]
    assert (moved - exact).norm(dim=1).median() < 1
    nearest = palette[torch.cdist(colours, palette).argmin(1)]
    assert torch.allclose(transported(colours, palette, e=0.01, balance=0.0), nearest, atol=0.1)


@pytest.mark.parametrize("shading", [0.0, 0.5])
def test_a_picture_comes_nearer_to_its_palette_and_keeps_its_alpha(shading):
    image = torch.cat([photo(24, 19), randn(1, 1, 24, 19).clamp(-1, 1)], 1)
    answer = run("recolor", image=image, colors=COLORS, shading=shading)
    assert answer.images.shape == image.shape
    assert torch.equal(answer.images[:, 3:], image[:, 3:])
    assert answer.figures["colour_distance"] < (0.5 if shading == 0 else 0.8) * answer.figures["colour_distance_before"]
    same = run("recolor", image=image, colors=COLORS, strength=0.0).images
    assert (same - image).abs().max() < 1 / 255


def test_the_palettes_colours_are_those_named():
    assert torch.allclose(
        to_rgb(palette_of("red,#00f")[None], (1, 2))[0, :, 0].T, torch.tensor([[1.0, -1, -1], [-1, -1, 1]]), atol=0.02
    )


def test_a_drawn_picture_is_led_to_the_palette():
    model, palette = Patterns(), palette_of(COLORS)
    sample = model.generate(noise([3, 4], model))
    answer = run("palette", model=model, colors=COLORS, shading=0.0, balance=1.0, seeds=(3, 4))
    led, free = (sliced_distance(to_lab(images), palette) for images in (answer.images, sample))
    assert (led < 0.6 * free).all()
    alone = run("palette", model=model, colors=COLORS, shading=0.0, balance=1.0, seeds=(4,)).images
    assert (answer.images[1] - alone[0]).abs().max() < 1 / 255


def test_latents_are_led_to_the_palette(latent):
    few = Sampling(steps=4)
    led = run("palette", model=latent, colors=COLORS, settings=few).images
    assert led.shape == (1, 3, 8, 8)
    assert (led - latent.generate(noise([3], latent), None, few)).abs().max() > 1e-3


def test_a_palette_needs_colours_on_both_sides():
    for config, message in (
        ({}, "--edit.colors: which ones"),
        ({"colors": "#12,red"}, "--edit.colors #12,red: unknown color"),
    ):
        with pytest.raises(ConfigError, match=message):
            run("recolor", image=photo(8, 8), **config)
    with pytest.raises(DataError, match="these pictures are grey"):
        run("recolor", image=photo(8, 8, channels=1), colors=COLORS)
    with pytest.raises(DataError, match="these pictures are grey"):
        run("palette", model=Patterns(), spec=ImageSpec(1, 8, 8), colors=COLORS)


# restyle


@pytest.mark.parametrize("size", [(8, 8), (9, 14), (33, 20)])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_patches_that_are_put_back_give_the_picture(size, stride):
    image, grid = photo(*size), Grid(7, stride)
    assert torch.allclose(grid.put(grid.cut(image), size), image, atol=1e-6)


def test_large_pictures_are_compared_in_part_and_the_parts_fit():
    empty = torch.empty(1, 1, 512, 512, device="meta")
    sparse, same = grids(empty, empty, 7)
    assert (sparse.stride, same.stride) == (3, 3)  # equal grids, so that a picture finds itself
    small = torch.empty(1, 1, 64, 64, device="meta")
    assert [grid.stride for grid in grids(small, small, 7)] == [1, 1]


def test_the_nearest_patches_are_those_of_all_distances():
    queries, keys = randn(50, 20), randn(70, 20, seed=1)
    distances = torch.cdist(queries.double(), keys.double()).square() / 20
    for alpha in (1e-3, 0.1, 1e5):
        expected = (distances / (alpha + distances.amin(0))).argmin(1)
        assert torch.equal(nearest(queries, keys, alpha), expected)
    assert torch.equal(nearest(queries, keys, 1e5), distances.argmin(1))


def test_a_small_alpha_uses_more_of_the_style():
    queries, keys = 0.3 * randn(200, 8), randn(200, 8, seed=1)
    used = [len(nearest(queries, keys, alpha).unique()) for alpha in (1e-3, 1e3)]
    assert used[0] > 1.5 * used[1]


@pytest.mark.parametrize("size", [(64, 64), (50, 71)])
def test_a_picture_in_its_own_style_is_itself(size):
    image = photo(*size)
    answer = run("restyle", image=image, style=image, structure=20, seeds=(1, 2)).images
    assert answer.shape == (2, 3, *size)
    assert psnr(answer[:1], image) > 25


def test_a_restyled_picture_has_the_styles_texture_and_its_own_shapes():
    rows = torch.arange(64)
    stripes = (torch.sin(rows * 1.3)[:, None] * torch.ones(64)).expand(1, 3, 64, 64) * 0.9
    shape = torch.where((rows[:, None] - 32) ** 2 + (rows - 32) ** 2 < 300, 0.6, -0.6).expand(1, 3, 64, 64)
    answer = run("restyle", image=shape, style=stripes, structure=24).images
    across, down = answer.diff(dim=3).abs().mean(), answer.diff(dim=2).abs().mean()
    assert down > 4 * across  # striped as the style is
    half = run("restyle", image=photo(48, 64, channels=1), style=photo(30, 90, channels=1, seed=5)).images
    assert half.shape == (1, 1, 48, 64)


def test_colours_are_given_with_mean_and_spread():
    image, style = photo(20, 30) * 0.5, photo(25, 25, seed=7) * 0.4
    moved = with_colours_of(image, style).flatten(2)[0]
    assert torch.allclose(moved.mean(1), style.flatten(2)[0].mean(1), atol=1e-3)
    assert torch.allclose(torch.cov(moved), torch.cov(style.flatten(2)[0]), atol=2e-3)
    assert torch.allclose(with_colours_of(style, style), style, atol=1e-5)


def test_pictures_that_cannot_be_restyled_are_refused():
    with pytest.raises(ConfigError, match="has 1 channels, the picture 3"):
        run("restyle", image=photo(32, 32), style=photo(32, 32, channels=1))
    with pytest.raises(DataError, match="no room for two"):
        run("restyle", image=photo(32, 32), style=photo(12, 32))
    with pytest.raises(ConfigError, match="needs a style"):
        run("restyle", image=photo(32, 32))


@cache
def _judge():
    classifier = plugins.load("families", "classifier")
    config = classifier.Config.preset("tiny")
    with seeded(0):
        return config, classifier.build(config, ImageSpec(3, 16, 16, classes=("a", "b"))).model


@pytest.fixture
def judge(tmp_path):
    config, model = _judge()
    write_model(
        tmp_path / "run/model", model.state_dict(), "classifier", config, ImageSpec(3, 16, 16, classes=("a", "b")), {}
    )
    return str(tmp_path / "run")


@pytest.mark.parametrize("statistics", ["gram", "sliced"])
def test_statistics_of_features_come_near_to_the_styles(judge, statistics):
    image, style = photo(24, 30), -photo(20, 20, seed=3)
    with torch.no_grad():  # as callers may be
        answer = run("restyle_features", image=image, style=style, judge=judge, statistics=statistics, steps=30)
    assert answer.images.shape == image.shape
    assert answer.images.abs().max() <= 1
    assert answer.figures["style_distance"] < 0.5 * answer.figures["style_distance_before"]
    kept = run(
        "restyle_features", image=image, style=style, judge=judge, statistics=statistics, steps=30, content=1000.0
    ).images
    assert psnr(kept, image) > psnr(answer.images, image)


def test_a_judge_must_be_named_and_fit(judge):
    grey = photo(16, 16, channels=1)
    with pytest.raises(ConfigError, match=r"give --edit\.judge RUN"):
        run("restyle_features", image=grey, style=grey)
    with pytest.raises(ConfigError, match="sees pictures of 3 channels, these have 1"):
        run("restyle_features", image=grey, style=grey, judge=judge)
    with pytest.raises(ConfigError, match="has 1 channels, the picture 3"):
        run("restyle_features", image=photo(16, 16), style=grey, judge=judge)
