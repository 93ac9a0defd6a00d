"""Copies across the split that a source brings: found, named on the card, warned of and shown."""

from __future__ import annotations

from figment.data.build import BuildConfig, build, dry_run
from figment.data.store import Store
from tests.commands import done
from tests.pictures import encode, write_folder
from tests.unit.test_data_clean import halved, jpeg_again, mirrored, photo


def official(tmp_path):
    """Ten training and five test pictures; of the test ones, one is copied exactly and two nearly."""
    train = {f"train/a/{seed}.png": encode(photo(seed)) for seed in range(10)}
    test = {f"test/a/{seed}.png": encode(photo(seed)) for seed in range(20, 25)}
    copies = {
        "train/a/exact.png": encode(photo(20)),
        "train/a/small.png": encode(halved(photo(21))),
        "train/b/mirror.png": encode(mirrored(photo(22))),
        "train/b/own.png": encode(jpeg_again(photo(0))),  # of a training picture: no leak
    }
    return write_folder(tmp_path / "pictures", train | test | copies)


def test_leaks_of_an_official_split_are_refused_told_and_shown(tmp_path):
    answer = done("data", "build", official(tmp_path), "--out", tmp_path / "data", "--size", 32)
    store = Store(tmp_path / "data")
    assert store.card["leaks"] == {
        "refused": 3,
        "kept": 0,
        "pairs": {
            "train/a/exact.png": "test/a/20.png",
            "train/a/small.png": "test/a/21.png",
            "train/b/mirror.png": "test/a/22.png",
        },
    }
    assert store.counts == {"train": 10, "test": 5}
    assert "warning: the source's own split leaks: 3 copies of held-out pictures, of which 3 were refused" in answer.err
    page = (store.path / "report.html").read_text()
    assert "Copies across the source's own split" in page.replace("&#39;", "'")


def test_a_restored_copy_is_a_leak_that_stays(tmp_path):
    official(tmp_path)
    done("data", "build", tmp_path / "pictures", "--out", tmp_path / "data", "--size", 32)
    answer = done("data", "restore", tmp_path / "data", "train/a/small.png")
    assert "2 were refused and 1 stay, such as train/a/small.png, like test/a/21.png" in answer.err
    leaks = Store(tmp_path / "data").card["leaks"]
    assert (leaks["refused"], leaks["kept"]) == (2, 1)
    assert "train/a/small.png" in Store(tmp_path / "data").keys("train")  # the official side is kept


def test_a_split_that_was_drawn_here_has_no_leaks_to_tell(tmp_path):
    pictures = {f"{seed}.png": encode(photo(seed)) for seed in range(12)} | {"c.png": encode(halved(photo(3)))}
    store = build([str(write_folder(tmp_path / "pictures", pictures))], tmp_path / "data", BuildConfig(size="32"))
    assert "leaks" not in store.card
    clean = write_folder(tmp_path / "clean", {f"{side}/{seed}.png": encode(photo(seed + 50 * (side == "test")))
                                              for side in ("train", "test") for seed in range(4)})  # fmt: skip
    assert build([str(clean)], tmp_path / "none", BuildConfig(size="32")).card["leaks"] == {"refused": 0, "kept": 0}
    assert dry_run([str(clean)]).counts == {"train": 4, "test": 4}
