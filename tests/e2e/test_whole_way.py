"""The way that people go: a folder of pictures in; a dataset, a judge, a trained generator, scores and a report out."""

from __future__ import annotations

import json
import shlex
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import figment.evaluate.judge as judging
from figment.core.images import read_recipe
from figment.data.store import Store
from figment.evaluate.scores import Score
from tests.commands import QUICK, Answer, contents, done, figment, log
from tests.pictures import classes, encode, pixels, png, write_folder

STEPS = (*QUICK, "--steps", 10)


class Page(HTMLParser):
    """What a report shows and where it looks for it."""

    def __init__(self, path: Path):
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.commands: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data + " "
        if data.startswith("figment ") and self.tags[-1] == "code":
            self.commands.append(data)


def is_self_contained(page: Page, *beside: str) -> bool:
    """Whether a page needs nothing but itself; `beside` it lie others that it leads to."""
    fetches_nothing = all(link.startswith(("data:", "#")) or link in beside for link in page.links)
    return fetches_nothing and not {"script", "iframe", "object", "embed"} & set(page.tags)


def read(path: Path) -> np.ndarray:
    """(H, W, C) or (H, W), as whole numbers that can be subtracted."""
    with Image.open(path) as picture:
        return np.asarray(picture).astype(int)


# figment make


@pytest.fixture(scope="module")
def made(shapes, tmp_path_factory) -> tuple[Path, Answer]:
    """`figment make` on the folder of shapes, with a judge that looks at a tenth of the usual number of pictures.

    At 8x8, which is quick; pictures as large as they are come below.
    """
    out = tmp_path_factory.mktemp("made") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "LEAST_IMAGES", 2000)
        answer = done("make", shapes, "--out", out, "--size", 8, "--minutes", 0.05, "--json")
    return out, answer


@pytest.fixture
def small_judge(monkeypatch):
    monkeypatch.setattr(judging, "LEAST_IMAGES", 2000)


def test_make_leaves_everything_where_it_says(made):
    out, answer = made
    assert set(answer.json) == {"seconds", "report", "runs"}
    assert answer.json["report"] == str(out / "report.html")
    store = Store(out / "dataset")
    assert store.spec.classes == ("disc", "square") and store.spec.shape == (3, 8, 8)
    assert sum(store.counts.values()) == 24 and store.counts["val"] >= 2
    parts = {path.relative_to(out).parts[0] for path in out.rglob("*")}
    assert parts == {"dataset", "run", "samples.png", "report.html"}
    assert {"config.json", "log.jsonl", "checkpoints", "model"} <= {path.name for path in (out / "run").iterdir()}
    assert len(list((out / "dataset/judges").iterdir())) == 1


def test_every_score_comes_with_what_makes_it_honest(made):
    out, answer = made
    (run,) = answer.json["runs"]
    assert (run["run"], run["family"]) == (str(out / "run"), "flow")
    assert {"fd", "kid", "accuracy", "nearest"} <= run["scores"].keys()
    # What so few pictures cannot say is not said, and why.
    assert "coverage" not in run["scores"] and "warning: density_coverage is left out: " in answer.err
    for score in run["scores"].values():
        assert set(score) == set(Score.__dataclass_fields__)
        assert score["num_fake"] <= sum(Store(out / "dataset").counts.values())
        assert score["low"] <= score["high"] and np.isfinite([score["value"], score["low"], score["high"]]).all()
        assert score["extractor"].startswith("judge classifier ") and score["protocol"]
        assert score["reference_digest"].startswith(Store(out / "dataset").pixel_digest[:16])


def test_the_report_shows_it_all_and_needs_nothing_else(made):
    out, _ = made
    page, others = Page(out / "report.html"), ("dataset/report.html", "run/report.html")
    assert is_self_contained(page, *others) and set(others) <= set(page.links)
    assert all(is_self_contained(Page(out / other)) for other in others)
    assert page.tags.count("img") >= 1 + 2 * 8  # the samples, and generated pictures beside their neighbours
    assert "svg" in page.tags  # curves
    for told in ("flow", "8x8x3, 2 classes", "floor", "held-out", "Nearest training pictures"):
        assert told in page.text
    assert len(page.commands) == 4


