"""Edits of models that encode, and of models that predict the next piece: files, tops of pictures, clips."""

from __future__ import annotations

import zlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from figment.core import plugins
from figment.core.engine import seeded
from figment.core.errors import CapabilityError, CheckpointError, ConfigError, DataError, FigmentError
from figment.core.noise import noise
from figment.core.types import Completes, Condition, ImageSpec
from figment.edits import Request, complete, compress, fits, reconstruct, require
from figment.edits._coding import Frequencies, Integers, Reader, Writer
from figment.edits._levels import LevelCoder, Levels, levels_of, searched
from figment.families import autoencoder, frame_rnn, pixel_cnn, pixel_rnn, token_prior, vae, vqvae
from figment.testing import tiny_settings

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))
CLIPS = ImageSpec(3, 16, 16, frames=4)
go_on = plugins.load("edits", "continue")  # a word of Python's, which no import statement may name


def built(family, spec=DIGITS, **changes):
    with seeded(0):
        return family.build(replace(family.Config.preset("tiny"), **changes), spec).model.eval()


def picture(channels=1, height=8, width=8, seed=0):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


# Arithmetic coding


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 300).flatmap(lambda top: st.tuples(st.just(top), st.lists(st.integers(0, top - 1), max_size=200)))
)
def test_symbols_come_back(case):
    top, symbols = case
    writer, frequencies = Writer(), Frequencies([1] * top)
    for symbol in symbols:
        writer.symbol(frequencies, symbol)
    reader, frequencies = Reader(writer.finished()), Frequencies([1] * top)
    assert [reader.symbol(frequencies) for _ in symbols] == symbols


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3), max_size=80))
def test_whole_numbers_come_back(numbers):
    writer, integers = Writer(), Integers()
    assert [integers.code(writer, number) for number in numbers] == numbers
    reader, integers = Reader(writer.finished()), Integers()
    assert [integers.code(reader) for _ in numbers] == numbers


def test_a_file_is_as_long_as_its_symbols_are_improbable():
    """-log2 of each symbol's share when it comes, summed: arithmetic coding needs less than 3 bits and a byte more."""
    symbols = (torch.rand(2000, generator=torch.Generator().manual_seed(0)) ** 6 * 16).long().tolist()
    writer, frequencies, ideal = Writer(), Frequencies([1] * 16), 0.0
    for symbol in symbols:
        begin, end, total = frequencies.share(symbol)
        ideal -= torch.log2(torch.tensor((end - begin) / total)).item()
        writer.symbol(frequencies, symbol)
    assert ideal < 3 * 2000  # of the 4 bits that each would take alone
    assert ideal - 8 < 8 * len(writer.finished()) < ideal + 11


def test_many_symbols_outlive_the_limit_of_their_frequencies():
    symbols = [n * n % 7 for n in range(40_000)]
    writer, frequencies = Writer(), Frequencies([1] * 7)
    for symbol in symbols:
        writer.symbol(frequencies, symbol)
    reader, frequencies = Reader(writer.finished()), Frequencies([1] * 7)
    assert all(reader.symbol(frequencies) == symbol for symbol in symbols)


# Compress


@pytest.mark.parametrize("family", [vae, autoencoder, vqvae])
@pytest.mark.parametrize("size", [(8, 8), (5, 19)])
def test_a_file_opens_as_what_was_written(family, size, tmp_path):
    model, image = built(family), picture(1, *size)
    request = Request(DIGITS, (image,), seeds=(0, 1))
    answer = compress.edit(model, request, compress.Config())
    assert answer.images.shape == (2, 1, *size) and answer.suffix == ".coded"
    file = tmp_path / "picture.coded"
    file.write_bytes(answer.file)
    opened = compress.edit(model, Request(DIGITS), compress.Config(open=str(file)))
    assert torch.equal(opened.images, answer.images[:1])
    assert opened.figures == {"bits_per_pixel": 8 * len(answer.file) / (size[0] * size[1])}
    assert answer.figures["bits_per_pixel"] == opened.figures["bits_per_pixel"]
    assert answer.figures["psnr_db"] < 40


