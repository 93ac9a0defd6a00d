"""Moments of streams and of many ranks, and the statistics files of others."""

from __future__ import annotations

import io
import pickle
import zipfile
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from figment.core.errors import DataError
from figment.metrics import _frechet, _moments
from figment.metrics._frechet import Gaussian
from figment.metrics._moments import Moments, Stream, over_ranks
from figment.metrics._statistics import read_images, read_statistics, write_statistics


def same(first: Moments, second: Moments, tolerance: float = 1e-10) -> None:
    assert first.count == second.count
    np.testing.assert_allclose(first.mean, second.mean, rtol=tolerance)
    np.testing.assert_allclose(first.covariance, second.covariance, rtol=tolerance, atol=1e-10 * first.scatter.max())


def streamed(x: np.ndarray, batch: int) -> Moments:
    stream = Stream()
    for start in range(0, len(x), batch):
        stream.update(x[start : start + batch])
    return stream.moments()


@pytest.mark.parametrize("batch", [1, 7, 64, 1300])
def test_a_stream_does_not_depend_on_its_batches(batch):
    """Features at 1000 with a deviation of 0.001: raw second moments would have no digit left."""
    x = np.random.default_rng(0).normal(size=(1300, 12)) * 1e-3 + 1000
    moments = streamed(x, batch)
    assert moments.count == 1300
    np.testing.assert_allclose(moments.mean, x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.covariance, np.cov(x, rowvar=False), rtol=1e-8, atol=1e-15)
    same(moments, Moments.of(x), 1e-8)


def test_a_stream_goes_on_after_it_was_read_and_keeps_no_view():
    x, batch = np.random.default_rng(1).normal(size=(1000, 3)), np.empty((100, 3))
    stream = Stream()
    for start in range(0, 1000, 100):
        batch[:] = x[start : start + 100]
        stream.update(batch)
        stream.update(batch[:0])
        same(stream.moments(), Moments.of(x[: start + 100]))


def test_a_stream_merges_hundreds_of_rows_at_a_time(monkeypatch):
    """A merge costs as much as 512 rows, whatever it merges."""
    merges = []
    add = Moments.__add__
    monkeypatch.setattr(Moments, "__add__", lambda *two: merges.append(1) or add(*two))
    streamed(np.zeros((2048, 2)), 16)
    assert len(merges) <= 4


def test_blocks_and_counts_do_not_change_moments(monkeypatch):
    rng = np.random.default_rng(2)
    x, counts = rng.normal(size=(90, 5)).astype(np.float32), rng.integers(3, size=90)
    whole, counted = Moments.of(x), Moments.of(x, counts)
    assert whole.scatter.dtype == np.float64
    same(counted, Moments.of(np.repeat(x, counts, axis=0)))
    for rows in (1, 7):
        monkeypatch.setattr(_moments, "_BLOCK_ROWS", rows)
        same(Moments.of(x), whole)
        same(Moments.of(x, counts), counted)


def test_parts_of_any_size_add_up():
    x = np.random.default_rng(3).normal(size=(200, 6))
    cuts = np.split(x, [1, 3, 100, 170])
    same(reduce(Moments.__add__, map(Moments.of, cuts)), Moments.of(x))
    same(reduce(Moments.__add__, map(Moments.of, reversed(cuts))), Moments.of(x))


def test_alone_there_is_nothing_to_sum_over_ranks():
    moments = Moments.of(np.eye(3))
    assert over_ranks(moments) is moments


def _rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = distributed.FileStore(f"{folder}/store", 2)
    distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    x = np.load(f"{folder}/x.npy")
    moments = over_ranks(Moments.of(x[:30] if rank else x[30:]))
    np.savez(f"{folder}/{rank}.npz", count=moments.count, mean=moments.mean, scatter=moments.scatter)
    distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # quicker by seconds than fresh interpreters
def test_two_ranks_have_the_moments_of_both(tmp_path):
    x = np.random.default_rng(4).normal(size=(100, 4)) + 1000
    np.save(tmp_path / "x.npy", x)
    multiprocessing.start_processes(_rank, (str(tmp_path),), nprocs=2, start_method="fork")
    ranks = [
        Moments(int(one["count"]), one["mean"], one["scatter"]) for one in map(np.load, sorted(tmp_path.glob("?.npz")))
    ]
    np.testing.assert_array_equal(ranks[0].scatter, ranks[1].scatter)
    same(ranks[0], Moments.of(x), 1e-9)


# Statistics files


@pytest.fixture
def moments() -> Moments:
    return Moments.of(np.random.default_rng(5).normal(size=(50, 6)))