def test_the_commands_of_the_report_are_those_that_made_it(made, small_judge, tmp_path):
    out, answer = made
    before = contents(out, without=("report.html", "dataset/index"))
    scores = answer.json["runs"][0]["scores"]
    for command in Page(out / "report.html").commands:
        again = done(*shlex.split(command)[1:], "--json")
    assert contents(out, without=("report.html", "dataset/index")) == before
    assert again.json["runs"][0]["scores"] == scores


def test_make_again_is_quick_and_changes_nothing(made, shapes, small_judge):
    out, answer = made
    before = contents(out, without=("report.html", "dataset/index"))
    again = done("make", shapes, "--out", out, "--size", 8, "--minutes", 0.05, "--json")
    assert contents(out, without=("report.html", "dataset/index")) == before
    assert again.json["runs"] == answer.json["runs"]
    assert again.json["seconds"] < answer.json["seconds"]


def test_make_with_another_family_does_not_overwrite_the_first(made, shapes, small_judge):
    out, _ = made
    before = contents(out, without=("dataset/index",))
    refused = figment("make", shapes, "--out", out, "--size", 8, "--minutes", 0.05, "--family", "vae")
    assert "this run has the family flow, you asked for vae" in refused.complaint
    assert contents(out, without=("dataset/index",)) == before


def test_make_measures_a_classifier_as_one(shapes, small_judge, tmp_path):
    small = ("--size", 8, "--minutes", 0.01)
    answer = done("make", shapes, "--out", tmp_path / "out", *small, "--family", "classifier", "--json")
    (run,) = answer.json["runs"]
    assert run["scores"] == {} and run["classification"]["classes"][0]["name"] == "disc"
    assert not (tmp_path / "out/samples.png").exists()
    page = Page(tmp_path / "out/report.html")
    assert is_self_contained(page, "dataset/report.html", "run/report.html") and "Confusion" in page.text


# Datasets as people have them.


def check_every_way(source: Path, place: Path, families: dict[str, str], *, told: str = "") -> None:
    """Build; train, sample and score each family, or be told in one clear line why not."""
    data = place / "data"
    done("data", "build", source, "--out", data)
    spec = Store(data).spec
    judge = place / "judge"
    judged = figment("train", "classifier" if spec.classes else "contrastive", "--data", data, "--out", judge, *STEPS)
    for family, refusal in families.items():
        run = place / family
        answer = figment("train", family, "--data", data, "--out", run, *STEPS)
        if refusal:
            assert refusal in answer.complaint
            continue
        assert answer.code == 0, answer.err
        done("sample", run, "--num", 3, "--out", place / f"{family}-pictures")
        shapes = {read(file).shape for file in (place / f"{family}-pictures").rglob("*.png")}
        assert shapes == {(spec.height, spec.width, spec.channels)[: 2 + (spec.channels > 1)]}
        scored = figment("eval", run, "--data", data, "--judge", judge, "--num", 16, "--json")
        if told:
            assert told in scored.complaint
        else:
            assert scored.code == 0, scored.err
            assert "nearest" in " ".join(scored.json["runs"][0]["scores"])
    assert judged.code == 0, judged.err


GENERATORS = {"flow": "", "vae": "", "gan": ""}


def test_two_images_per_class(tmp_path):
    source = write_folder(tmp_path / "source", classes(2, ("cat", "dog"), height=16, width=16))
    check_every_way(source, tmp_path, GENERATORS)


def test_a_single_grey_image_of_17x23(tmp_path):
    source = write_folder(tmp_path / "source", {"only.png": png(3, 17, 23, 1)})
    refusal = "a classifier needs two classes or more"
    nothing = "has no held-out pictures to score against; add pictures, or hold some out with: figment data split"
    check_every_way(source, tmp_path, {"classifier": refusal, **GENERATORS}, told=nothing)
    refused = figment("make", source, "--out", tmp_path / "made", "--minutes", 0.01)
    assert "1 training pictures are too few for a judge; add pictures and build again" in refused.complaint


def test_grey_images_of_17x23(tmp_path):
    source = write_folder(tmp_path / "source", {f"{number}.png": png(number, 17, 23, 1) for number in range(12)})
    check_every_way(source, tmp_path, GENERATORS)


def test_rgba(tmp_path):
    source = write_folder(tmp_path / "source", classes(6, ("cat", "dog"), height=12, width=16, channels=4))
    check_every_way(source, tmp_path, GENERATORS)
    assert read(next((tmp_path / "flow-pictures").rglob("*.png"))).shape == (12, 16, 4)


