"""Settings of sources, from the command line to the recipe of a dataset."""

from __future__ import annotations

import pytest

from figment.core.errors import ConfigError, DataError
from figment.data.build import BuildConfig, build
from figment.data.source import resolve
from figment.data.sources.shapes import Config
from figment.data.store import Store
from tests.commands import done, figment

SMALL = ("--shapes.size", "16")


def test_a_setting_on_the_command_line_reaches_the_source(tmp_path):
    done("data", "build", "shapes:5", *SMALL, "--shapes.frames", 2, "--shapes.hold-out", 0.25, "--out", tmp_path)
    store = Store(tmp_path)
    assert (store.spec.frames, store.spec.height) == (2, 16)
    chosen = {"size": 16, "frames": 2, "figures": 2, "only": [], "hold_out": 0.25, "seed": 0}
    assert store.card["recipe"]["source_settings"] == {"shapes": chosen}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("digits:", *SMALL), "--shapes: is no source of this build; give shapes:ARGUMENT or leave it out"),
        (("shapes:5", "--shapes.frame", "3"), "unknown --shapes.frame; did you mean '--shapes.frames'?"),
        (("shapes:5", "--shapes.frames", "0"), "--shapes.frames 0: give a number between 1 and 256"),
        (("shapes:5", "--shapes.frames", "many"), "--shapes.frames many: expected INT"),
        (("shapes:5", "--archive.argument", "x"), "unknown --archive.argument"),
    ],
)
def test_a_setting_that_cannot_be_is_answered(tmp_path, words, message):
    complaint = figment("data", "build", *words, "--out", tmp_path / "out").complaint
    assert message in complaint
    assert not (tmp_path / "out").exists()


def test_help_lists_the_settings_of_sources():
    text = done("data", "build", "--help").out
    assert "--shapes.hold-out" in text and "--frames.length" in text and "shapes.argument" not in text


def test_another_setting_is_another_recipe(tmp_path):
    build(["shapes:5"], tmp_path, BuildConfig(sources={"shapes": {"size": 16}}))
    with pytest.raises(DataError, match=r"another recipe \(source_settings\.shapes\.size: 16, not 24\)"):
        build(["shapes:5"], tmp_path, BuildConfig(sources={"shapes": {"size": 24}}))
    assert build(["shapes:5"], tmp_path, BuildConfig(sources={"shapes": {"size": 16}})).counts


def test_settings_that_there_are_not_are_named():
    assert resolve("shapes:5", {"shapes": {"size": 16}}) == ("shapes", Config("5", size=16))
    with pytest.raises(ConfigError, match="--shapes: no setting 'sise'; did you mean 'size'"):
        resolve("shapes:5", {"shapes": {"sise": 16}})


def test_two_sources_that_are_no_paths_have_keys_of_their_own(tmp_path):
    store = build(["shapes:3", "shapes:2"], tmp_path, BuildConfig(size="16"))
    keys = [key for split in store.counts for key in store.keys(split)] + [one.key for one in store.rejected()]
    assert sorted(keys) == [
        "shapes-1/000000",
        "shapes-1/000001",
        "shapes-1/000002",
        "shapes-2/000000",
        "shapes-2/000001",
    ]