def test_what_is_written_is_read(tmp_path, moments):
    spatial = Moments.of(np.random.default_rng(6).normal(size=(50, 4)))
    write_statistics(tmp_path / "a.npz", moments, spatial)
    for layer, one in (("features", moments), ("spatial", spatial)):
        found = read_statistics(tmp_path / "a.npz", layer)
        np.testing.assert_array_equal(found.mean, one.mean)
        np.testing.assert_array_equal(found.covariance, one.covariance)
        assert found.count == 50
    digests = {read_statistics(tmp_path / "a.npz", layer).digest for layer in ("features", "features", "spatial")}
    assert len(digests) == 2


def test_pytorch_fid_and_adm_find_their_names(tmp_path, moments):
    write_statistics(tmp_path / "a.npz", moments, moments)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert {"mu", "sigma", "mu_s", "sigma_s"} <= set(file)
        np.testing.assert_array_equal(file["sigma"], moments.covariance)


def test_a_distance_to_a_file_is_that_to_its_pictures(tmp_path):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(300, 8)), rng.normal(size=(200, 8)) + 0.3
    np.savez(tmp_path / "a.npz", mu=x.mean(axis=0).astype(np.float32), sigma=np.asfortranarray(np.cov(x, rowvar=False)))
    found = read_statistics(tmp_path / "a.npz")
    assert found.count is None
    assert found.gaussian is found.gaussian
    assert _frechet.distance(found.gaussian, Gaussian.of(y)) == pytest.approx(_frechet.between(x, y), rel=1e-5)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"arr_0": np.zeros((2, 4, 4, 3), np.uint8)}, "has no mu and sigma but arr_0"),
        ({}, "has no mu and sigma but nothing"),
        ({"mu": np.zeros(3), "sigma": np.eye(4)}, r"mean \(3,\) and covariance \(4, 4\)"),
        ({"mu": np.zeros((3, 3)), "sigma": np.eye(3)}, r"mean \(3, 3\)"),
        ({"mu": np.full(3, np.nan), "sigma": np.eye(3)}, "not finite"),
        ({"mu": np.zeros(2), "sigma": np.array([[1.0, 2.0], [0.0, 1.0]])}, "not symmetric"),
        ({"mu": np.zeros(2), "sigma": -np.eye(2)}, "positive diagonal"),
        ({"mu": np.array(["a"]), "sigma": np.eye(1)}, "mu is <U1"),
        ({"mu": np.zeros(2**14 + 1, np.int8), "sigma": np.eye(1)}, "mu is int8"),
    ],
)
def test_what_is_no_statistics_file_is_refused_in_one_line(tmp_path, arrays, words):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=words) as raised:
        read_statistics(tmp_path / "a.npz")
    assert str(raised.value).startswith(str(tmp_path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06 no archive", b"\x93NUMPY\x01\x00"])
def test_no_archive_at_all_is_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a"):
        read_statistics(tmp_path / "a.npz")
    with pytest.raises(DataError, match="cannot be read as a"):
        read_statistics(tmp_path / "missing.npz")


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("trapped"),)


def test_pickled_code_is_never_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", mu=np.array([Trap()], dtype=object), sigma=np.eye(1))
    with zipfile.ZipFile("b.npz", "w") as archive:
        archive.writestr("mu.npy", pickle.dumps(Trap()))
        archive.writestr("sigma.npy", pickle.dumps(Trap()))
    for name in ("a.npz", "b.npz"):
        with pytest.raises(DataError):
            read_statistics(Path(name))
    assert not Path("trapped").exists()


def test_a_header_that_promises_more_than_there_is_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (9999, 9999)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("mu.npy", header.getvalue())
        archive.writestr("sigma.npy", header.getvalue())
    with pytest.raises(DataError, match="mu ends too early"):
        read_statistics(tmp_path / "a.npz")


def test_pictures_of_an_adm_batch_come_in_parts(tmp_path):
    images = np.random.default_rng(8).integers(256, size=(7, 4, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images, np.arange(7))
    chunks = list(read_images(tmp_path / "a.npz", rows=3))
    assert [len(chunk) for chunk in chunks] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate(chunks), images)


@pytest.mark.parametrize("images", [np.zeros((2, 4, 4, 3)), np.zeros((2, 4, 4), np.uint8), None])
def test_what_are_no_pictures_is_refused(tmp_path, images):
    np.savez(tmp_path / "a.npz", **({} if images is None else {"arr_0": images}))
    with pytest.raises(DataError, match="arr_0"):
        list(read_images(tmp_path / "a.npz"))