def test_one_flat_folder_without_labels(tmp_path):
    source = write_folder(tmp_path / "source", {f"{number}.png": png(number, 16, 16) for number in range(12)})
    check_every_way(source, tmp_path, {"classifier": "a classifier needs two classes or more", **GENERATORS})
    assert sorted(path.name for path in (tmp_path / "gan-pictures").iterdir()) == ["0.png", "1.png", "2.png"]
    report = done("data", "report", tmp_path / "data", "--json").json["report"]
    assert is_self_contained(Page(Path(report)))


def test_pictures_that_are_all_the_same(tmp_path):
    """The duplicates are refused, and one picture is what is left."""
    source = write_folder(tmp_path / "source", {f"{number}.png": png(1, 16, 16) for number in range(5)})
    built = done("data", "build", source, "--out", tmp_path / "data", "--json").json
    assert (built["counts"], built["rejected"]) == ({"train": 1}, {"exact_duplicates": 4})


# figment sample


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory) -> Path:
    """A flow on the shapes, hardly trained."""
    place = tmp_path_factory.mktemp("sampled")
    done("data", "build", shapes, "--out", place / "data")
    done("train", "flow", "--data", place / "data", "--out", place / "run", *STEPS)
    return place / "run"


def test_a_folder_of_samples_is_sorted_by_label_and_named_by_seed(run, tmp_path):
    answer = done("sample", run, "--num", 5, "--seed", 40, "--out", tmp_path, "--json")
    names = ["disc/40.png", "square/41.png", "disc/42.png", "square/43.png", "disc/44.png"]
    assert answer.json["files"] == [str(tmp_path / name) for name in names]
    assert contents(tmp_path).keys() == set(names)
    assert all(read(tmp_path / name).shape == (16, 16, 3) for name in names)


def test_the_same_command_gives_the_same_bytes(run, tmp_path):
    for place in ("a", "b"):
        done("sample", run, "--num", 6, "--seed", 3, "--out", tmp_path / place)
        done("sample", run, "--num", 6, "--seed", 3, "--out", tmp_path / f"{place}.png")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_seed_gives_the_same_picture_alone_and_in_any_batch(run, tmp_path):
    done("sample", run, "--num", 9, "--label", "disc", "--seed", 10, "--out", tmp_path / "batch")
    for seed in (10, 13, 18):
        done("sample", run, "--num", 1, "--label", "disc", "--seed", seed, "--out", tmp_path / "alone")
        together, alone = (read(tmp_path / place / "disc" / f"{seed}.png") for place in ("batch", "alone"))
        assert np.abs(together - alone).max() <= 1
    assert np.abs(read(tmp_path / "batch/disc/10.png") - read(tmp_path / "batch/disc/11.png")).max() > 20


def test_a_picture_carries_the_recipe_that_makes_it_again(run, tmp_path):
    drawn = ("--sampling.guidance", 3, "--sampling.steps", 4, "--sampler", "euler")
    done("sample", run, "--num", 4, "--seed", 5, *drawn, "--out", tmp_path / "first")
    for file in sorted((tmp_path / "first").rglob("*.png")):
        recipe = read_recipe(file)
        config = json.loads((run / "model/config.json").read_text())
        assert (recipe["run"], recipe["family"]) == (config["sha256"], "flow")
        settings = [word for name, value in recipe["settings"].items() for word in (f"--sampling.{name}", value)]
        asked = ("--num", 1, "--seed", recipe["seed"], "--label", recipe["label"])
        done("sample", run, *asked, *settings, "--out", tmp_path / "again")
        assert np.abs(read(file) - read(tmp_path / "again" / file.parent.name / file.name)).max() <= 1
    # With nothing else in the batch, to the last bit and byte.
    done("sample", run, *asked, *settings, "--out", tmp_path / "once more")
    assert contents(tmp_path / "once more").items() <= contents(tmp_path / "again").items()


def test_a_grid_carries_its_recipe_too(run, tmp_path):
    done("sample", run, "--num", 4, "--seed", 5, "--out", tmp_path / "grid.png")
    recipe = read_recipe(tmp_path / "grid.png")
    assert (recipe["seeds"], recipe["label"]) == ([5, 6, 7, 8], "all")
    # One column a class, each picture shown three times its size.
    assert read(tmp_path / "grid.png").shape == (2 * (48 + 3) + 3, 2 * (48 + 3) + 3, 3)