@torch.no_grad()
def test_a_tile_that_fits_comes_back_as_well_as_the_model_can():
    """A tokenizer's codes are its own; levels that are fine are at least as good as the encoder's latents."""
    model, image = built(vqvae), picture()
    plain = model.decode(model.encode(image)).clamp(-1, 1)
    assert torch.equal(compress.decompress(model, DIGITS, compress.compress(model, DIGITS, image)), plain)
    model = built(autoencoder)
    plain = model.decode(model.encode(image)).clamp(-1, 1)
    found = compress.decompress(model, DIGITS, compress.compress(model, DIGITS, image, 1.0))
    assert (found - image).square().mean() <= (plain - image).square().mean()


def test_coarser_levels_make_smaller_files():
    model, image = built(autoencoder), picture(1, 24, 24)
    sizes = [len(compress.compress(model, DIGITS, image, step)) for step in (2.0, 10.0, 50.0, 250.0)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 4


def test_damage_is_refused_wherever_it_is():
    model = built(autoencoder)
    data = compress.compress(model, DIGITS, picture())
    for place in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(FigmentError):
            compress.decompress(model, DIGITS, bytes(damaged))
    for length in range(len(data)):
        with pytest.raises(DataError, match=r"no compressed picture|damaged") as error:
            compress.decompress(model, DIGITS, data[:length])
        assert "\n" not in str(error.value)


def test_another_models_file_is_refused():
    data = compress.compress(built(autoencoder), DIGITS, picture())
    other = built(autoencoder)
    with torch.no_grad():
        next(other.parameters()).add_(1e-3)
    with pytest.raises(CheckpointError, match="was written by a model with the digest"):
        compress.decompress(other, DIGITS, data)


@pytest.mark.parametrize(
    ("images", "config", "text"),
    [
        (0, {}, "0 pictures were given"),
        (1, {"open": "x.coded"}, "1 pictures were given beside the file"),
        (0, {"open": "x.coded"}, "x.coded: cannot be read"),
        (0, {"open": "x.coded", "step": 0.1}, "--edit.step 0.1: has no effect"),
        (1, {"step": 0.1}, "a tokenizer's codes have no levels"),
    ],
)
def test_what_compress_cannot_do_is_refused(images, config, text):
    with pytest.raises(FigmentError, match=text):
        compress.edit(built(vqvae), Request(DIGITS, (picture(),) * images), compress.Config(**config))


# Levels


class Stretched:
    """Four latents, each a pixel, stretched: known in closed form."""

    scales = torch.tensor([0.5, 0.1, 0.02, 0.0])

    def encode(self, images):
        return images.flatten(1) / self.scales.clamp_min(0.01)

    def decode(self, latents):
        return (latents * self.scales).view(-1, 1, 2, 2)


def test_a_level_of_every_latent_moves_the_picture_about_as_far():
    levels = levels_of(Stretched(), (4,), 20.0)
    moved = 127.5 * levels.widths * Stretched.scales
    assert ((moved[:3] / 20).log2().abs() <= 1 / 8).all()
    assert levels.widths[3] == 64  # what moves nothing is hardly told


def test_the_best_levels_are_found():
    """Each pixel hangs on one latent, so every level can be tried."""
    images = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    levels = levels_of(Stretched(), (4,), 20.0)
    found = searched(Stretched(), levels, images)
    every = torch.arange(-40, 41)[:, None, None] * levels.widths
    error = (127.5 * ((every * Stretched.scales).clamp(-1, 1) - images.flatten(1))) ** 2
    best = (error + levels.step**2 / 12 * every**2).argmin(0) - 40
    assert torch.equal(found, best)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from([0.01, 0.3, 2.0, 64.0]), st.lists(st.integers(-9, 9) | st.integers(-(2**31), 2**31 - 1)))
def test_levels_come_back(width, numbers):
    writer, level = Writer(), LevelCoder(width)
    assert [level.code(writer, number) for number in numbers] == numbers
    reader, level = Reader(writer.finished()), LevelCoder(width)
    assert [level.code(reader) for _ in numbers] == numbers


