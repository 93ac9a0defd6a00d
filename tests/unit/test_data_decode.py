"""The decode step: which files are pictures, which pixels they hold, and which are refused and why."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageCms

from figment.core.errors import ConfigError
from figment.core.types import Record, Rejected
from figment.data import headers
from figment.data.headers import open_picture, upright_size
from figment.data.steps.decode import Config, mend
from tests.pictures import encode, jpeg, pixels, png


def decode(content: bytes | np.ndarray, **settings) -> np.ndarray:
    result = mend(Record(image=content, key="a"), Config(**settings))
    assert isinstance(result, Record), result
    assert isinstance(result.image, np.ndarray) and result.image.dtype == np.uint8
    return result.image


def reason(content: bytes | np.ndarray, **settings) -> str:
    result = mend(Record(image=content, key="a"), Config(**settings))
    assert isinstance(result, Rejected) and (result.key, result.step) == ("a", "decode")
    assert "\n" not in result.reason
    return result.reason


RGB = pixels(1, 20, 30)
GREY = pixels(2, 20, 30, 1)


# Formats and modes.


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF"])
@pytest.mark.parametrize("expected", [RGB, GREY], ids=["rgb", "grey"])
def test_lossless_files_give_their_pixels(kind, expected):
    assert np.array_equal(decode(encode(expected, kind)), expected)


def test_lossless_webp_and_gif_give_their_pixels():
    assert np.array_equal(decode(encode(RGB, "WEBP", lossless=True)), RGB)
    assert np.array_equal(decode(encode(GREY, "GIF")), GREY)


@pytest.mark.parametrize("expected", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_gives_what_pillow_gives(expected, progressive):
    content = encode(expected, "JPEG", quality=95, progressive=progressive)
    given = decode(content)
    assert given.shape == expected.shape
    by_pillow = np.asarray(Image.open(io.BytesIO(content))).reshape(expected.shape)
    assert np.abs(given.astype(int) - by_pillow).max() <= 1


def test_the_origin_says_what_it_was():
    result = mend(Record(image=jpeg(1, 20, 30), key="a", origin={"licence": "CC0"}), Config())
    assert isinstance(result, Record)
    assert result.origin == {"licence": "CC0", "format": "JPEG", "size": "20x30"}


def test_content_decides_not_the_name():
    result = mend(Record(image=jpeg(1), key="a.png"), Config())
    assert isinstance(result, Record) and result.origin["format"] == "JPEG"


def test_16_bits_are_rounded_to_8():
    deep = np.array([[0, 128, 129, 257, 385, 386, 65535, 65406, 65407]], np.uint16)
    expected = [0, 0, 1, 1, 1, 2, 255, 254, 255]
    for kind in ("PNG", "TIFF"):
        assert decode(encode(Image.fromarray(deep), kind))[0, :, 0].tolist() == expected


def test_pixels_without_a_range_are_refused():
    deep = Image.fromarray(np.ones((9, 9), np.float32))
    assert reason(encode(deep, "TIFF")) == "pixels of 32 bits (mode F) have no agreed range; save it with 8 or 16"


def test_palettes_become_their_colours():
    picture = Image.fromarray(RGB).quantize(16)
    assert np.array_equal(decode(encode(picture)), np.asarray(picture.convert("RGB")))
    with_hole = encode(picture, transparency=3)
    expected = np.asarray(Image.open(io.BytesIO(with_hole)).convert("RGBA"))
    assert np.array_equal(decode(with_hole), expected) and (expected[..., 3] == 0).any()


def test_one_bit_becomes_black_and_white():
    picture = Image.fromarray(GREY[..., 0]).convert("1")
    assert np.array_equal(decode(encode(picture))[..., 0], np.asarray(picture, np.uint8) * 255)


def test_cmyk_becomes_rgb():
    picture = Image.fromarray(RGB).convert("CMYK")
    for kind, tolerance in (("TIFF", 0), ("JPEG", 12)):
        given = decode(encode(picture, kind, **({"quality": 100} if kind == "JPEG" else {})))
        assert np.abs(given.astype(int) - RGB).max() <= tolerance


# Channels.


def test_auto_keeps_the_fewest_channels_that_lose_nothing():
    grey_as_rgb = np.repeat(GREY, 3, axis=2)
    opaque = np.concatenate([RGB, np.full_like(RGB[..., :1], 255)], axis=2)
    clear = opaque.copy()
    clear[0, 0, 3] = 254
    assert np.array_equal(decode(encode(grey_as_rgb)), GREY)
    assert np.array_equal(decode(encode(opaque)), RGB)
    assert np.array_equal(decode(encode(clear)), clear)
    assert decode(encode(Image.fromarray(GREY[..., 0]).convert("LA"))).shape == (20, 30, 1)


def test_grey_rgb_and_rgba_are_what_is_asked_for():
    assert np.array_equal(decode(encode(GREY), mode="rgb"), np.repeat(GREY, 3, axis=2))
    assert np.array_equal(decode(encode(RGB), mode="grey")[..., 0], np.asarray(Image.fromarray(RGB).convert("L")))
    assert np.array_equal(decode(encode(RGB), mode="rgba"), np.asarray(Image.fromarray(RGB).convert("RGBA")))


def test_what_is_transparent_is_laid_on_white():
    picture = np.array([[[10, 20, 30, 0], [10, 20, 30, 255], [0, 0, 0, 128]]], np.uint8)
    assert decode(encode(picture), mode="rgb").tolist() == [[[255, 255, 255], [10, 20, 30], [127, 127, 127]]]


def test_a_transparent_colour_of_a_png_is_transparent():
    colour = tuple(int(value) for value in RGB[0, 0])
    given = decode(encode(Image.fromarray(RGB), transparency=colour))
    assert given.shape == (20, 30, 4) and given[0, 0, 3] == 0


# Orientation and colour.


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation, kind):
    upright = Image.fromarray(pixels(3, 32, 48))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encode(stored, kind, exif=exif.tobytes())
    given = decode(content)
    assert given.shape == (32, 48, 3)
    assert np.abs(given.astype(int) - np.asarray(upright)).mean() < 4
    assert upright_size(open_picture(content)) == (32, 48)


def adobe_like_profile() -> bytes:
    """A Lab profile is the one with other colours that Pillow can make by itself."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()


