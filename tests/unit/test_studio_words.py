"""The studio's texts: both languages say the same things, and nothing is asked for that neither says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import figment.serve

STUDIO = Path(figment.serve.__file__).parent / "studio"
MODULES = sorted(path for path in STUDIO.glob("*.js") if not path.name.startswith(("words_", "names_")))
# Texts of names that plugins bring: where a table does not have one, the name is shown as it is.
OPEN = {"setting", "about", "edit-name", "edit-about", "metric", "capability", "step", "count", "extra"}


def words(language: str) -> dict[str, str]:
    text = (STUDIO / f"words_{language}.js").read_text("utf-8")
    return dict(re.findall(r'^  "([\w.-]+)": "(.*)",$', text, re.MULTILINE))


def test_both_languages_have_every_text_with_the_same_values_in_it():
    english, chinese = words("en"), words("zh")
    assert len(english) > 200
    assert english.keys() == chinese.keys()
    values = {
        key: (set(re.findall(r"{\w+}", english[key])), set(re.findall(r"{\w+}", chinese[key]))) for key in english
    }
    assert {key: pair for key, pair in values.items() if pair[0] != pair[1]} == {}


def test_chinese_is_chinese():
    latin = {key for key, text in words("zh").items() if text and not re.search(r"[\u4e00-\u9fff]", text)}
    assert latin == {"app.failed"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_every_text_that_is_asked_for_is_there(path):
    groups = {key.partition(".")[0] for key in words("en")} - OPEN
    asked = set(re.findall(rf'"((?:{"|".join(groups)})\.[\w-]+)"', path.read_text("utf-8")))
    assert asked <= words("en").keys() | {"app.js"}


def test_no_text_is_left_over():
    page = (STUDIO / "index.html").read_text("utf-8") + "".join(path.read_text("utf-8") for path in MODULES)
    built = ("tab.", "split.", "data.", "explore.")  # names are put together
    idle = [key for key in words("en") if f'"{key}"' not in page and not key.startswith(built)]
    assert idle == []


@pytest.mark.parametrize("path", sorted(STUDIO.glob("*.js")), ids=lambda path: path.name)
def test_every_module_is_one_short_idea_and_says_which(path):
    lines = path.read_text("utf-8").splitlines()
    assert lines[0].startswith("/**")
    assert len(lines) < 300
    assert max(map(len, lines)) <= 120 or path.name.startswith(("words_", "names_"))


@pytest.mark.parametrize("path", sorted(STUDIO.iterdir()), ids=lambda path: path.name)
def test_nothing_is_asked_of_anybody_else(path):
    addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", path.read_text("utf-8")))
    assert addresses <= {"http://www.w3.org/2000/svg", "https://www.w3.org/TR/png-3/"}