def test_levels_of_normal_latents_take_the_bits_that_they_must_from_the_first_on():
    """Their entropy: 2.05 - log2(width) bits each (the differential entropy of N(0, 1)); learnt tables need more."""
    drawn = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0))
    levels, bits = Levels(torch.tensor([0.25, 0.25, 0.25]), 1.0), 0
    for row in drawn:  # each a file of its own
        writer = Writer()
        for coder, value in zip(levels.coders(), (row / 0.25).round().long().tolist(), strict=True):
            coder.code(writer, value)
        bits += 8 * len(writer.finished())
    assert 3 * 4.047 < bits / 1000 < 3 * 4.047 + 9  # bytes are whole


@pytest.mark.parametrize("told", [b"", b"\0\0", b"\x7c\0"])
def test_a_file_without_a_step_is_refused(told):
    model = built(autoencoder)
    body = compress.HEADER.pack(b"fc", 1, b"....", 8, 8) + told
    with pytest.raises(DataError, match="says a step of"):
        compress.decompress(model, DIGITS, body + compress.CHECK.pack(zlib.crc32(body)))


# Reconstruct


def test_a_picture_of_the_models_size_comes_back_as_the_model_says():
    model, image = built(autoencoder), picture()
    answer = reconstruct.edit(model, Request(DIGITS, (image,), seeds=(4, 5)), reconstruct.Config())
    with torch.no_grad():
        assert torch.allclose(answer.images, model.decode(model.encode(image)).expand(2, -1, -1, -1))
    assert answer.figures.keys() == {"psnr_db"}


@pytest.mark.parametrize("size", [(6, 20), (8, 9), (3, 3)])
def test_other_sizes_come_back_at_their_own(size):
    answer = reconstruct.edit(built(vae), Request(DIGITS, (picture(1, *size),)), reconstruct.Config())
    assert answer.images.shape == (1, 1, *size)


# Complete


@pytest.fixture(scope="module")
def prior(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior")
    with seeded(0):
        return token_prior.build(tiny_settings("token_prior", DIGITS, folder), DIGITS).model.eval()


@pytest.mark.parametrize("name", ["pixel_cnn", "pixel_rnn", "token_prior"])
def test_the_known_part_stays_and_each_seed_completes_alone(name, prior):
    model = prior if name == "token_prior" else built({"pixel_cnn": pixel_cnn, "pixel_rnn": pixel_rnn}[name])
    assert fits("complete", model)
    image = ((picture() + 1) * 127.5).round() / 127.5 - 1
    condition = Condition(labels=torch.tensor([3, 7, -1]))
    request = Request(DIGITS, (image,), condition=condition, seeds=(0, 1, 2))
    answer = complete.edit(model, request, complete.Config())
    assert answer.images.shape == (3, 1, 8, 8)
    assert torch.allclose(answer.images[:, :, :4], image[:, :, :4].expand(3, -1, -1, -1), atol=1e-6)
    assert answer.images[:, :, 4:].std(0).max() > 0.05
    alone = replace(request, condition=condition[1:2], seeds=(1,))
    assert torch.allclose(complete.edit(model, alone, complete.Config()).images, answer.images[1:2], atol=2 / 255)


@torch.no_grad()
def test_codes_that_are_kept_are_the_pictures_own(prior):
    """Those of the known half, and none where nothing is known: completing is drawing then."""
    image, z = picture(), noise([5], prior)
    top = torch.arange(8)[:, None].expand(8, 8) < 4
    assert torch.equal(prior.complete(image, ~top & False, z), prior.generate(z))
    assert torch.equal(prior.complete(image, top | True, z), image)
    seen, kept = prior.tokenizer.tokenize(image), torch.arange(16)[None] < 8
    codes = prior.filled(seen, kept, z, None, None)
    assert torch.equal(codes[:, :8], seen[:, :8])
    assert not torch.equal(codes[:, 8:], seen[:, 8:])


@torch.no_grad()
def test_a_code_is_seen_at_its_own_place(prior):
    """4 x 4 codes of 8 x 8 pixels: the first row of codes is seen in the upper half, the last in the lower."""
    shares = prior.footprints().view(4, 4, 8, 8)
    assert torch.allclose(shares.sum((2, 3)), torch.ones(4, 4), atol=1e-5)
    upper, left = shares[:, :, :4].sum((2, 3)), shares[..., :4].sum((2, 3))
    assert (upper[0] > 0.5).all() and (upper[3] < 0.5).all()
    assert (left[:, 0] > 0.5).all() and (left[:, 3] < 0.5).all()


def test_a_mask_says_what_is_new():
    model, image, mask = built(pixel_rnn), ((picture() + 1) * 127.5).round() / 127.5 - 1, torch.zeros(1, 1, 8, 8)
    mask[..., 2:5, 3:] = 1
    answer = complete.edit(model, Request(DIGITS, (image,), mask), complete.Config()).images
    assert torch.allclose(torch.where(mask > 0, image, answer), image, atol=1e-6)
    assert (answer != image)[mask > 0].float().mean() > 0.8
    with pytest.raises(ConfigError, match=r"--edit\.top 0.5 and --mask"):
        complete.edit(model, Request(DIGITS, (image,), mask), complete.Config(top=0.5))


def test_a_larger_picture_and_its_mask_are_brought_to_the_models_size():
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 13, 13] = 1  # one pixel of 16 that become one
    answer = complete.edit(built(pixel_rnn), Request(DIGITS, (picture(1, 32, 32),), mask), complete.Config()).images
    small = torch.nn.functional.interpolate(picture(1, 32, 32), (8, 8), mode="bicubic", antialias=True)
    differs = (answer - small).abs() > 1e-5
    assert differs.sum() <= 1 and answer.shape == (1, 1, 8, 8)


