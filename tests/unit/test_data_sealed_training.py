"""Training on a sealed dataset: the same run as on the opened one, and nothing of it in clear on the disk."""

from __future__ import annotations

import io
import shutil

import numpy as np
import pytest

pytest.importorskip("cryptography")

from figment.core.errors import DataError
from figment.data import keys
from figment.data.build import BuildConfig, build
from figment.data.captions import told_side
from figment.data.keys import KeyFile
from figment.data.sealed_store import SealedStore
from figment.data.sealing import seal
from figment.data.store import Store
from tests.commands import QUICK, contents, done, figment, flip_bit, trained
from tests.pictures import write_folder


@pytest.fixture
def sealed(digits, tmp_path):
    """The digits as a sealed file, and its key."""
    shutil.copytree(digits.path, tmp_path / "digits", ignore=shutil.ignore_patterns("judges"))
    seal(tmp_path / "digits", tmp_path / "digits.sealed", KeyFile(tmp_path / "key"))
    shutil.rmtree(tmp_path / "digits")
    return tmp_path / "digits.sealed", tmp_path / "key"


def test_a_sealed_dataset_reads_as_the_open_one_does(digits, sealed):
    store = SealedStore(sealed[0], KeyFile(sealed[1]))
    assert (store.spec, store.counts, store.pixel_digest) == (digits.spec, digits.counts, digits.pixel_digest)
    for split in store.counts:
        assert np.array_equal(store.images(split), digits.images(split))
        assert np.array_equal(store.labels(split), digits.labels(split))
    key = store.keys("val")[0]
    assert store.encoded(key) == digits.encoded(key)
    with pytest.raises(DataError, match="is sealed and cannot be changed; open it"):
        store.relabel({key: "1"})
    with pytest.raises(ValueError, match="read-only"):
        store.images("train")[0] = 0


def test_a_run_on_a_sealed_dataset_is_the_run_on_the_open_one(digits, sealed, tmp_path):
    steps = (*QUICK, "--steps", 4, "--train.save-every", 2)
    done("train", "vae", "--data", digits.path, "--out", tmp_path / "open", *steps)
    done("train", "vae", "--data", sealed[0], "--key", sealed[1], "--out", tmp_path / "run", *steps)
    one, other = trained(tmp_path / "run"), trained(tmp_path / "open")
    assert one["model"].pop("config.json") != other["model"].pop("config.json")  # which name the dataset's place
    assert one == other
    beside = {path.name for path in tmp_path.iterdir()}
    assert beside == {"digits.sealed", "key", "open", "run"}
    said = figment("sample", tmp_path / "run", "--num", 2, "--out", tmp_path / "a.png")
    assert said.code == 0, said.err


def test_what_is_wrong_with_a_sealed_dataset_is_said(digits, sealed, tmp_path):
    path, key = sealed
    words = ("train", "vae", "--out", tmp_path / "run", *QUICK, "--steps", 1, "--data")
    assert figment("data", "report", path).complaint == (
        f"{path}: is sealed; open it with: figment data open {path} --out DATASET"
    )
    assert figment(*words, digits.path, "--key", key).complaint.endswith("is not sealed; leave it out")
    said = figment(*words, path, "--key", key, "--train.score-every", 2).complaint
    assert "keeps a judge beside the dataset, which is sealed" in said
    with pytest.raises(DataError, match="holds no dataset"):
        seal(write_folder(tmp_path / "folder", {"x": b"1"}), tmp_path / "other", KeyFile(key))
        SealedStore(tmp_path / "other", KeyFile(key))
    flip_bit(path)
    assert figment(*words, path, "--key", key).complaint.startswith(f"{path}: was changed or cut off")
    assert not (tmp_path / "run").exists()


def test_the_passphrase_comes_from_the_environment_or_the_terminal(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "_ARGON", {"iterations": 1, "lanes": 1, "memory_kib": 64})
    monkeypatch.setenv("FIGMENT_PASSPHRASE", "open sesame")
    done("data", "seal", digits.path, "--out", tmp_path / "sealed")
    words = ("train", "vae", "--out", tmp_path / "run", *QUICK, "--steps", 1, "--data", tmp_path / "sealed")
    done(*words)
    monkeypatch.delenv("FIGMENT_PASSPHRASE")
    monkeypatch.setattr("sys.stdin", io.StringIO("close sesame\n"))
    assert "is locked with another key or passphrase" in figment(*words).complaint
    monkeypatch.setattr("sys.stdin", io.StringIO("open sesame\n"))
    done(*words)


def test_a_run_is_sealed_and_opened_again_whole(digits, tmp_path):
    done("train", "vae", "--data", digits.path, "--out", tmp_path / "run", *QUICK, "--steps", 1)
    done("data", "seal", tmp_path / "run", "--out", tmp_path / "run.sealed", "--key", tmp_path / "key")
    done("data", "open", tmp_path / "run.sealed", "--out", tmp_path / "again", "--key", tmp_path / "key")
    assert contents(tmp_path / "again") == contents(tmp_path / "run")


def test_mirroring_what_speaks_of_sides_is_warned_of(tmp_path):
    store = build(["shapes:40"], tmp_path / "shapes", BuildConfig(sources={"shapes": {"size": 16}}))
    words = ("train", "flow", "--data", store.path, "--out", tmp_path / "run", *QUICK, "--steps", 1)
    answer = done(*words, "--train.augment.flip")
    assert "warning: --train.augment.flip: mirrors pictures and not what is said of them, such as '" in answer.err
    assert "--train.augment.flip" not in done(*words, "--fresh").err


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("a cup left of a box", True),
        ("RIGHT", True),
        ("红色圆形在左边", True),
        ("a bright leftover", False),
        ("", False),
    ],
)
def test_captions_that_speak_of_sides_are_told(text, tells):
    assert told_side([(), ("a cup", text)]) == (text if tells else None)


def test_a_store_is_read_from_a_folder_as_before(digits):
    assert Store(digits.path).images("train").flags.writeable is False
