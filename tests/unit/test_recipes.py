"""Recipes: every command is one that figment takes, and what is told of a picture is what was measured."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path

import pytest

from figment.cli import data, sample, train
from figment.cli._data_keep import Export
from figment.cli._parse import parse
from figment.cli.eval import Eval
from figment.core import plugins
from figment.core.errors import ConfigError
from recipes import gallery

ROOT = Path(__file__).parents[2]
NAMES = pytest.mark.parametrize("name", gallery.names())


def parsed(command: str) -> object:
    """The arguments of a `figment ...` line, as its verb reads them; nothing is done."""
    figment, verb, *words = shlex.split(command)
    assert figment == "figment"
    if verb == "data" and words[0] == "build":
        return parse(
            data._build_args(data._named_sources(words), ("decode", "split")), words[1:], verb="data build", about=""
        )
    if verb == "data":
        assert words[0] == "export", f"teach this test to read 'figment data {words[0]}'"
        return parse(Export, words[1:], verb="data export", about="")
    if verb == "train":
        family = plugins.load("families", words[0])
        return parse(train._args(family, family.Config.preset("small")), words[1:], verb="train", about="")
    if verb == "sample":
        return parse(sample._args(None), words[1:], verb="sample", about="")
    assert verb == "eval", f"teach this test to read 'figment {verb}'"
    return parse(Eval, words, verb="eval", about="")


def test_there_is_a_recipe_of_every_picture_in_the_gallery():
    pictures = {gallery.recipe(name).picture for name in gallery.names()}
    assert {path.with_suffix(".png").name for path in gallery.GALLERY.glob("*.json")} == pictures


@NAMES
def test_every_command_of_a_recipe_is_one_that_figment_takes(name):
    run = gallery.recipe(name)
    facts = json.loads((gallery.GALLERY / run.picture).with_suffix(".json").read_text("utf-8"))
    answers = [parsed(command) for command in run.commands]
    if facts["scores"]:
        assert isinstance(answers[-1], Eval)  # its scores are what the gallery shows
    assert run.found or run.picture in run.commands[-2].split()


def test_a_command_with_a_flag_that_is_none_is_noticed():
    with pytest.raises(ConfigError, match="unknown --setps"):
        parsed("figment train vae --data digits --out vae --setps 3000")


@NAMES
def test_a_recipe_tells_the_cost_and_the_score_that_were_measured(name):
    text = ast.get_docstring(ast.parse((ROOT / f"recipes/{name}.py").read_text("utf-8"))) or ""
    for word, fact in gallery.told(gallery.recipe(name)).items():
        assert f"{word:<10}{fact}" in text, f"recipes/{name}.py: run python -m recipes.gallery {name}"


def test_the_gallery_page_is_what_lies_in_the_gallery():
    assert gallery.PAGE.read_text("utf-8") == gallery.page(), "run: make gallery"
