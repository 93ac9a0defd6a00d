"""Building datasets: what comes out, that it is always the same, and that nothing can be lost on the way.

FIGMENT_KILLS=100 python -m pytest tests/unit/test_data_build.py -k random -rP      the long form, a minute
"""

from __future__ import annotations

import errno
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import figment.data.build as building
from figment.core.errors import ConfigError, DataError
from figment.core.types import ImageSpec, Rejected
from figment.data import workers
from figment.data.build import BuildConfig, build, dry_run
from figment.data.index import Index
from figment.data.store import Store
from tests.pictures import classes, encode, jpeg, pixels, png, write_folder, write_tar, write_zip

KILLS = int(os.environ.get("FIGMENT_KILLS", "5"))

MIXED = classes(12, ("cat", "dog", "emu")) | {
    "cat/copy.png": png(0),
    "dog/cut.png": png(5000)[:-40],
    "dog/not.png": b"hello",
    "emu/tiny.png": png(5001, 4, 4),
}


def everything(out: Path) -> dict:
    """All that a dataset says, in a form that compares."""
    files = {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.tar"))}
    with Index(out / "index.sqlite") as index:
        rows = list(index.rows())
    return {"files": files, "rows": rows, "card": json.loads((out / "card.json").read_text())}


def fork() -> int:
    """A fork of this process, which has loaded all that a build needs, so that each kill costs little."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # it may have threads
        return os.fork()


@pytest.fixture
def small_groups(monkeypatch):
    monkeypatch.setattr(building, "GROUP_PICTURES", 8)
    monkeypatch.setattr(building, "CHUNK_PICTURES", 3)


@pytest.fixture
def photos(tmp_path) -> Path:
    return write_folder(tmp_path / "photos", MIXED)


# What comes out.


def test_a_folder_becomes_a_dataset(tmp_path, photos):
    store = build([str(photos)], tmp_path / "out")
    assert store.spec == ImageSpec(3, 12, 12, classes=("cat", "dog", "emu"))
    assert sum(store.counts.values()) == 36
    for split in store.counts:
        for key, image, label in zip(store.keys(split), store.images(split), store.labels(split), strict=True):
            assert np.array_equal(image, np.asarray(Image.open(io.BytesIO(MIXED[key]))))
            assert store.spec.classes[label] == key.split("/")[0]


def test_nothing_is_dropped_silently(tmp_path, photos):
    store = build([str(photos)], tmp_path / "out")
    assert store.rejected() == [
        Rejected("cat/copy.png", "exact_duplicates", "same pixels as cat/0.png"),
        Rejected("dog/cut.png", "decode", "damaged: image file is truncated"),
        Rejected("dog/not.png", "decode", "not a picture in a known format; known are JPEG, PNG, WEBP, GIF, BMP, TIFF"),
        Rejected("emu/tiny.png", "min_size", "4x4 is smaller than 8 pixels"),
    ]
    assert store.card["rejected"] == {"decode": 2, "exact_duplicates": 1, "min_size": 1}
    for key in ("dog/cut.png", "dog/not.png", "emu/tiny.png"):
        assert store.encoded(key) == MIXED[key]


def test_shards_are_plain_webdataset_tars(tmp_path, photos):
    build([str(photos)], tmp_path / "out")
    with tarfile.open(tmp_path / "out/shards/000000000.tar") as shard:
        names = shard.getnames()
        assert names[:4] == ["000000000.png", "000000000.json", "000000001.png", "000000001.json"]
        picture = Image.open(shard.extractfile("000000000.png"))
        assert np.array_equal(np.asarray(picture), pixels(0))
        about = json.loads(shard.extractfile("000000000.json").read())
    assert about["key"] == "cat/0.png" and about["label"] == "cat"
    with tarfile.open(tmp_path / "out/rejected/000000000.tar") as shard:
        assert [name for name in shard.getnames() if name.endswith(".png")] == [f"{id:09d}.png" for id in (25, 26, 39)]


def test_the_card_has_the_statistics_of_the_pixels(tmp_path, photos):
    store = build([str(photos)], tmp_path / "out")
    all_images = np.concatenate([store.images(split) for split in store.counts]).reshape(-1, 3).astype(float)
    assert np.allclose(store.card["mean"], all_images.mean(0), atol=0.01)
    assert np.allclose(store.card["deviation"], all_images.std(0), atol=0.01)
    assert store.card["enlarged"] == 0
    assert store.card["balance"]["train"].keys() == {"cat", "dog", "emu"}


def test_digits_build(tmp_path):
    store = build(["digits:"], tmp_path / "out")
    assert store.spec == ImageSpec(1, 8, 8, classes=tuple("0123456789"))
    assert store.counts == {"train": 1596, "val": 201} and store.held_out == "val"
    assert store.rejected() == []


@pytest.mark.parametrize(
    ("files", "channels"),
    [
        ({"a.png": png(1, channels=1), "b.png": png(2, channels=1)}, 1),
        ({"a.png": png(1, channels=1), "b.png": png(2)}, 3),
        ({"a.png": png(1, channels=1), "b.png": png(2), "c.png": png(3, channels=4)}, 4),
    ],
    ids=["grey", "a colour", "an alpha"],
)
def test_channels_are_the_fewest_that_hold_all_pictures(tmp_path, files, channels):
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out")
    assert store.spec.channels == channels
    images = {
        key: image for split in store.counts for key, image in zip(store.keys(split), store.images(split), strict=True)
    }
    expected = np.repeat(pixels(1, channels=1), 3, axis=2)[..., :channels]
    assert np.array_equal(images["a.png"][..., :3], expected)
    assert channels < 4 or (images["a.png"][..., 3] == 255).all()


def test_photographs_of_many_sizes_just_work(tmp_path):
    files = {f"{place}.jpg": jpeg(place, 100 + 7 * place, 140 - 5 * place) for place in range(8)}
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out")
    assert store.spec == ImageSpec(3, 64, 64)
    assert store.card["recipe"]["steps"]["resize_crop"] == {"size": "64x64"}


def test_a_size_can_be_asked_for_and_enlarging_is_counted(tmp_path):
    files = {"a.png": png(1, 20, 20), "b.png": png(2, 60, 70)}
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out", BuildConfig(size="24x32"))
    assert (store.spec.height, store.spec.width) == (24, 32)
    assert store.card["enlarged"] == 1


def test_a_single_class_is_no_class(tmp_path):
    store = build([str(write_folder(tmp_path / "in", classes(4, ("cat",))))], tmp_path / "out")
    assert store.spec.classes == () and set(store.labels("train")) == {-1}


def test_official_splits_are_kept(tmp_path):
    files = {
        f"{split}/{name}": png(seed)
        for seed, (split, name) in enumerate([(s, n) for s in ("train", "test") for n in ("a/1.png", "b/1.png")])
    }
    store = build([str(write_folder(tmp_path / "in", files))], tmp_path / "out")
    assert store.counts == {"train": 2, "test": 2} and store.held_out == "test"


def test_several_sources_become_one_dataset(tmp_path):
    first = write_zip(tmp_path / "cats.zip", {"cats/1.png": png(1)})
    second = write_tar(tmp_path / "dogs.tar.gz", {"dogs/1.png": png(2)})
    store = build([str(first), str(second)], tmp_path / "out")
    keys = [key for split in store.counts for key in store.keys(split)]
    assert sorted(keys) == ["cats.zip/cats/1.png", "dogs.tar.gz/dogs/1.png"]
    assert store.spec.classes == ("cats", "dogs")


def test_the_same_source_twice_is_all_duplicates(tmp_path, photos):
    store = build([str(photos), str(photos)], tmp_path / "out")
    assert store.card["rejected"]["exact_duplicates"] == 38
    assert store.keys("train")[0].startswith("photos-1/")


def test_a_name_that_an_archive_holds_twice_gives_two_keys(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as file:
        for seed in (1, 2):
            member = tarfile.TarInfo("a.png")
            member.size = len(png(seed))
            file.addfile(member, io.BytesIO(png(seed)))
    store = build([str(path)], tmp_path / "out")
    assert sorted(store.keys("train") + store.keys("val")) == ["a.png", "a.png#1"]


def test_hostile_members_are_refused_and_the_rest_is_built(tmp_path):
    path = write_zip(tmp_path / "a.zip", {"../1.png": png(1), "2.png": png(2), "3.png": png(3)})
    store = build([str(path)], tmp_path / "out")
    assert store.rejected() == [Rejected("../1.png", "archive", "its path leads out of the archive by '..'")]
    assert sum(store.counts.values()) == 2 and list(tmp_path.glob("*.png")) == []


# Always the same.


def test_a_build_is_the_same_every_time(tmp_path, photos, small_groups):
    build([str(photos)], tmp_path / "one")
    build([str(photos)], tmp_path / "two")
    assert everything(tmp_path / "one") == everything(tmp_path / "two")
    assert len(list((tmp_path / "one/shards").iterdir())) == 5


def test_workers_make_the_same_as_the_parent_alone(tmp_path, photos, small_groups, monkeypatch):
    build([str(photos)], tmp_path / "alone")
    monkeypatch.setattr(workers, "ALONE_SECONDS", 0)
    monkeypatch.setattr(workers.os, "cpu_count", lambda: 2)
    build([str(photos)], tmp_path / "together")
    assert everything(tmp_path / "alone") == everything(tmp_path / "together")


def test_the_pixel_digest_sees_pixels_not_files(tmp_path):
    names = [f"{place}.png" for place in range(6)]
    one = write_folder(
        tmp_path / "one", {name: encode(pixels(place), compress_level=1) for place, name in enumerate(names)}
    )
    two = write_folder(
        tmp_path / "two", {name: encode(pixels(place), compress_level=9) for place, name in enumerate(names)}
    )
    assert build([str(one)], tmp_path / "a").pixel_digest == build([str(two)], tmp_path / "b").pixel_digest


def test_the_same_command_again_changes_nothing(tmp_path, photos):
    first = build([str(photos)], tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    again = build([str(photos)], tmp_path / "out")
    assert again.pixel_digest == first.pixel_digest
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")} == before


def test_another_recipe_is_refused_by_name(tmp_path, photos):
    build([str(photos)], tmp_path / "out")
    with pytest.raises(DataError) as caught:
        build([str(photos)], tmp_path / "out", BuildConfig(steps={"min_size": {"pixels": 9}}))
    change = "steps.min_size.pixels: 8, not 9"
    way_out = "give --out another folder, or --fresh to build it again"
    assert str(caught.value) == f"{tmp_path}/out: is a dataset of another recipe ({change}); {way_out}"
    with pytest.raises(DataError, match=r"steps.exact_duplicates: on, not off"):
        build([str(photos)], tmp_path / "out", BuildConfig(skip=("exact_duplicates",)))


def test_pictures_that_were_added_since_are_noticed(tmp_path, photos):
    build([str(photos)], tmp_path / "out")
    write_folder(photos, {"cat/new.png": png(77)})
    with pytest.raises(
        DataError, match="out: was made of 40 pictures, and now there are 41; give --out another folder"
    ):
        build([str(photos)], tmp_path / "out")
    assert sum(build([str(photos)], tmp_path / "out", fresh=True).counts.values()) == 37


def test_a_journal_alone_which_a_power_cut_may_leave_is_no_obstacle(tmp_path):
    out = tmp_path / "cut"
    out.mkdir()
    (out / "index.sqlite-journal").write_bytes(bytes(range(256)) * 3)
    assert build(["digits:"], out).pixel_digest
    assert not (out / "index.sqlite-journal").exists()


def test_fresh_removes_a_dataset_and_nothing_else(tmp_path, photos):
    build([str(photos)], tmp_path / "out")
    (tmp_path / "out/notes.txt").write_text("mine")
    build([str(photos)], tmp_path / "out", BuildConfig(size="16"), fresh=True)
    assert (tmp_path / "out/notes.txt").read_text() == "mine"
    stranger = write_folder(tmp_path / "stranger", {"a.txt": b"mine"})
    with pytest.raises(DataError, match="stranger: is not empty and holds no dataset; give --out a new folder"):
        build([str(photos)], stranger, fresh=True)
    assert (stranger / "a.txt").exists()


def test_a_clearing_that_was_killed_leaves_a_place_to_build_in(tmp_path, photos):
    build([str(photos)], tmp_path / "out")
    expected = everything(tmp_path / "out")
    (tmp_path / "out/shards/left over.tar").write_bytes(b"")
    child = fork()
    if child == 0:
        sys.addaudithook(lambda name, _: os.kill(os.getpid(), signal.SIGKILL) if name == "shutil.rmtree" else None)
        build([str(photos)], tmp_path / "out", fresh=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and not (tmp_path / "out/card.json").exists()
    build([str(photos)], tmp_path / "out")
    assert everything(tmp_path / "out") == expected


def test_a_dry_run_says_what_a_build_does_and_writes_nothing(tmp_path, photos):
    before = sorted(tmp_path.rglob("*"))
    rehearsal = dry_run([str(photos)])
    assert sorted(tmp_path.rglob("*")) == before
    store = build([str(photos)], tmp_path / "out")
    assert (rehearsal.spec, rehearsal.counts, list(rehearsal.rejected)) == (store.spec, store.counts, store.rejected())


def test_progress_counts_to_the_end(tmp_path, photos, small_groups):
    calls = []
    build([str(photos)], tmp_path / "out", progress=lambda done, total: calls.append((done, total)))
    looked = [(number, None) for number in range(1, 41)]  # at the pictures that decide the size
    assert calls == [*looked, *((done, 40) for done in range(3, 40, 3)), (40, 40)]
    calls.clear()
    path = write_tar(tmp_path / "a.tar", MIXED)
    build([str(path)], tmp_path / "out2", progress=lambda done, total: calls.append((done, total)))
    assert calls[-1] == (40, None)
    calls.clear()
    build([str(photos)], tmp_path / "out3", BuildConfig(size="16"), progress=lambda *call: calls.append(call))
    assert calls[:2] == [(1, None), (3, 40)]  # a size that is given needs no look


# Killed.

KILLED_BUILD = """
import sys, figment.data.build as building, figment.data.workers as workers
building.GROUP_PICTURES, building.CHUNK_PICTURES, workers.ALONE_SECONDS = 8, 3, 0
workers.os.cpu_count = lambda: 2
if __name__ == "__main__":
    building.build([sys.argv[1]], sys.argv[2], progress=lambda done, total: total and print(done, flush=True))
"""


def build_until_killed(photos: Path, out: Path, event: int) -> bool:
    """Build in a fork that kills itself at the n-th file it opens for writing or renames; whether it came to that."""
    child = fork()
    if child == 0:
        seen = 0

        def watch(name: str, details: tuple) -> None:
            nonlocal seen
            is_write = name == "open" and details[2] & (os.O_WRONLY | os.O_RDWR)
            if (is_write or name == "os.rename") and str(details[0]).startswith(str(out)):
                seen += 1
                if seen == event:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            build([str(photos)], out)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def test_a_build_that_is_killed_at_any_file_goes_on_to_the_same_dataset(tmp_path, photos, small_groups):
    build([str(photos)], tmp_path / "whole")
    expected = everything(tmp_path / "whole")
    num_killed, midway = 0, 0
    for event in range(1, 100):
        out = tmp_path / f"killed-{event}"
        if not build_until_killed(photos, out, event):
            break
        num_killed += 1
        assert not (out / "card.json").exists()
        with Index(out / "index.sqlite") as index:
            midway += 0 < index.value("select count(*) from images") < len(MIXED)
        build([str(photos)], out)
        assert everything(out) == expected
    assert num_killed >= 12 and midway >= 8  # five groups, each at least a shard written and renamed; the card


def test_a_build_that_is_killed_again_and_again_ends_the_same(tmp_path, photos, small_groups):
    build([str(photos)], tmp_path / "whole")
    num_killed = 0
    while build_until_killed(photos, tmp_path / "out", event=5):
        num_killed += 1
    assert num_killed >= 2
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_a_build_that_is_killed_at_random_moments_ends_the_same(tmp_path, photos, small_groups):
    began = time.monotonic()
    build([str(photos)], tmp_path / "whole")
    seconds, expected = time.monotonic() - began, everything(tmp_path / "whole")
    choose, kills, midway = random.Random(0), 0, 0
    for trial in range(20 * KILLS):
        out, is_done = tmp_path / f"killed-{trial}", False
        while not is_done:
            child = fork()
            if child == 0:
                try:
                    build([str(photos)], out)
                    os._exit(0)
                finally:
                    os._exit(1)
            if kills < KILLS:
                time.sleep(choose.uniform(0, 1.5 * seconds))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            is_done = not os.WIFSIGNALED(status)
            kills += not is_done
            midway += not is_done and (out / "shards").exists()
        assert status == 0 and everything(out) == expected
        if kills >= KILLS:
            break
    print(f"{kills} kills, {midway} of them with shards written")  # python -m pytest -rP shows it
    assert kills == KILLS


def test_a_kill_takes_the_workers_along_and_loses_nothing(tmp_path, photos, small_groups):
    script = tmp_path / "script.py"
    script.write_text(KILLED_BUILD)
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, script, photos, out], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while int(process.stdout.readline()) < 15:
            pass
        workers_alive = [int(pid) for pid in children_of(process.pid)]
        process.kill()
    assert len(workers_alive) >= 2
    assert not (out / "card.json").exists()
    with Index(out / "index.sqlite") as index:
        assert 0 < index.value("select count(*) from images") < len(MIXED)
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in workers_alive) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in workers_alive)
    build([str(photos)], out)
    build([str(photos)], tmp_path / "whole")
    assert everything(out) == everything(tmp_path / "whole")


def children_of(pid: int) -> list[str]:
    return subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout.split()


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def interrupt(photos: Path, out: Path) -> None:
    assert build_until_killed(photos, out, event=5)


def test_a_source_that_changed_since_the_interruption_is_noticed(tmp_path, photos, small_groups):
    interrupt(photos, tmp_path / "out")
    (photos / "cat/1.png").write_bytes(png(99))
    with pytest.raises(
        DataError, match=r"the source has changed at 'cat/1\.png' since this build was interrupted; give --out"
    ):
        build([str(photos)], tmp_path / "out")
    build([str(photos)], tmp_path / "out", fresh=True)


def test_an_unfinished_build_goes_on_with_its_own_recipe_only(tmp_path, photos, small_groups):
    interrupt(photos, tmp_path / "out")
    with pytest.raises(
        DataError, match=r"holds an unfinished build of another recipe \(steps.resize_crop.size: 12x12, not 16\)"
    ):
        build([str(photos)], tmp_path / "out", BuildConfig(size="16"))
    # Splits are drawn at the end, so they may still be changed.
    store = build([str(photos)], tmp_path / "out", BuildConfig(steps={"split": {"test": 0.3}}))
    assert "test" in store.counts


# Mistakes.


def test_out_must_be_a_place_for_a_dataset(tmp_path, photos):
    write_folder(tmp_path, {"file": b"", "full/a.txt": b""})
    for out, message in (
        (tmp_path / "file", "is a file; give --out a new folder"),
        (tmp_path / "full", "is not empty and holds no dataset; give --out a new folder"),
        (photos / "dataset", f"lies within the source {photos}; give --out a folder beside it"),
        (photos, f"lies within the source {photos}; give --out a folder beside it"),
    ):
        with pytest.raises(DataError) as caught:
            build([str(photos)], out)
        assert str(caught.value) == f"{out}: {message}"


def test_where_nothing_can_be_used_the_reasons_are_summed_up_and_nothing_is_left(tmp_path):
    files = {"1.png": b"hello", "2.png": b"hello", "3.png": png(1, 4, 4)}
    source = write_folder(tmp_path / "in", files)
    no_picture = "not a picture in a known format; known are JPEG, PNG, WEBP, GIF, BMP, TIFF"
    expected = (
        f"none of 3 pictures could be used: 2 by decode ({no_picture}); 1 by min_size (4x4 is smaller than 8 pixels)"
    )
    for attempt in (lambda: build([str(source)], tmp_path / "out"), lambda: dry_run([str(source)])):
        with pytest.raises(DataError) as caught:
            attempt()
        assert str(caught.value) == f"{expected}; give other pictures"
    assert sum(build([str(source)], tmp_path / "out", BuildConfig(skip=("min_size",))).counts.values()) == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (BuildConfig(size="big"), "--size big: give a side (32) or height x width (48x64), each from 1 to 4096"),
        (BuildConfig(skip=("min_sice",)), "no step 'min_sice'; did you mean 'min_size'?"),
        (BuildConfig(skip=("decode",)), "--skip decode: a picture must be decoded to be checked; skip another step"),
        (
            BuildConfig(skip=("min_size",), steps={"min_size": {"pixels": 4}}),
            "--skip min_size: it has settings too, which would have no effect; leave one out",
        ),
        (
            BuildConfig(size="32", skip=("resize_crop",)),
            "--size 32: has no effect with --skip resize_crop; leave one out",
        ),
        (
            BuildConfig(size="32", steps={"resize_crop": {"size": "64"}}),
            "--size 32 and --resize-crop.size 64: give one of them",
        ),
        (BuildConfig(steps={"min_size": {"pixel": 4}}), "--min-size: no setting 'pixel'; did you mean 'pixels'?"),
    ],
)
def test_settings_that_make_no_sense_are_errors(tmp_path, photos, config, message):
    with pytest.raises(ConfigError) as caught:
        build([str(photos)], tmp_path / "out", config)
    assert str(caught.value) == message
    assert not (tmp_path / "out").exists()


def test_no_source_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="no SOURCE: give a folder of pictures, an archive, or a source like digits:"):
        build([], tmp_path / "out")


def test_sizes_that_differ_need_the_resizing_step(tmp_path):
    source = write_folder(tmp_path / "in", {"a.png": png(1, 20, 20), "b.png": png(2, 30, 30), "c.png": png(3, 30, 30)})
    with pytest.raises(DataError, match="pictures of 2 sizes, most of 30x30: do not skip resize_crop"):
        build([str(source)], tmp_path / "out", BuildConfig(skip=("resize_crop",)))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space left on the disk; free some and give the same command again, it goes on from here"),
        (errno.EROFS, "cannot be written; give a folder of your own"),
        (errno.EACCES, "cannot be written; give a folder of your own"),
    ],
)
def test_what_the_disk_refuses_is_said_in_one_line(tmp_path, photos, small_groups, monkeypatch, number, message):
    calls = []

    def fail_later(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 3:
            raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_later)
        with pytest.raises(DataError) as caught:
            build([str(photos)], tmp_path / "out")
    assert str(caught.value) == f"{tmp_path}/out: {message}"
    build([str(photos)], tmp_path / "out")
    build([str(photos)], tmp_path / "whole")
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_an_out_that_cannot_be_made_is_said_in_one_line(tmp_path, photos):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        build([str(photos)], tmp_path / "file/out")
    assert str(caught.value) == f"{tmp_path}/file/out: Not a directory; give a folder that can be made and written"


def test_two_builds_of_one_dataset_do_not_meet(tmp_path, photos, monkeypatch):
    import sqlite3

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **options: connect(*args, timeout=0.01, **options))
    (tmp_path / "out").mkdir()
    with Index(tmp_path / "out/index.sqlite") as index:
        index.lock()
        with pytest.raises(DataError, match="out: another command is writing this dataset; wait until it has ended"):
            build([str(photos)], tmp_path / "out")
    assert isinstance(build([str(photos)], tmp_path / "out"), Store)
