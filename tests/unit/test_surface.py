"""What people build on: names to import, verbs and flags. A change here is a change for them, and meant."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import figment
from figment.cli._main import VERBS
from tests import commands

FLAGS = {
    "demo": "--out --minutes --seed",
    "make": "--out --family --minutes --size --seed",
    "data build": "--out --size --skip --on --dry-run --fresh",
    "data report": "--out",
    "data split": "--val --test",
    "data restore": "",
    "data propose": "--accept --num",
    "data protect": "--out --faces --fill --regions",
    "plan": "--data --minutes --scale",
    "train flow": "--data --out --key --scale --steps --minutes --seed --from --fresh",
    "sample RUN": "--out --animate --again --num --label --caption --seed --sampler",
    "edit denoise": "--out --label --caption --seed --num --mask --style",
    "eval": "--data --metrics --num --judge --features --seed --reference --statistics --out",
    "compare": "--data --metrics --num --judge --features --seed --out",
    "tune": "--data --by --num --milliseconds --dry-run --out",
    "serve": "--data --port --host --token --state",
    "doctor": "--data --num --rollback",
    "audit": "--data --num --seed",
    "export": "--to --out --fresh",
    "check": "",
}

WORDS = {"sample RUN": "sample"}  # what is typed for the help where it differs


def test_the_public_names_are_these():
    assert figment.__all__ == ["from_pretrained", "load", "save_pretrained"]
    own = {
        name
        for name, value in vars(figment).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == "figment"
    }
    assert own == set(figment.__all__)


@pytest.mark.parametrize("name", figment.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name):
    value = getattr(figment, name)
    assert inspect.getdoc(value)
    assert not inspect.isfunction(value) or inspect.signature(value).return_annotation is not inspect.Signature.empty


def test_the_version_is_the_installed_one():
    from importlib.metadata import version

    assert figment.__version__ == version("figment")
    assert commands.done("--version").out == f"figment {figment.__version__}\n"


@pytest.mark.parametrize("name", ["figment", "figment.cli._main", "figment.core.types", "figment.core.config"])
def test_importing_this_does_not_import_torch(name):
    code = f"import sys, {name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_verbs_are_these():
    life = ("demo", "make", "data", "plan", "train", "sample", "edit", "eval", "compare", "tune", "serve")
    assert (*life, "doctor", "audit", "export", "list", "check") == VERBS


@pytest.mark.parametrize("verb", FLAGS)
def test_the_flags_of_a_verb_are_these(verb):
    """Settings of plugins, --family.x and the like, are theirs; the flags without a dot are the verb's."""
    words = WORDS.get(verb, verb).split()
    text = commands.done(*words, "--help").out
    found = re.findall(r"^[│ ]*(--[a-z][\w-]*)(?=[ ,{]|$)", text, re.MULTILINE)
    assert " ".join(dict.fromkeys(found)) == FLAGS[verb]
