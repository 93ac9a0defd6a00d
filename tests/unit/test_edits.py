"""Edits that restore: against closed forms, at all sizes, by rows; and what they leave alone."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from figment.core import plugins
from figment.core.errors import CapabilityError, ConfigError
from figment.core.images import to_float, to_uint8
from figment.core.types import Condition, ImageSpec
from figment.edits import Answer, Request
from figment.edits._canvas import canvas_of
from figment.edits._drawing import finish
from figment.edits._estimates import blur_width, noise_level, scratches, tone_range
from figment.edits._operators import BlockMean, Blur, Doubted, Grey, Identity, Mask
from figment.edits._posterior import informed, unclipped
from figment.edits._tiles import Tiling, mirrored
from figment.samplers import Sampling
from figment.samplers._exact import Gaussian
from tests.pictures import pixels

SIZES = ((8, 8), (5, 13), (11, 8), (20, 31))  # as large as a model of 8x8, smaller, larger, both


class Latents(Gaussian):
    """The Gaussian in latents, which are the pixels of each 2x2 block as channels: nothing is lost either way."""

    def encode(self, images: Tensor) -> Tensor:
        return F.pixel_unshuffle(images, 2)

    def decode(self, latents: Tensor) -> Tensor:
        return F.pixel_shuffle(latents, 2)

    def noise_shape(self) -> tuple[int, ...]:
        return (4, 4, 4)


def picture(height: int, width: int, channels: int = 1, seed: int = 0) -> Tensor:
    return to_float(pixels(seed, height, width, channels)[None])


def request(image: Tensor, seeds=(0,), mask: Tensor | None = None, **settings) -> Request:
    spec = ImageSpec(image.shape[1], 8, 8)
    return Request(spec, (image,), mask, seeds=tuple(seeds), settings=Sampling(**{"steps": 6, **settings}))


def edited(name: str, model: object, asked: Request, **config) -> Answer:
    module = plugins.load("edits", name)
    return module.edit(model, asked, module.Config(**config))


def middle(image: Tensor) -> Tensor:
    """A mask of the middle of a picture."""
    mask = torch.zeros_like(image[:, :1])
    mask[..., 2:-2, 2:-2] = 1
    return mask


def restoring(name: str, image: Tensor) -> dict[str, object]:
    """What an edit of this name has to be given with a picture, beside its settings: its mask."""
    return {"mask": middle(image)} if name == "inpaint" else {}


CONFIGS = {
    "inpaint": {},
    "outpaint": {"left": 3, "bottom": 5},
    "upscale": {"factor": 3},
    "deblur": {"sigma": 1.2},
    "denoise": {"noise": 40.0},
    "colorize": {},
    "enhance": {},
    "remove": {"width": 3, "threshold": 4.0},
}


# Against closed forms: values of variance 1/3, of which something was measured.


@pytest.mark.parametrize("sampler", ["dpmpp_2m", "ancestral"])
@pytest.mark.parametrize("operator", [Identity(), BlockMean(2)])
def test_answers_are_spread_as_the_exact_posterior_is(operator, sampler):
    """The mean of n values of variance v is known to v/n before, and to 1 / (n/v + 1/s^2) after it was measured."""
    model, noise, level = Gaussian(0.1, 3**-0.5), 0.4, 0.7
    settings = Sampling(sampler=sampler, steps=60)
    canvas, measured = canvas_of(model, Tiling((8, 8), (8, 8)), None, settings), torch.full((1, 1, 8, 8), level)
    measured = operator.forward(measured)
    start, sigmas = canvas.noise(range(64), 1), settings.sigmas(model)
    found = operator.forward(
        finish(informed(canvas, operator, measured, noise), start * sigmas[0], sigmas, start, settings)
    )
    before = model.spread**2 * measured.numel() / (8 * 8)
    after = 1 / (1 / before + 1 / noise**2)
    assert abs(float(found.mean()) - after * (model.mean / before + level / noise**2)) < 0.02
    assert abs(float(found.std()) / after**0.5 - 1) < 0.1


def test_what_was_cut_off_is_put_where_it_is_likely():
    chance = torch.Generator().manual_seed(0)
    seen, noise = torch.full((200_000,), -0.8), 0.5
    drawn = seen + noise * torch.randn(seen.shape, generator=chance)
    found = unclipped(drawn.clamp(-1, 1), seen, noise)
    assert torch.equal(found[drawn.abs() < 1], drawn[drawn.abs() < 1])
    assert abs(float(found[drawn <= -1].mean() - drawn[drawn <= -1].mean())) < 0.01
    assert unclipped(torch.tensor([-1.0, 1.0]), torch.tensor([1.0, -1.0]), 1e-3).isfinite().all()


class Pairs(Gaussian):
    """Values of variance 1/3 in pairs, left and right neighbours, with a correlation of 0.9."""

    def denoise(self, noisy, sigma, condition=None):
        variance = 3 * sigma.view(-1, 1, 1, 1) ** 2
        left, right = noisy[..., ::2], noisy[..., 1::2]
        total, difference = (left + right) * 1.9 / (1.9 + variance), (left - right) * 0.1 / (0.1 + variance)
        return torch.stack([total + difference, total - difference], -1).flatten(-2) / 2


def test_what_is_unknown_follows_what_is_known():
    """E[right | left] = 0.9 left. The method is exact for values on their own only, and falls a little short here."""
    model, settings = Pairs(), Sampling(steps=40)
    canvas, known = canvas_of(model, Tiling((8, 8), (8, 8)), None, settings), torch.zeros(1, 1, 8, 8)
    known[..., ::2] = 1
    measured = 0.8 * known
    start, sigmas = canvas.noise(range(64), 1), settings.sigmas(model)
    found = finish(informed(canvas, Mask(known), measured, 0.0), start * sigmas[0], sigmas, start, settings)
    assert abs(float(found[..., ::2].mean()) - 0.8) < 0.01
    assert abs(float(found[..., 1::2].mean()) - 0.72) < 0.08


# Tiles.


@pytest.mark.parametrize("size", [(8, 12), (21, 30), (40, 90)])
def test_gradients_lead_through_tiles_however_many(size):
    model, canvas = Gaussian(), canvas_of(Gaussian(), Tiling(size, (8, 12)), None, Sampling())
    state = torch.randn(2, 1, *size).requires_grad_()
    way = torch.randn(2, 1, *size)
    _, clean = canvas.estimates(state, torch.tensor([0.5, 0.5]))
    (found,) = torch.autograd.grad(clean, state, way)
    torch.testing.assert_close(found, way * model.spread**2 / (model.spread**2 + 0.25))


def test_tiles_of_a_denoiser_of_single_values_are_the_whole():
    model, chance = Gaussian(), torch.Generator().manual_seed(0)
    noisy, sigma = torch.randn(2, 3, 21, 30, generator=chance), torch.tensor([0.7, 0.7])
    canvas = canvas_of(model, Tiling((21, 30), (8, 12)), None, Sampling())
    torch.testing.assert_close(canvas.clean(noisy, sigma), model.denoise(noisy, sigma), rtol=0, atol=1e-6)


def test_one_tile_is_the_whole_to_the_last_bit():
    images = torch.rand(3, 1, 8, 12)
    tiling = Tiling((8, 12), (8, 12))
    assert torch.equal(tiling.blend(3, lambda places: tiling.cut(images, places)), images)


@pytest.mark.parametrize("size", [(8, 300), (9, 8), (37, 100)])
def test_tiles_cover_every_pixel_and_no_batch_is_large(size):
    tiling = Tiling(size, (8, 8))
    batches = list(tiling.batches(3))
    covered = torch.zeros(3, *size)
    for row, top, left in itertools.chain.from_iterable(batches):
        covered[row, top : top + 8, left : left + 8] += 1
    assert covered.min() >= 1
    assert max(map(len, batches)) <= 64


def test_each_tile_is_asked_for_what_its_picture_is_to_show():
    class Labelled(Gaussian):
        def denoise(self, noisy, sigma, condition=None):
            return torch.zeros_like(noisy) + condition.labels.view(-1, 1, 1, 1)

    condition = Condition(labels=torch.arange(40))
    canvas = canvas_of(Labelled(), Tiling((12, 12), (8, 8)), condition, Sampling(guidance=1.0))
    found = canvas.clean(torch.zeros(40, 1, 12, 12), torch.ones(40))
    torch.testing.assert_close(found[:, 0, 5, 7], torch.arange(40.0))


@pytest.mark.parametrize("size", [(3, 40), (8, 8), (50, 1)])
def test_a_small_picture_is_mirrored_as_often_as_it_takes(size):
    image = torch.rand(1, 2, *size)
    found, (rows, columns) = mirrored(image, (20, 20))
    assert found.shape[-2] == max(20, size[0]) and found.shape[-1] == max(20, size[1])
    assert torch.equal(found[..., rows, columns], image)
    if size == (3, 40):
        torch.testing.assert_close(found[0, 0, rows.start - 1], image[0, 0, 0])
        torch.testing.assert_close(found[0, 0, rows.start - 4], image[0, 0, 2])


# All edits that restore.


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", CONFIGS)
def test_every_size_is_answered_in_range_and_seed_by_seed(name, size):
    channels = 3 if name == "colorize" else 1
    image = picture(*size, channels)
    image[..., :2, :2] = 1.0  # something for `remove` to find
    given, model = restoring(name, image), Gaussian()
    both = edited(name, model, request(image, (3, 5), **given), **CONFIGS[name])
    config = CONFIGS[name]
    factor = config.get("factor", 1)
    shape = (size[0] * factor + config.get("bottom", 0), size[1] * factor + config.get("left", 0))
    assert both.images.shape == (2, channels, *shape)
    assert both.images.abs().max() <= 1
    assert both.extras["disagreement"].shape == (1, 1, *shape)
    alone = edited(name, model, request(image, (5,), **given), **CONFIGS[name])
    torch.testing.assert_close(alone.images[0], both.images[1], rtol=0, atol=1e-4)
    assert "disagreement" not in alone.extras
    assert not torch.equal(both.images[0], both.images[1])


@pytest.mark.parametrize("name", ["inpaint", "outpaint", "upscale", "deblur", "remove"])
def test_models_of_latents_restore_too(name):
    image = picture(11, 20)
    image[..., 4:6, :] = 1.0
    asked = request(image, (0, 1), **restoring(name, image))
    found = edited(name, Latents(), asked, **CONFIGS[name]).images
    wanted = edited(name, Gaussian(), asked, **CONFIGS[name]).images
    assert found.shape == wanted.shape
    assert found.abs().max() <= 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", [Gaussian(), Latents()])
def test_known_pixels_come_back_to_the_last_bit(model, size):
    image = picture(*size)
    mask = middle(image)
    found = edited("inpaint", model, request(image, (0, 1), mask)).images
    kept = np.broadcast_to(mask.numpy() == 0, found.shape).transpose(0, 2, 3, 1)
    given = np.broadcast_to(to_uint8(image), kept.shape)
    assert np.array_equal(to_uint8(found)[kept], given[kept])
    wide = edited("outpaint", model, request(image), left=3, top=2)
    assert wide.place == (2, 3, *size)
    assert np.array_equal(to_uint8(wide.images)[:, 2:, 3:], to_uint8(image))


@pytest.mark.parametrize("size", SIZES)
def test_answers_agree_with_what_was_measured_within_a_grey_level(size):
    """As written to a file, in whole levels; pictures that are black and white in places, which is the hard part."""
    small = to_float(np.where(pixels(1, *size, 1) > 128, 255, 0)[None].astype(np.uint8))
    found = to_float(to_uint8(edited("upscale", Gaussian(), request(small), factor=3).images))
    assert (BlockMean(3).forward(found) - small).abs().max() < 1 / 127.5
    blur = Blur(*size, 1.2)
    soft = to_float(to_uint8(blur.forward(small)))
    found = to_float(to_uint8(edited("deblur", Gaussian(), request(soft), sigma=1.2).images))
    assert (blur.forward(found) - soft).abs().max() < 1 / 127.5
    colourful = picture(*size, 3)
    found = to_float(to_uint8(edited("colorize", Gaussian(), request(colourful)).images))
    assert (Grey().forward(found) - Grey().forward(colourful)).abs().max() < 1 / 127.5


def test_what_cannot_be_done_is_said_in_one_line():
    image = picture(8, 8)
    with pytest.raises(ConfigError, match=r"--mask: is black everywhere"):
        edited("inpaint", Gaussian(), request(image, mask=torch.zeros(1, 1, 8, 8)))
    with pytest.raises(ConfigError, match=r"--edit\.left, --edit\.right"):
        edited("outpaint", Gaussian(), request(image))
    with pytest.raises(CapabilityError, match="needs a model of RGB pictures, this one's have 1 channels"):
        edited("colorize", Gaussian(), request(image))


# What is estimated.


@pytest.mark.parametrize("level", [4.0, 12.0, 30.0])
def test_the_noise_is_estimated_under_what_the_picture_shows(level):
    chance = torch.Generator().manual_seed(0)
    image = picture(60, 80, 3) * 0.3 + level / 127.5 * torch.randn(1, 3, 60, 80, generator=chance)
    assert abs(noise_level(image.clamp(-1, 1)) / level - 1) < 0.1
    assert edited("denoise", Gaussian(), request(image.clamp(-1, 1))).figures["noise_levels"] == noise_level(
        image.clamp(-1, 1)
    )


@pytest.mark.parametrize("sigma", [0.8, 1.5, 3.0])
def test_the_blur_is_estimated_at_the_edges(sigma):
    squares = np.zeros((96, 96), np.float32)
    for place in range(0, 96, 32):
        squares[place + 6 : place + 26, 10:30] = squares[10:30, place + 6 : place + 26] = 200
    soft = cv2.GaussianBlur(squares, (0, 0), sigma)
    assert abs(blur_width(torch.from_numpy(soft / 127.5 - 1)[None, None]) / sigma - 1) < 0.25


def test_a_flat_picture_has_neither_noise_nor_blur_nor_scratches():
    flat = torch.full((1, 1, 12, 9), 0.2)
    assert (noise_level(flat), blur_width(flat)) == (0.0, 0.0)
    assert not scratches(flat, 2, 24.0).any()
    assert edited("remove", Gaussian(), request(flat, (0, 1))).images.eq(0.2).all()


def test_the_range_of_grey_is_found_under_a_few_bright_dots():
    image = picture(40, 40) * 0.1 - 0.5
    image[..., ::13, ::13] = 1.0
    low, high = tone_range(image, noise_level(image))
    assert -0.62 < low < -0.55 and -0.45 < high < -0.38
    assert edited("enhance", Gaussian(), request(image)).figures["contrast_gain"] == pytest.approx(2 / (high - low))


def test_scratches_are_found_and_only_they_change():
    """A model that knows its pictures takes none of their own fine lines for a scratch, however thin."""
    image = picture(40, 60) * 0.1
    image[..., 8, :] += 0.15
    image[..., 40] -= 0.15
    image[..., 17, 5:50] = 1.0
    image[..., 3:35, 22] = -1.0
    scratched = torch.zeros(40, 60, dtype=torch.bool)
    scratched[17, 5:50] = scratched[3:35, 22] = True
    answer = edited("remove", Gaussian(0.0, 0.2), request(image), soft=0, threshold=4.0)
    mask, suspected = (answer.extras[name][0, 0] > 0 for name in ("mask", "suspected"))
    assert (suspected & ~scratched).sum() > 80
    assert (mask & scratched).sum() > 0.95 * scratched.sum()
    assert (mask & ~scratched).sum() < 0.2 * (suspected & ~scratched).sum()
    assert torch.equal(answer.images[0, 0][~mask], image[0, 0][~mask])
    assert answer.images[0, 0][mask].abs().max() < 0.9
    assert answer.figures["found_percent"] == pytest.approx(100 * float(mask.float().mean()))


def test_a_doubted_pixel_is_believed_as_far_as_it_fits():
    """Two guesses: N(0, v + s^2), and any value from -1 to 1 (Bayes's rule)."""
    given, chance = torch.tensor([0.0, 0.3, 1.0]).view(1, 1, 1, 3), torch.tensor([0.2, 0.5, 0.0]).view(1, 1, 1, 3)
    likely = torch.distributions.Normal(0, 0.5).log_prob(given).exp()
    expected = (1 - chance) * likely / ((1 - chance) * likely + chance / 2)
    found = Doubted(chance, 0.3)
    torch.testing.assert_close(found.sound(given, 0.16), expected)
    torch.testing.assert_close(found.pull(given, 0.09 / 0.16), expected * given * 0.16 / 0.25)