def test_a_label_can_be_asked_for_or_left_open(run, tmp_path):
    for label in ("disc", "square", "none"):
        done("sample", run, "--num", 2, "--label", label, "--out", tmp_path / label)
    assert contents(tmp_path / "disc").keys() == {"disc/0.png", "disc/1.png"}
    assert contents(tmp_path / "none").keys() == {"0.png", "1.png"}
    pictures = [read(tmp_path / name) for name in ("disc/disc/0.png", "square/square/0.png", "none/0.png")]
    assert all(np.abs(a - b).max() > 0 for a in pictures for b in pictures if a is not b)


def test_settings_that_the_family_has_make_a_difference(run, tmp_path):
    for steps in (2, 20):
        done("sample", run, "--num", 1, "--sampling.steps", steps, "--out", tmp_path / f"{steps}.png")
    assert np.abs(read(tmp_path / "2.png") - read(tmp_path / "20.png")).max() > 0


def test_a_model_can_be_used_from_python(run):
    import torch

    import figment as package
    from figment.core.noise import noise

    model = package.load(run)
    with torch.no_grad():
        images = model.generate(noise([0, 1], model))
    assert images.shape == (2, 3, 16, 16) and float(images.abs().max()) <= 1


def test_labels_of_any_signs_make_files(tmp_path):
    names = ("a b", "ä+ö", "c.d")
    source = write_folder(tmp_path / "source", classes(2, names, height=8, width=8))
    done("data", "build", source, "--out", tmp_path / "data")
    done("train", "gan", "--data", tmp_path / "data", "--out", tmp_path / "run", *QUICK, "--steps", 1)
    done("sample", tmp_path / "run", "--num", 3, "--out", tmp_path / "out")
    assert {Path(name).parent.name for name in contents(tmp_path / "out")} == set(names)


# figment eval


@pytest.fixture(scope="module")
def judge(run) -> Path:
    judge = run.parent / "judge"
    done("train", "classifier", "--data", run.parent / "data", "--out", judge, *STEPS)
    return judge


def test_pictures_in_a_folder_score_like_the_run_that_drew_them(run, judge, tmp_path):
    done("sample", run, "--num", 16, "--out", tmp_path / "pictures")
    data = ("--data", run.parent / "data", "--judge", judge)
    answer = done("eval", tmp_path / "pictures", run, *data, "--num", 16, "--json")
    pictures, generated = answer.json["runs"]
    assert (pictures["family"], generated["family"]) == ("pictures", "flow")
    assert pictures["scores"].keys() == generated["scores"].keys()
    assert {score["num_fake"] for score in pictures["scores"].values()} == {16}
    # The labels are those of the folders, so that accuracy is measured too.
    assert 0 <= pictures["scores"]["accuracy"]["value"] <= 1


def test_the_training_pictures_themselves_are_found_out(run, judge, shapes):
    data = ("--data", run.parent / "data", "--judge", judge, "--metrics", "nearest", "fd", "--num", 16)
    copied, drawn = (run["scores"] for run in done("eval", shapes, run, *data, "--json").json["runs"])
    (name,) = [name for name in copied if name.startswith("nearest")]
    assert copied[name]["value"] < drawn[name]["value"]
    assert copied["fd"]["value"] < drawn["fd"]["value"]


def test_metrics_are_those_asked_for_and_the_report_names_the_command(run, judge, tmp_path):
    data = ("--data", run.parent / "data", "--judge", judge, "--num", 16)
    out = tmp_path / "new" / "report.html"
    answer = done("eval", run, *data, "--metrics", "fd", "kid", "--out", out, "--json")
    assert answer.json["runs"][0]["scores"].keys() == {"fd", "kid"}
    page = Page(out)
    assert is_self_contained(page)
    (command,) = page.commands
    assert done(*shlex.split(command)[1:]).code == 0


def test_the_same_scores_come_out_again(run, judge):
    command = ("eval", run, "--data", run.parent / "data", "--judge", judge, "--num", 16, "--json")
    assert done(*command).json == done(*command).json


