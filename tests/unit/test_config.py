from __future__ import annotations

from dataclasses import dataclass

import pytest

from figment.core.config import Augment, TrainConfig, from_json, read_json, to_json, write_json
from figment.core.errors import ConfigError
from figment.core.types import ImageSpec


@pytest.mark.parametrize(
    "settings",
    [TrainConfig(), TrainConfig(augment=Augment(flip=True, crop=3)), ImageSpec(3, 4, 5, classes=("a", "b"))],
)
def test_settings_survive_json(settings):
    assert from_json(type(settings), to_json(settings)) == settings


def test_an_unknown_setting_is_named_with_the_nearest():
    with pytest.raises(ConfigError, match=r"config.json: no setting 'batchsize'; did you mean 'batch_size'\?"):
        from_json(TrainConfig, {"batchsize": 3})


def test_a_missing_setting_is_named():
    with pytest.raises(ConfigError, match=r"the setting 'height' is missing"):
        from_json(ImageSpec, {"channels": 1, "width": 3})


def test_nested_optional_settings_are_restored():
    @dataclass(frozen=True)
    class Outer:
        inner: Augment | None = None

    # The class is local, so its hints are given rather than looked up.
    Outer.__annotations__["inner"] = Augment | None
    assert from_json(Outer, {"inner": {"crop": 2}}) == Outer(Augment(crop=2))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"lr": -1.0}, "--train.lr -1: give a number between 0 and 10"),
        ({"batch_size": 0}, "--train.batch-size 0: give a number at least 1"),
        ({"beta1": 1.0}, "--train.beta1 1: give a number below 1, such as 0.9"),
        ({"optimizer": "rmsprop", "beta2": 1.0}, "--train.beta2 1: give a number below 1, such as 0.99"),
        ({"batch_size": 2, "slices": 4}, "--train.slices 4: a batch of 2 cannot be cut into more parts"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_flag(change, text):
    with pytest.raises(ConfigError) as caught:
        TrainConfig(**change)
    assert str(caught.value) == text


def test_a_complaint_is_one_line_whatever_it_quotes():
    assert str(ConfigError("no family 'a\nb\r\nc'; did you mean 'd'?")) == "no family 'a b c'; did you mean 'd'?"


def test_json_files_are_replaced_whole(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": [1, 2]})
    assert read_json(path) == {"a": [1, 2]}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_damaged_json_is_named(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"a\.json: not readable as JSON"):
        read_json(path)
