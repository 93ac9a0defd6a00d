"""Fonts: which characters they have, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ImageFont

from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.build import build
from figment.data.glyphs import characters
from figment.data.sources import font
from figment.data.sources.font import Config, kind_of, records

EMOJI = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
DEJAVU = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")


@pytest.fixture(scope="module")
def aileron(tmp_path_factory) -> Path:
    """The outline font that is embedded in Pillow."""
    path = tmp_path_factory.mktemp("font") / "Aileron.ttf"
    loaded = ImageFont.load_default(size=12)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        pytest.skip("this Pillow is built without FreeType, which draws fonts")
    path.write_bytes(loaded.font_bytes)
    return path


def drawn(path: Path, **settings: int) -> dict[str, Record]:
    return {one.key: one for one in records(Config(str(path), **settings)) if isinstance(one, Record)}


def test_a_font_gives_its_letters_with_names_and_kinds(aileron):
    glyphs = drawn(aileron, size=32)
    letter = glyphs["U+0041"]
    assert (letter.captions, letter.label) == (("latin capital letter a",), "uppercase letter")
    assert letter.origin == {"source": "Aileron.ttf", "character": "A"}
    assert glyphs["U+0037"].captions == ("digit seven",) and glyphs["U+0037"].label == "digit"
    assert "U+0020" not in glyphs and font.count(Config(str(aileron))) >= len(glyphs) > 90


def test_glyphs_are_dark_on_white_centred_and_of_one_scale(aileron):
    glyphs = drawn(aileron, size=64)
    for one in glyphs.values():
        image = np.asarray(one.image)
        assert image.shape == (64, 64, 1) and image.dtype == np.uint8
        assert (image[[0, -1]] == 255).all() and (image[:, [0, -1]] == 255).all()
        rows, columns = np.nonzero(image[..., 0] < 255)
        for first, last in ((rows.min(), rows.max()), (columns.min(), columns.max())):
            assert abs((first + last) / 2 - 31.5) <= 1

    def height(letter: str) -> int:
        return int((np.asarray(glyphs[f"U+{ord(letter):04X}"].image) < 128).any((1, 2)).sum())

    assert 0.4 * 64 < height("H") < 0.72 * 64 and 0.6 < height("x") / height("H") < 0.85
    assert glyphs["U+004F"].image.min() < 40  # an O is black, not a faint line


def test_the_characters_are_those_that_fonttools_finds(aileron):
    tools = pytest.importorskip("fontTools.ttLib", reason="fontTools comes with other tools and is no part of figment")
    for path in (aileron, DEJAVU, EMOJI):
        if path.exists():
            with tools.TTFont(path) as opened:
                assert characters(path.read_bytes()) == sorted(opened.getBestCmap())


def test_colour_emoji_are_drawn_in_colour(monkeypatch):
    if not EMOJI.exists():
        pytest.skip("needs the font of fonts-noto-color-emoji (apt)")
    found = characters(EMOJI.read_bytes())
    assert len(found) > 1000
    monkeypatch.setattr(font, "characters", lambda content: [*found[::20], 0x1F600])
    glyphs = drawn(EMOJI, size=32)
    face = glyphs["U+1F600"]
    assert face.captions == ("grinning face",) and face.label == "emoticon"
    image = np.asarray(face.image)
    assert image.shape == (32, 32, 3) and (image[0, 0] == 255).all()
    red, green, blue = image[16, 8].astype(int)
    assert red > 200 and green > 140 and blue < 120  # yellow
    assert {one.image.shape for one in glyphs.values()} == {(32, 32, 3)}


def test_people_and_hands_come_in_skin_tones(monkeypatch):
    if not EMOJI.exists():
        pytest.skip("needs the font of fonts-noto-color-emoji (apt)")
    monkeypatch.setattr(font, "characters", lambda content: [0x1F34E, 0x1F3FF, 0x1F44B, 0x1F44D])  # an apple, two hands
    config = Config(str(EMOJI), size=32, tones=True, hold_out=0.2)
    found = [one for one in records(config) if isinstance(one, Record)]
    assert len(found) == font.count(config) == 4 + 2 * 5
    assert [one.split for one in found].count("test") == 2 and {one.split for one in found[:4]} == {"train"}
    dark = next(one for one in found if one.key == "U+1F44B U+1F3FF")
    assert dark.captions == ("waving hand sign, dark skin tone",) and dark.label == "pictograph"
    ink = {one.key: np.asarray(one.image)[12:20, 12:20].mean() for one in found}
    tones = [ink[f"U+1F44B U+{tone:X}"] for tone in font.TONES]
    assert tones == sorted(tones, reverse=True)


def test_skin_tones_need_a_font_that_has_them(aileron, monkeypatch):
    assert font.count(Config(str(aileron), tones=True)) == font.count(Config(str(aileron)))
    with pytest.raises(ConfigError, match=r"--font\.hold-out 0\.5: has no effect without --font\.tones; give both"):
        Config(str(aileron), hold_out=0.5)
    monkeypatch.setattr("PIL.features.check", lambda name: False)
    with pytest.raises(ConfigError, match=r"--font\.tones: this Pillow has no Raqm"):
        font.count(Config(str(aileron), tones=True))


def test_a_glyph_that_draws_nothing_is_refused():
    if not DEJAVU.exists():
        pytest.skip("needs the font of fonts-dejavu-core (apt)")
    refused = [one for one in records(Config(str(DEJAVU), size=16)) if isinstance(one, Rejected)]
    assert Rejected("U+2800", "font", "its glyph draws nothing") in refused  # braille pattern blank


def test_a_folder_of_fonts_becomes_a_dataset(aileron, tmp_path):
    for name in ("one.ttf", "two.otf"):
        (tmp_path / "fonts" / "more").mkdir(parents=True, exist_ok=True)
        (tmp_path / "fonts" / "more" / name).write_bytes(aileron.read_bytes())
    store = build([f"font:{tmp_path / 'fonts'}"], tmp_path / "out")
    assert (store.spec.height, store.spec.width, store.spec.channels) == (64, 64, 1)
    assert {"uppercase letter", "digit"} <= set(store.spec.classes)
    assert all(key.startswith("one.ttf/U+") for key in store.keys("train"))  # the other font is a copy


@pytest.mark.parametrize(
    ("character", "kind"),
    [("é", "lowercase letter"), ("€", "currency"), ("→", "mathematical symbol"), ("⇐", "arrow"), ("🚲", None)],
)
def test_kinds(character, kind):
    assert kind_of(ord(character)) == (kind or "transport and map symbol")


def test_spaces_controls_and_marks_show_nothing():
    assert [kind_of(code) for code in (0x20, 0x0A, 0x0301, 0xE000, 0xD800, 0x10FFFF)] == [None] * 6


def test_what_is_no_font_is_an_error_in_one_line(aileron, tmp_path):
    with pytest.raises(ConfigError, match=r"font: give a font's file, as in font:DejaVuSans\.ttf"):
        Config()
    with pytest.raises(DataError, match="nowhere: no such file or folder; give a font"):
        list(records(Config("nowhere")))
    with pytest.raises(DataError, match=r"no fonts in it; give a folder of \.ttf, \.otf, \.ttc files"):
        list(records(Config(str(tmp_path))))
    broken = tmp_path / "broken.ttf"
    for content in (b"", b"hello world", aileron.read_bytes()[:300], b"\0\1\0\0\0\0" + bytes(20)):
        broken.write_bytes(content)
        with pytest.raises(DataError, match=r"broken\.ttf: .*; give a \.ttf, \.otf or \.ttc file"):
            list(records(Config(str(broken))))
