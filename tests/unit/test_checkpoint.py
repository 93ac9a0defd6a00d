from __future__ import annotations

import json

import pytest
import torch

from figment.core.checkpoint import load_model, newest_checkpoint, prune, verify, write_checkpoint, write_model
from figment.core.errors import CheckpointError
from figment.core.types import ImageSpec
from figment.families import vae


def write(folder, step, value):
    return write_checkpoint(folder, step, {"objective": {"w": torch.full((3,), float(value))}}, {"value": value})


def nothing_to_warn(text):
    raise AssertionError(text)


def test_the_newest_whole_checkpoint_wins(tmp_path):
    write(tmp_path, 5, 1.0)
    write(tmp_path, 10, 2.0)
    found = newest_checkpoint(tmp_path, nothing_to_warn)
    assert (found.step, found.facts) == (10, {"value": 2.0})
    assert found.read("objective")["w"].tolist() == [2.0] * 3


@pytest.mark.parametrize("name", ["objective.safetensors", "manifest.json"])
@pytest.mark.parametrize("position", [0, 0.3, 0.6, 0.999])
def test_one_flipped_bit_is_found_named_and_fallen_back_from(tmp_path, name, position):
    write(tmp_path, 5, 1.0)
    path = write(tmp_path, 10, 2.0) / name
    data = bytearray(path.read_bytes())
    data[int(position * len(data))] ^= 0x10
    path.write_bytes(data)
    warnings = []
    found = newest_checkpoint(tmp_path, warnings.append)
    if name == "manifest.json" and not warnings:
        # The bit may have fallen on a space between two values: then nothing was lost.
        assert found.step == 10 and found.read("objective")["w"].tolist() == [2.0] * 3
    else:
        assert found.step == 5
        assert "00000010" in warnings[0] and "damaged" in warnings[0]


@pytest.mark.parametrize("name", ["objective.safetensors", "manifest.json"])
def test_a_truncated_or_missing_file_is_found(tmp_path, name):
    path = write(tmp_path, 10, 2.0) / name
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(CheckpointError):
        verify(tmp_path / "00000010")
    path.unlink()
    with pytest.raises(CheckpointError):
        verify(tmp_path / "00000010")


def test_an_unfinished_checkpoint_does_not_count(tmp_path):
    write(tmp_path, 5, 1.0)
    write(tmp_path, 10, 2.0).rename(tmp_path / "00000010.tmp")
    assert newest_checkpoint(tmp_path, nothing_to_warn).step == 5
    write(tmp_path, 10, 3.0)  # and does not stand in the way of the next attempt
    assert newest_checkpoint(tmp_path, nothing_to_warn).facts == {"value": 3.0}


def test_pruning_keeps_the_newest_and_the_best(tmp_path):
    for step in (1, 2, 3, 4, 5):
        write(tmp_path, step, step)
    prune(tmp_path, keep=2, best_step=2, newest_step=5)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["00000002", "00000004", "00000005"]


@pytest.fixture
def shipped(tmp_path):
    spec = ImageSpec(1, 8, 8, classes=("a", "b"))
    config = vae.Config.preset("tiny")
    model = vae.build(config, spec).model
    write_model(tmp_path / "model", model.state_dict(), "vae", config, spec, {"seen_images": 7})
    return tmp_path, model


def test_a_shipped_model_loads_equal(shipped):
    folder, model = shipped
    for path in (folder, folder / "model"):
        loaded = load_model(path)
        assert (loaded.family, loaded.spec.classes, loaded.facts["seen_images"]) == ("vae", ("a", "b"), 7)
        for name, tensor in model.state_dict().items():
            assert torch.equal(loaded.model.state_dict()[name], tensor)


def test_damaged_weights_are_refused_before_use(shipped):
    path = shipped[0] / "model" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged"):
        load_model(shipped[0])


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"format": 99}, "format 99, this figment reads 1; upgrade figment"),
        ({"family": "nosuch"}, "damaged or of another version"),
        ({"settings": {"widht": 3}}, "no setting 'widht'; did you mean 'width'"),
    ],
)
def test_a_config_of_another_version_is_refused(shipped, change, text):
    path = shipped[0] / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(CheckpointError, match=text):
        load_model(shipped[0])


def test_a_config_that_says_something_else_than_was_written_is_refused(shipped):
    path = shipped[0] / "model" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config, indent=4))
    assert load_model(shipped[0])
    path.write_text(json.dumps(config | {"facts": {"step": 99}}))
    with pytest.raises(CheckpointError, match=r"config\.json: damaged or changed by hand"):
        load_model(shipped[0])


def test_what_is_no_run_is_told_apart(tmp_path):
    with pytest.raises(CheckpointError, match="no such run; train one with"):
        load_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="is not a figment run"):
        load_model(tmp_path)
    (tmp_path / "card.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is a dataset, not a run"):
        load_model(tmp_path)