def test_a_classifier_is_measured_by_accuracy_confusion_and_calibration(run, judge):
    store = Store(run.parent / "data")
    answer = done("eval", judge, "--data", store.path, "--judge", judge, "--json").json
    report: dict[str, Any] = answer["runs"][0]["classification"]
    assert report.keys() == {"accuracy", "macro_f1", "calibration_error", "classes", "confusion", "reliability"}
    assert [row["name"] for row in report["classes"]] == ["disc", "square"]
    assert all({"precision", "recall", "f1", "count"} <= row.keys() for row in report["classes"])
    confusion = np.array(report["confusion"])
    assert confusion.shape == (2, 2) and confusion.sum() == store.counts["val"]
    assert report["accuracy"] == pytest.approx(np.trace(confusion) / confusion.sum())
    assert sum(row["count"] for row in report["reliability"]) == confusion.sum()


def test_nothing_is_changed_by_looking(run, judge, tmp_path):
    made = ("data/index", "data/cache", "run/scores.json")  # what looking leaves behind, so that it need not look again
    before = contents(run.parent, without=made)
    done("eval", run, "--data", run.parent / "data", "--judge", judge, "--num", 16)
    done("sample", run, "--num", 2, "--out", tmp_path / "two.png")
    done("data", "report", run.parent / "data", "--out", tmp_path / "report.html")
    assert contents(run.parent, without=made) == before


# figment data


def test_a_dry_run_says_what_a_build_does_and_writes_nothing(shapes, tmp_path):
    said = done("data", "build", shapes, "--out", tmp_path / "data", "--dry-run", "--json").json
    assert not list(tmp_path.iterdir())
    assert set(said.pop("suggested")) == {"--borders.share 0.5", "--low-entropy.bits 1"}
    assert (
        said | {"dataset": str(tmp_path / "data")}
        == done("data", "build", shapes, "--out", tmp_path / "data", "--json").json
    )


def test_what_was_refused_is_told_and_can_be_restored(tmp_path):
    files = classes(6, ("cat", "dog")) | {"cat/tiny.png": png(77, 4, 4), "dog/not.png": b"hello"}
    source = write_folder(tmp_path / "source", files)
    built = done("data", "build", source, "--out", tmp_path / "data")
    assert "  refused 1 by min_size: 4x4 is smaller than 8 pixels" in built.out.splitlines()
    assert "refused 1 by decode: not a picture in a known format" in built.out
    report = done("data", "report", tmp_path / "data", "--out", tmp_path / "pages/data.html", "--json").json["report"]
    page = Page(Path(report))
    assert is_self_contained(page)
    assert "cat/tiny.png" in page.text and "4x4 is smaller than 8 pixels" in page.text
    restored = done("data", "restore", tmp_path / "data", "cat/tiny.png", "--json").json
    assert sum(restored["counts"].values()) == 13 and restored["rejected"] == {"decode": 1}
    refused = figment("data", "restore", tmp_path / "data", "dog/not.png")
    assert "cannot be restored, because it cannot be read" in refused.complaint


def test_splits_are_drawn_anew_and_a_run_notices(shapes, tmp_path):
    done("data", "build", shapes, "--out", tmp_path / "data")
    train = ("train", "vae", "--data", tmp_path / "data", "--out", tmp_path / "run", *QUICK, "--steps", 1)
    done(*train)
    answer = done("data", "split", tmp_path / "data", "--val", 0.25, "--test", 0.25, "--json").json
    assert answer["counts"].keys() == {"train", "val", "test"} and sum(answer["counts"].values()) == 24
    assert "this run has the dataset's pictures (pixel digest) " in figment(*train).complaint
    assert Store(tmp_path / "data").held_out == "test"


def test_several_sources_make_one_dataset(shapes, tmp_path):
    shutil.make_archive(str(tmp_path / "more"), "zip", shapes)
    others = {"disc/1.png": encode(pixels(5, 16, 16)), "ring/2.png": encode(pixels(6, 16, 16))}
    sources = (shapes, tmp_path / "more.zip", write_folder(tmp_path / "others", others))
    built = done("data", "build", *sources, "--out", tmp_path / "data", "--json")
    assert built.json["spec"]["classes"] == ["disc", "ring", "square"]
    assert (sum(built.json["counts"].values()), built.json["rejected"]) == (26, {"exact_duplicates": 24})


# A log that other tools read.


def test_the_log_is_json_lines_and_validation_is_in_it(made):
    out, _ = made
    lines = (out / "run/log.jsonl").read_text().splitlines()
    kinds = {json.loads(line)["kind"] for line in lines}
    assert kinds <= {"train", "validation", "overfitting"} and {"train", "validation"} <= kinds
    steps = [line["step"] for line in log(out / "run", "train")]
    assert steps == sorted(set(steps))
