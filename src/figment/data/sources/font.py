"""The glyphs of a font, captioned by their Unicode names ("grinning face"): `font:FILE.ttf`, or a folder of fonts.

Part of the data room. Any TTF, OTF or TTC that FreeType draws, colour emoji too. Label: what kind of character it is
("uppercase letter", "emoticon"). Outlines are drawn black on white, grey; a colour font as it is, on white. All glyphs
of a font have one scale, each is centred; one that is larger than the picture is scaled down.

With `--font.tones` people and hands are drawn in five skin tones as well ("waving hand sign, dark skin tone"), where
the font has them. With `--font.hold-out 0.2` a fifth of those combinations is in test alone, all else in train.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from figment.core.config import check_range
from figment.core.errors import ConfigError, DataError
from figment.core.types import Record, Rejected
from figment.data.files import only_files
from figment.data.glyphs import characters
from figment.data.layout import natural

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

SUFFIXES = (".ttf", ".otf", ".ttc")

EM = 0.72  # of the picture's side: room for what rises above and falls below
TONES = {  # Unicode Technical Standard 51, section 2.4
    0x1F3FB: "light skin tone",
    0x1F3FC: "medium-light skin tone",
    0x1F3FD: "medium skin tone",
    0x1F3FE: "medium-dark skin tone",
    0x1F3FF: "dark skin tone",
}

BITMAP_SIZES = (109, 136, 128, 160, 96, 72, 64, 32, 20)  # at which fonts of bitmaps, such as Noto Color Emoji, come
FULL_SIDE = 0.94  # of the picture's side, which no glyph exceeds

# Blocks of Unicode in which every character would otherwise be an "other symbol".
BLOCKS = {
    (0x2190, 0x21FF): "arrow",
    (0x2500, 0x259F): "box drawing",
    (0x25A0, 0x25FF): "geometric shape",
    (0x2600, 0x26FF): "miscellaneous symbol",
    (0x2700, 0x27BF): "dingbat",
    (0x2800, 0x28FF): "braille pattern",
    (0x1F000, 0x1F0FF): "game piece",
    (0x1F300, 0x1F5FF): "pictograph",
    (0x1F600, 0x1F64F): "emoticon",
    (0x1F680, 0x1F6FF): "transport and map symbol",
    (0x1F900, 0x1FAFF): "supplemental pictograph",
}

CATEGORIES = {
    "Lu": "uppercase letter",
    "Ll": "lowercase letter",
    "Lt": "titlecase letter",
    "Lm": "modifier letter",
    "Lo": "other letter",
    "Nd": "digit",
    "Nl": "letter number",
    "No": "other number",
    "Pc": "connector",
    "Pd": "dash",
    "Ps": "opening bracket",
    "Pe": "closing bracket",
    "Pi": "opening quote",
    "Pf": "closing quote",
    "Po": "punctuation",
    "Sm": "mathematical symbol",
    "Sc": "currency",
    "Sk": "modifier symbol",
    "So": "other symbol",
}
"""What a picture can show; characters of other categories (spaces, controls, combining marks) are left out."""


@dataclass(frozen=True)
class Config:
    """Which font."""

    argument: str = ""
    """The font's file, or a folder of fonts."""
    size: int = 64
    """Side of the pictures, in pixels."""
    tones: bool = False
    """Draw people and hands in five skin tones as well; needs a Pillow that has Raqm."""
    hold_out: float = 0.0
    """Share of the combinations of character and skin tone that only test pictures have."""
    seed: int = 0
    """Which combinations are held out follows from it."""

    def __post_init__(self):
        if not self.argument:
            raise ConfigError("font: give a font's file, as in font:DejaVuSans.ttf")
        check_range("font.size", self.size, 8, 1024)
        check_range("font.hold_out", self.hold_out, 0, 0.9)
        check_range("font.seed", self.seed, 0, 2**63)
        if self.hold_out and not self.tones:
            raise ConfigError(f"--font.hold-out {self.hold_out:g}: has no effect without --font.tones; give both")


def records(config: Config) -> Iterator[Record | Rejected]:
    """Every named character in the order of Unicode: image uint8 (size, size, 1 or 3); key: "U+1F600".

    Then those in a skin tone, "U+1F44B U+1F3FF". With a folder, keys begin with the font's name. Raises DataError where
    a file is no font, ConfigError where skin tones cannot be drawn.
    """
    files = _files(Path(config.argument))
    for file in files:
        before = f"{file.name}/" if len(files) > 1 else ""
        codes = _named(file)
        font, is_colour = _open(file, config.size, codes)
        for code in codes:
            pixels = _draw(font, chr(code), config.size, is_colour)
            yield _record(file, before, (code,), pixels, "train" if config.hold_out else None)
        toned = _toned(file, config, codes)
        if toned:
            font, _ = _open(file, config.size, codes, joins=True)
        held_out = _held_out(config, len(toned))
        for number, pair in enumerate(toned):
            pixels = _draw(font, "".join(map(chr, pair)), config.size, is_colour)
            split = "test" if number in held_out else "train"
            yield _record(file, before, pair, pixels, split if config.hold_out else None)


def count(config: Config) -> int:
    """How many records there will be."""
    named = {file: _named(file) for file in _files(Path(config.argument))}
    return sum(len(codes) + len(_toned(file, config, codes)) for file, codes in named.items())