# Continue


def test_a_clip_goes_on_from_its_frames():
    model = built(frame_rnn, CLIPS)
    frames = tuple(picture(3, 16, 16, seed) for seed in range(3))
    request = Request(CLIPS, frames, seeds=(0, 1))
    require("continue", model, request)
    answer = go_on.edit(model, request, go_on.Config(frames=5)).images
    assert answer.shape == (2, 8, 3, 16, 16)
    assert torch.equal(answer[0, :3], torch.cat(frames))
    with torch.no_grad():
        expected = model.continue_from(torch.stack(frames, 1), noise([0], model), 5)
    assert torch.allclose(answer[:1, 3:], expected, atol=1e-6)


def test_clips_are_only_for_the_edits_that_ask_for_them():
    model = built(frame_rnn, CLIPS)
    assert {edit for edit in plugins.names("edits") if plugins.constant("edits", edit, "NEEDS")
            and fits(edit, model, CLIPS)} == {"continue"}  # fmt: skip
    with pytest.raises(CapabilityError) as error:
        require("animate", model, Request(CLIPS))
    assert str(error.value) == (
        "'animate' is for single pictures, this run draws 4 frames of 16x16x3, no labels; "
        "'figment edit continue' goes on with a clip"
    )
    with pytest.raises(ConfigError, match="1 were given; give two or more, or a GIF"):
        require("continue", model, Request(CLIPS, (picture(3),)))


def test_models_are_offered_the_edits_that_they_can_do(prior):
    offers = {name: {edit for edit in ("reconstruct", "compress", "complete", "continue") if fits(edit, model)}
              for name, model in {"vae": built(vae), "vqvae": built(vqvae), "pixel_cnn": built(pixel_cnn),
                                  "token_prior": prior, "frame_rnn": built(frame_rnn, CLIPS)}.items()}  # fmt: skip
    assert offers == {
        "vae": {"reconstruct", "compress"},
        "vqvae": {"reconstruct", "compress"},
        "pixel_cnn": {"complete"},
        "token_prior": {"complete"},
        "frame_rnn": {"continue"},
    }
    assert isinstance(prior, Completes)
