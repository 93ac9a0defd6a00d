"""Irrelevant pictures: what is unlike all others, and what is like an example of what nobody wants."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from figment.core.errors import ConfigError
from figment.data.build import BuildConfig, build, dry_run
from figment.data.descriptors import SIZE, descriptors
from figment.data.figures import measure
from figment.data.steps.outliers import NEIGHBOUR, distances
from figment.data.store import Store
from tests.commands import done, figment
from tests.pictures import encode, write_folder
from tests.unit.test_data_clean import photo


def page(seed: int) -> np.ndarray:
    """uint8 (96, 128, 3): a page of text, lines of dark words on white."""
    rng = np.random.default_rng(seed)
    picture = np.full((96, 128, 3), 250, np.uint8)
    for top in range(8, 90, 8):
        picture[top : top + 4, 10:118] = np.where(rng.random((4, 108, 1)) < 0.5, 30, 240)
    return picture


def ball(seed: int) -> np.ndarray:
    """uint8 (96, 128, 3): a bright disc on dark ground, somewhere near the middle, of some colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :128]
    inside = np.hypot(y - rng.uniform(40, 56), x - rng.uniform(54, 74)) < rng.uniform(22, 34)
    noise = rng.normal(0, 6, (96, 128, 1))
    colours = np.where(inside[..., None], rng.uniform(150, 250, 3), rng.uniform(10, 60, 3))
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def test_distances_are_those_to_the_neighbour_in_terms_of_the_usual(monkeypatch):
    points = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    points[7] += 20
    every = np.sqrt(np.square(points[:, None] - points[None]).sum(2))
    exact = np.sort(every, axis=1)[:, NEIGHBOUR]  # the first is the point itself
    monkeypatch.setattr("figment.data.steps.outliers._AT_ONCE", 64)
    away = distances(points)
    assert away == pytest.approx(exact / np.median(exact), rel=1e-3)
    assert away.argmax() == 7 and np.median(away) == pytest.approx(1)
    monkeypatch.setattr("figment.data.steps.outliers.COMPARED", 100)  # a sample of them tells the same
    assert distances(points).argmax() == 7


@pytest.mark.parametrize("channels", [1, 3])
def test_descriptors_see_edges_and_colours(channels):
    thumbnails = [np.frombuffer(measure(one[..., :channels]).thumbnail, np.uint8).reshape(16, 16, -1)
                  for one in (photo(1), photo(1)[:, ::-1], photo(2), np.full((64, 64, 3), 9, np.uint8))]  # fmt: skip
    points = descriptors(np.stack([np.broadcast_to(one, (16, 16, 3)) for one in thumbnails]))
    assert points.shape == (4, SIZE) and np.isfinite(points).all()
    edges = np.linalg.norm(points[:, : SIZE - 48], axis=1)
    assert (edges[:3] > 0.7).all() and edges[3] < 0.01  # a flat picture has no edges to be told by


def test_strange_pictures_are_told_by_a_dry_run_and_refused_by_the_limit(tmp_path):
    pictures = {f"{seed}.png": encode(ball(seed)) for seed in range(150)}
    strange = {f"page{seed}.png": encode(page(seed)) for seed in range(4)}
    folder = write_folder(tmp_path / "pictures", pictures | strange)
    usual = BuildConfig(size="32", skip=("near_duplicates",))
    trial = dry_run([str(folder)], usual)
    assert trial.suggested["--outliers.distance 2"] == 4 and not trial.rejected
    store = build([str(folder)], tmp_path / "data", replace(usual, steps={"outliers": {"distance": 2.0}}))
    refused = store.rejected()
    assert {one.key for one in refused} == set(strange)
    assert all(one.reason.startswith("unlike the others: ") for one in refused)
    store.restore(["page0.png"])
    assert sum(store.counts.values()) == 151


def test_what_is_like_an_example_is_refused(tmp_path):
    examples = write_folder(tmp_path / "examples", {"text.jpg": encode(page(100), "JPEG"), "notes.txt": b"no picture"})
    pictures = {f"{seed}.png": encode(ball(seed)) for seed in range(20)}
    pictures |= {f"photo{seed}.png": encode(photo(seed)) for seed in range(20)}
    pictures |= {f"page{seed}.png": encode(page(seed)) for seed in range(3)}
    folder = write_folder(tmp_path / "pictures", pictures)
    trial = dry_run([str(folder)], BuildConfig(size="32", steps={"unlike": {"examples": str(examples)}}))
    assert {one.key for one in trial.rejected} == {f"page{seed}.png" for seed in range(3)}
    assert all(one.reason.startswith("like the example text.jpg: 0.") for one in trial.rejected)
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError, match="no picture in it; give a folder of examples"):
        dry_run([str(folder)], BuildConfig(size="32", steps={"unlike": {"examples": str(tmp_path / "none")}}))
    (examples / "bad.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"bad\.png: not a picture in a known format.*; take it out of the folder"):
        dry_run([str(folder)], BuildConfig(size="32", steps={"unlike": {"examples": str(examples)}}))


def test_the_judge_knows_what_is_no_digit(judged, tmp_path):
    rng = np.random.default_rng(0)
    noise = {f"{seed}.png": encode(255 * rng.integers(0, 2, (8, 8, 1), np.uint8)) for seed in range(8)}
    source = write_folder(tmp_path / "noise", noise)
    store = build(["digits:", str(source)], tmp_path / "data")
    (run,) = (judged.path / "judges").iterdir()
    words = ("data", "outliers", store.path, "--judge", run, "--num", 8, "--json")
    told = done(*words).json
    assert {one["key"] for one in told["strangest"]} == {f"noise/{name}" for name in noise}
    limit = told["strangest"][-1]["distance"] - 0.01
    assert told["refused"] == 0 and Store(store.path).counts == store.counts
    assert done(*words, "--distance", limit).json["refused"] == 8
    left = Store(store.path)
    assert sum(left.counts.values()) == 1797
    assert {one.reason.partition(":")[0] for one in left.rejected()} == {"unlike the others"}
    left.restore(["noise/3.png"])
    assert sum(left.counts.values()) == 1798


def test_too_few_pictures_have_no_outliers(tmp_path):
    source = write_folder(tmp_path / "few", {f"{seed}.png": encode(ball(seed)) for seed in range(9)})
    store = build([str(source)], tmp_path / "data")
    assert "9 pictures are too few to say which are strange" in figment("data", "outliers", store.path).complaint