def kind_of(code: int) -> str | None:
    """What kind of character a code point is; None for one that shows nothing or has no name.

    >>> kind_of(ord("a")), kind_of(0x1F600), kind_of(ord(" "))
    ('lowercase letter', 'emoticon', None)
    """
    category = unicodedata.category(chr(code))
    if category not in CATEGORIES or not unicodedata.name(chr(code), ""):
        return None
    block = next((name for (first, last), name in BLOCKS.items() if first <= code <= last), None)
    return block if block and category == "So" else CATEGORIES[category]


def _files(path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give a font, as in font:DejaVuSans.ttf")
    if not path.is_dir():
        return [path]
    files = only_files(file for file in path.rglob("*") if file.name.lower().endswith(SUFFIXES))
    if not files:
        raise DataError(f"{path}: no fonts in it; give a folder of {', '.join(SUFFIXES)} files")
    return sorted(files, key=lambda file: natural(file.relative_to(path).as_posix()))


def _named(file: Path) -> list[int]:
    """The font's characters that a picture can show."""
    try:
        return [code for code in characters(file.read_bytes()) if kind_of(code)]
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}); give a font's file") from None
    except ValueError as error:
        raise DataError(f"{file}: {error}; give a .ttf, .otf or .ttc file") from None


def _toned(file: Path, config: Config, codes: list[int]) -> list[tuple[int, int]]:
    """(character, skin tone) for all that the font draws as one glyph; none where they are not asked for."""
    if not config.tones:
        return []
    font, _ = _open(file, config.size, codes, joins=True)
    tone = chr(next(iter(TONES)))
    joined = [
        code for code in codes if code not in TONES and font.getlength(chr(code) + tone) == font.getlength(chr(code))
    ]
    return list(product(joined, TONES)) if font.getlength(tone) else []


def _held_out(config: Config, number: int) -> frozenset[int]:
    """Which of so many combinations are in test."""
    order = np.random.default_rng(config.seed).permutation(number)
    return frozenset(order[: round(config.hold_out * number)].tolist())


def _open(file: Path, side: int, codes: list[int], *, joins: bool = False) -> tuple[FreeTypeFont, bool]:
    """The font at a size that suits the pictures, and whether it has colours of its own.

    joins: characters that belong together become one glyph. Raises ConfigError where this Pillow cannot do that.
    """
    from PIL import ImageFont, features

    if joins and not features.check("raqm"):
        raise ConfigError("--font.tones: this Pillow has no Raqm, which joins characters; leave it out")
    layout = ImageFont.Layout.RAQM if joins else ImageFont.Layout.BASIC
    for size in (max(4, round(EM * side)), *BITMAP_SIZES):
        try:
            font = ImageFont.truetype(str(file), size, layout_engine=layout)
        except OSError:  # a font of bitmaps knows its own sizes only
            continue
        return font, _is_colour(font, codes)
    raise DataError(f"{file}: FreeType cannot draw it; give another font")


def _is_colour(font: FreeTypeFont, codes: list[int]) -> bool:
    """By a few glyphs spread over the font; in a colour font digits may have none."""
    some = codes[:: max(1, len(codes) // 16)]
    pictures = (np.asarray(_glyph(font, chr(code), is_colour=True)) for code in some)
    return any((rgb := picture[picture[..., 3] > 0][:, :3]).size and (rgb != rgb[:, :1]).any() for picture in pictures)


def _glyph(font: FreeTypeFont, text: str, is_colour: bool) -> Image:
    """RGBA, cut to the ink's box, at least a pixel large; of a damaged outline nothing is drawn."""
    from PIL import Image, ImageDraw

    try:
        left, top, right, bottom = font.getbbox(text)
        picture = Image.new("RGBA", (max(1, int(right - left)), max(1, int(bottom - top))))
        pen = ImageDraw.Draw(picture)
        pen.text((-left, -top), text, font=font, fill=(0, 0, 0, 255), embedded_color=is_colour)
    except OSError:
        return Image.new("RGBA", (1, 1))
    return picture


def _draw(font: FreeTypeFont, text: str, side: int, is_colour: bool) -> np.ndarray | None:
    """uint8 (side, side, 1 or 3), dark on white; None where nothing is drawn."""
    from PIL import Image

    glyph = _glyph(font, text, is_colour)
    box = glyph.getbbox()
    if box is None:
        return None
    glyph = glyph.crop(box)
    scale = min(1.0, FULL_SIDE * side / max(glyph.size), EM * side / font.size * 1.05)
    if scale < 1:
        width, height = (max(1, round(length * scale)) for length in glyph.size)
        glyph = glyph.resize((width, height), Image.Resampling.LANCZOS)
    white = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    white.alpha_composite(glyph, ((side - glyph.width) // 2, (side - glyph.height) // 2))
    pixels = np.asarray(white.convert("RGB"))
    return pixels if is_colour else pixels[..., :1]


def _record(
    file: Path, before: str, codes: tuple[int, ...], pixels: np.ndarray | None, split: str | None
) -> Record | Rejected:
    """codes: a character, or a character and a skin tone."""
    key = before + " ".join(f"U+{code:04X}" for code in codes)
    if pixels is None:
        return Rejected(key, "font", "its glyph draws nothing")
    name = ", ".join((unicodedata.name(chr(codes[0])).lower(), *(TONES[code] for code in codes[1:])))
    origin = {"source": file.name, "character": "".join(map(chr, codes))}
    return Record(image=pixels, key=key, label=kind_of(codes[0]), split=split, captions=(name,), origin=origin)