def wide_profile() -> bytes:
    """sRGB with red and blue exchanged: the primaries' tags in the profile's table point at each other's data."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ"), profile.index(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = profile[blue : blue + 4], profile[red : red + 4]
    return bytes(profile).replace("sRGB".encode("utf-16-be"), "pqRS".encode("utf-16-be")).replace(b"sRGB", b"pqRS")


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_colours_of_a_profile_become_srgb(kind):
    given = decode(encode(RGB, kind, icc_profile=wide_profile()))
    assert np.abs(given.astype(int) - RGB[..., ::-1]).max() <= 2


def test_colours_of_a_profile_become_srgb_in_jpeg_and_under_alpha():
    content = encode(RGB, "JPEG", quality=100, icc_profile=wide_profile())
    assert np.abs(decode(content).astype(int) - RGB[..., ::-1]).mean() < 3
    clear = np.concatenate([RGB, np.full_like(RGB[..., :1], 100)], axis=2)
    given = decode(encode(clear, icc_profile=wide_profile()))
    assert (given[..., 3] == 100).all() and np.abs(given[..., :3].astype(int) - RGB[..., ::-1]).max() <= 2


@pytest.mark.parametrize("profile", [b"nonsense", adobe_like_profile()], ids=["damaged", "of another kind"])
def test_a_profile_that_says_nothing_leaves_the_pixels(profile):
    assert np.array_equal(decode(encode(RGB, icc_profile=profile)), RGB)


# Refusals.


@pytest.mark.parametrize("content", [b"", b"hello", b"<svg/>", b"%PDF-1.4", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture_is_refused(content):
    assert reason(content).endswith("known are JPEG, PNG, WEBP, GIF, BMP, TIFF")


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX"])
def test_other_formats_are_refused(kind):
    assert reason(encode(RGB, kind)) == "not a picture in a known format; known are JPEG, PNG, WEBP, GIF, BMP, TIFF"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_files_that_end_in_the_middle_are_refused(kind, share):
    content = encode(pixels(1, 64, 64), kind)
    assert reason(content[: int(len(content) * share)])


def test_damage_in_the_middle_of_a_jpeg_is_refused():
    content = bytearray(encode(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), "JPEG", quality=90))
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    assert Image.open(io.BytesIO(content)).load()  # Pillow alone would let it pass
    assert reason(bytes(content)).startswith("damaged: ")


def test_damage_in_the_middle_of_a_png_is_refused():
    content = bytearray(png(1, 64, 64))
    content[len(content) // 2] ^= 0x10
    assert reason(bytes(content)).startswith("damaged: ")


def png_header(height: int, width: int) -> bytes:
    chunks = (b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(bytes(99)))
    parts = (struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("side", [9_460, 15_000, 60_000])
def test_bombs_are_refused_by_their_header(side):
    assert reason(png_header(side, side)) == "more than 89 million pixels; scale it down first"


def test_the_cap_on_pixels_holds_for_every_format(monkeypatch):
    monkeypatch.setattr(headers, "MAX_PIXELS", 599)
    for kind in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"):
        assert "million pixels" in reason(encode(RGB, kind))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused_or_the_first_taken(kind):
    frames = [Image.fromarray(pixels(seed, 16, 16, 1)[..., 0]) for seed in (1, 2, 3)]
    content = encode(
        frames[0], kind, save_all=True, append_images=frames[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    assert reason(content) == "has several frames or pages; --decode.moving first takes the first of them"
    assert np.array_equal(decode(content, moving="first"), pixels(1, 16, 16, 1))


def test_a_photograph_with_a_preview_behind_it_is_one_picture():
    pictures = [Image.fromarray(pixels(seed, 32, 32)) for seed in (1, 2)]
    content = encode(pictures[0], "MPO", save_all=True, append_images=pictures[1:], quality=95)
    assert np.abs(decode(content).astype(int) - np.asarray(pictures[0])).mean() < 4


def test_a_warning_of_the_decoder_is_a_refusal():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encode(RGB, "JPEG", exif=exif.tobytes())
    broken = content.replace(
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01", b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x09"
    )
    assert broken != content
    assert reason(broken).startswith("damaged")


# Pixels in place of files, and settings.


def test_pixels_of_a_source_pass_as_they_are():
    assert np.array_equal(decode(RGB), RGB)
    assert reason(RGB.astype(np.float32)) == "pixels are float32 (20, 30, 3); expected uint8 (H, W, 1, 3 or 4)"
    assert reason(RGB[..., :2]) == "pixels are uint8 (20, 30, 2); expected uint8 (H, W, 1, 3 or 4)"


def test_settings_that_there_are_not_are_named():
    with pytest.raises(ConfigError, match=r"--decode\.mode gray: not one of its values; did you mean 'grey'\?"):
        Config(mode="gray")  # type: ignore[arg-type]
