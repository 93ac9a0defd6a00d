"""What `figment eval` measures with: cached extraction, references and their doubts, folders, and what metrics need."""

import importlib
import json
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from figment.core import plugins
from figment.core.checkpoint import load_model, write_sampling
from figment.core.errors import CapabilityError, DataError
from figment.core.types import Sample
from figment.data.captions import decode_captions
from figment.data.store import Store
from figment.evaluate import cache, runs
from figment.evaluate.extract import Eyes
from figment.evaluate.reference import pictures_in, reference_in, reference_of
from figment.evaluate.runs import Yardstick, asked_of, default_metrics, draw, score, show
from figment.evaluate.scored import kept_scores, sampling_of
from figment.features import descriptors
from figment.features.inception import Inception
from figment.metrics import lpips
from tests.commands import QUICK, done, figment
from tests.pictures import classes, encode, write_folder
from tests.pictures import pixels as noise_pixels


class Counting:
    """An extractor that counts the pictures it has looked at."""

    name, digest, resize = "counting 1", "counting", "native size"

    def __init__(self):
        self.looked = 0

    def features(self, images):
        self.looked += len(images)
        return images.flatten(1)[:, :6]


class Likely:
    """A model that states a probability, rebuilds pictures, and draws them from noise."""

    def __init__(self):
        self.asked = []

    def noise_shape(self):
        return (1, 8, 8)

    def generate(self, noise, condition=None, settings=None):
        self.asked.append(settings)
        return noise.tanh()

    def bits_per_dim(self, images, condition=None):
        return images.flatten(1).mean(1) + 2

    def encode(self, images):
        return images

    def decode(self, latents):
        return latents * 0.5


@pytest.fixture(scope="module")
def store(digits, tmp_path_factory) -> Store:
    """The digits, where files of this module's own may be kept beside them."""
    place = tmp_path_factory.mktemp("evaluate") / "digits"
    shutil.copytree(digits.path, place, ignore=shutil.ignore_patterns("judges", "cache"))
    return Store(place)


def yardstick(store, extractor, folder=None, **options):
    eyes = Eyes(extractor, cache=folder)
    return Yardstick(reference_of(store, eyes, 50), eyes, store.spec, **({"num": 30} | options))


# What has been seen before.


def test_pictures_are_looked_at_once_whatever_is_then_asked(store, tmp_path):
    eyes = Counting()
    first = yardstick(store, eyes, tmp_path).reference
    looked = eyes.looked
    again = yardstick(store, eyes, tmp_path).reference
    assert looked == len(first.real) + len(first.train) and eyes.looked == looked
    np.testing.assert_array_equal(first.real.features, again.real.features)
    np.testing.assert_array_equal(first.real.images, again.real.images)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_other_eyes_rows_or_pictures_are_looked_at_anew(store, tmp_path):
    eyes, other = Counting(), Counting()
    yardstick(store, eyes, tmp_path)
    other.digest = "another"
    yardstick(store, other, tmp_path)
    assert other.looked == eyes.looked
    before = eyes.looked
    reference_of(store, Eyes(eyes, cache=tmp_path), 20)
    assert eyes.looked == before + 20


def test_another_program_remembers_nothing(tmp_path, monkeypatch):
    key = cache.key_digest({"a": 1})
    assert key == cache.key_digest({"a": 1}) != cache.key_digest({"a": 2})
    monkeypatch.setattr(cache, "program_digest", lambda: "another")
    assert key != cache.key_digest({"a": 1})


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_file_is_made_again(tmp_path, damage):
    sample = Sample(np.arange(60, dtype=np.float32).reshape(10, 6), labels=np.arange(10))
    made = []

    def make():
        made.append(1)
        return sample

    cache.remembered(tmp_path, {}, make)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes({"cut": content[:-9], "flipped": content, "empty": b""}[damage])
    for _ in range(2):
        found = cache.remembered(tmp_path, {}, make)
        np.testing.assert_array_equal(found.features, sample.features)
        np.testing.assert_array_equal(found.labels, sample.labels)
    assert len(made) == 2


def test_the_oldest_files_go_when_the_limit_is_reached(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "LIMIT", 10_000)
    for index in range(5):
        cache.remembered(tmp_path, {"index": index}, lambda: Sample(np.zeros((1000, 1), np.float32)))
    kept = {file.stem for file in tmp_path.iterdir()}
    assert kept == {cache.key_digest({"index": index}) for index in (3, 4)}


def test_where_nothing_can_be_kept_scores_are_made_all_the_same(tmp_path):
    (tmp_path / "file").write_text("in the way")
    folder = tmp_path / "file" / "below"
    assert len(cache.remembered(folder, {}, lambda: Sample(np.zeros((3, 1))))) == 3
    assert cache.remembered_json(folder, {}, lambda: [1]) == [1]
    assert len(cache.remembered(None, {}, lambda: Sample(np.zeros((3, 1))))) == 3


# The real side.


def test_copies_among_real_pictures_and_of_training_pictures_are_told(store, tmp_path):
    picture = noise_pixels(1, 8, 8, 1)
    write_folder(
        tmp_path / "twice", {"a.png": encode(picture), "b.png": encode(picture), "c.png": encode(255 - picture)}
    )
    reference = reference_in(tmp_path / "twice", None, Eyes(descriptors.Descriptors(4)), 100)
    assert reference.doubts == ["1 of 3 real pictures are exact copies of others: radii and intervals are too small"]
    assert reference.train is None and reference.digest.endswith(":folder")
    assert yardstick(store, Counting()).reference.doubts == []


def test_pictures_of_mixed_sizes_are_refused_by_name(tmp_path):
    folder = write_folder(
        tmp_path / "mixed", {"a.png": encode(noise_pixels(1, 8, 8, 1)), "b.png": encode(noise_pixels(2, 9, 8, 1))}
    )
    with pytest.raises(DataError, match=r"b\.png is 9x8, a\.png 8x8; resize it first"):
        pictures_in(folder, None)


def test_colour_comes_from_the_pictures_and_classes_from_their_folders(tmp_path):
    files = {"cat/1.png": encode(noise_pixels(1, 8, 8, 1)), "dog/2.png": encode(noise_pixels(2, 8, 8, 3))}
    pictures = pictures_in(write_folder(tmp_path / "mixed", files), None)
    assert pictures.pixels.shape == (2, 8, 8, 3)
    assert pictures.classes == ("cat", "dog") and pictures.places(("dog", "cat")).tolist() == [1, 0]
    assert pictures.places(("ant", "bee")) is None


def test_lossy_pictures_against_lossless_ones_are_told(store, tmp_path):
    files = {f"{index}.png": encode(noise_pixels(index, 8, 8, 1)) for index in range(6)}
    lossless = show(pictures_in(write_folder(tmp_path / "png", files), store.spec), yardstick(store, Counting()))
    assert lossless.doubts == []
    lossy = {f"{index}.jpg": encode(noise_pixels(index, 8, 8, 1), "JPEG") for index in range(6)}
    (told,) = show(pictures_in(write_folder(tmp_path / "jpg", lossy), store.spec), yardstick(store, Counting())).doubts
    assert told.startswith("the pictures are of a lossy format (JPEG), the real ones are not")


def test_of_a_folder_as_many_pictures_count_as_would_be_generated(store, tmp_path):
    folder = write_folder(
        tmp_path / "many", {f"{index:02}.png": encode(noise_pixels(index, 8, 8, 1)) for index in range(40)}
    )
    assert len(show(pictures_in(folder, store.spec), yardstick(store, Counting())).fake) == 30


# What was left out, and what was changed.


def test_a_metric_that_was_left_out_is_tried_again(store, tmp_path, monkeypatch):
    """As lpips once its weights are there."""
    stick = yardstick(store, Counting(), tmp_path, metrics=("kid", "lpips"))
    drawn = draw(_Loaded(store.spec), stick)
    monkeypatch.setattr(lpips, "items", needing_weights)
    scores, told = score(drawn, stick)
    assert scores.keys() == {"kid"} and any("lpips is left out: give weights" in line for line in told)
    monkeypatch.setattr(lpips, "items", lambda real, fake: {"lpips": np.linspace(0, 1, len(fake))})
    scores, told = score(drawn, stick)
    assert scores.keys() == {"kid", "lpips"} and not any("left out" in line for line in told)
    monkeypatch.setattr(lpips, "items", needing_weights)
    assert score(drawn, stick)[0] == scores  # a whole answer is kept


def needing_weights(**sides):
    raise DataError("give weights")


def test_a_metric_of_another_package_that_was_edited_gives_its_new_number(store, tmp_path, monkeypatch):
    package = tmp_path / "package"
    about = package / "constant_metric-1.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: constant-metric\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[figment.metrics]\nconstant = constant_metric\n")
    monkeypatch.syspath_prepend(package)
    stick = yardstick(store, Counting(), tmp_path / "cache", metrics=("constant",))
    found = []
    for value in (2.0, 2.5):
        source = (
            f"HIGHER_IS_BETTER = False\nNEEDS = ()\ndef score(*, real, fake):\n    return {{'constant': {value}}}\n"
        )
        (package / "constant_metric.py").write_text(source)
        importlib.invalidate_caches()
        sys.modules.pop("constant_metric", None)
        shutil.rmtree(package / "__pycache__", ignore_errors=True)
        plugins.forget()
        found.append(score(draw(_Loaded(store.spec), stick), stick)[0]["constant"]["value"])
    monkeypatch.undo()
    plugins.forget()
    assert found == [2.0, 2.5]


# What metrics need.


class Naming(Counting):
    """An extractor with logits, of classes that it names, or not."""

    def __init__(self, *classes):
        super().__init__()
        if classes:
            self.classes = classes

    def classify(self, images):
        return images.flatten(1)[:, :10]


NAMING = {"accuracy", "calibration"}


def test_labels_are_compared_with_logits_of_the_same_classes_alone(store):
    own = yardstick(store, Naming(*store.spec.classes))
    assert set(default_metrics(own, every=True)) >= NAMING
    runs.require_classes(("accuracy", "calibration"), own.eyes.extractor, store.spec.classes)
    for other in (Naming(), Naming(*reversed(store.spec.classes))):  # as Inception, and as a judge of another order
        stick = yardstick(store, other)
        assert not NAMING & set(default_metrics(stick, every=True))
        assert {"inception_score", "fd", "class_diversity"} <= set(default_metrics(stick, every=True))
        runs.require_classes(("fd", "inception_score", "all"), other, store.spec.classes)
        told = (
            "accuracy: compares labels with the classes that 'counting 1' tells apart, and those are not the dataset's;"
        )
        with pytest.raises(DataError, match=told):
            runs.require_classes(("fd", "accuracy"), other, store.spec.classes)


def test_the_inception_network_names_no_class_of_a_dataset(store):
    eyes = Inception(None, "0" * 64, "tf1")
    reference = yardstick(store, Counting()).reference
    stick = Yardstick(reference, Eyes(eyes), store.spec)
    assert "inception_score" in default_metrics(stick) and not NAMING & set(default_metrics(stick, every=True))


def test_metrics_are_taken_where_what_they_need_is_there(store):
    names = set(default_metrics(yardstick(store, Counting())))
    assert {"fd", "kid", "nearest"} <= names and "class_diversity" not in names
    assert {"fd", "kid", "class_diversity"} <= set(default_metrics(yardstick(store, Counting()), every=True))
    assert not {"accuracy", "inception_score", "bits_per_dim", "psnr", "lpips", "spatial_fd"} & names
    assert "bits_per_dim" in default_metrics(yardstick(store, Counting()), Likely())
    assert "bits_per_dim" not in default_metrics(yardstick(store, Counting()), Slow())


class Slow(Likely):
    """Its probability would come from an ODE."""

    sigma_min, sigma_max = 0.01, 80.0

    def denoise(self, noisy, sigma, condition=None):
        return noisy


class _Loaded:
    family, digest, sampling, settings = "likely", "12ab", None, None

    def __init__(self, spec):
        self.model, self.spec = Likely(), spec


def test_bits_and_pairs_come_from_the_run_when_a_metric_asks(store):
    stick = yardstick(store, Counting(), metrics=("bits_per_dim", "psnr", "kid"))
    scores, _ = score(draw(_Loaded(store.spec), stick), stick)
    real = stick.reference.real.images
    images = torch.from_numpy(real.copy()).movedim(-1, 1) / 127.5 - 1
    assert scores["bits_per_dim"]["value"] == pytest.approx(float(images.flatten(1).mean(1).mean()) + 2, abs=1e-5)
    assert scores["bits_per_dim"]["floor"] is scores["psnr"]["floor"] is None
    halved = ((images * 0.5) * 127.5 + 127.5 + 0.5).floor().movedim(1, -1).numpy()
    error = np.square(real.astype(float) - halved).mean((1, 2, 3))
    assert scores["psnr"]["value"] == pytest.approx((10 * np.log10(255**2 / error)).mean(), rel=1e-6)
    assert scores["kid"]["floor"] is not None and scores["kid"]["ceiling"] is not None


def test_a_run_that_only_rebuilds_is_scored_by_that(store, digits, tmp_path):
    done("train", "vqvae", "--data", digits.path, "--out", tmp_path, *QUICK, "--steps", 3)
    command = ("eval", tmp_path, "--data", digits.path, "--features", "pixels")
    answer = done(*command, "--json").json["runs"][0]
    assert set(answer["scores"]) == {"psnr"} and answer["scores"]["psnr"]["low"] > 0  # 8x8 is too small for ssim
    complaint = figment(*command, "--metrics", "fd").complaint
    assert complaint == "a 'vqvae' draws no pictures to score; leave --metrics out, or give psnr"


def test_a_folder_has_nothing_rebuilt_to_compare(store, tmp_path):
    stick = yardstick(store, Counting(), metrics=("psnr",))
    folder = write_folder(
        tmp_path / "pictures", {f"{index}.png": encode(noise_pixels(index, 8, 8, 1)) for index in range(3)}
    )
    with pytest.raises(CapabilityError, match="give a run that encodes"):
        score(show(pictures_in(folder, store.spec), stick), stick)


# Published statistics.


@pytest.fixture
def statistics(store, tmp_path):
    """Those of the real pictures themselves, as pytorch-fid writes them."""
    real = yardstick(store, Counting()).reference.real.features.astype(np.float64)
    np.savez(tmp_path / "real.npz", mu=real.mean(0), sigma=np.cov(real, rowvar=False))
    return tmp_path / "real.npz"


def test_a_distance_to_statistics_is_the_distance_to_their_pictures(store, statistics):
    pictures = yardstick(store, Counting(), metrics=("fd",))
    file = replace(pictures, statistics=statistics, metrics=())
    drawn = draw(_Loaded(store.spec), pictures)
    (expected, _), (found, told) = score(drawn, pictures), score(drawn, file)
    assert found.keys() == {"fd"}
    for part in ("value", "ceiling"):
        assert found["fd"][part] == pytest.approx(expected["fd"][part], rel=1e-6)
    assert found["fd"]["low"] < found["fd"]["high"] and found["fd"]["floor"] is None
    assert found["fd"]["reference_digest"].endswith(":statistics")
    assert found["fd"]["passport"]["hash"] != expected["fd"]["passport"]["hash"]
    assert "it holds if they were made with counting 1" in told[-1]


def test_statistics_that_were_written_serve_as_reference(judged, run, tmp_path):
    file, common = tmp_path / "sub/real.npz", ("--data", judged.path, "--num", 60, "--json")
    answer = done("eval", "--statistics", file, *common).json
    assert answer == {"runs": []}
    with np.load(file, allow_pickle=False) as written:
        assert {"mu", "sigma"} <= set(written) and written["mu"].shape == written["sigma"].shape[:1]
    direct = done("eval", run, "--metrics", "fd", *common).json["runs"][0]["scores"]["fd"]
    by_file = done("eval", run, "--reference", file, *common).json["runs"][0]["scores"]["fd"]
    assert by_file["value"] == pytest.approx(direct["value"], rel=1e-5)


def test_generators_are_asked_for_what_held_out_pictures_show(tmp_path):
    lines = [{"path": f"{i}.png", "captions": [f"number {i}"], "attributes": {"age": i}} for i in range(40)]
    for i in range(40):
        (tmp_path / f"{i}.png").write_bytes(encode(noise_pixels(i, 8, 8, 1)))
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done("data", "build", tmp_path / "list.jsonl", "--out", tmp_path / "ds", "--split.val", 0.25)
    store = Store(tmp_path / "ds")
    reference = reference_of(store, Eyes(Counting()), 100)
    asked = asked_of(store.spec, reference, 2 * len(reference.real), 0)
    ages = store.attributes("val")[:, 0]
    said = decode_captions(asked.captions.numpy())
    assert said == [f"number {age:.0f}" for age in asked.attributes[:, 0].tolist()]
    assert sorted(asked.attributes[:, 0].tolist()) == sorted([*ages, *ages])


def test_statistics_of_other_features_are_refused(store, statistics):
    stick = replace(yardstick(store, descriptors.Descriptors(2)), statistics=statistics)
    with pytest.raises(DataError, match="statistics of 6 features, those of 'descriptors 1, 2x2 cells"):
        score(draw(_Loaded(store.spec), stick), stick)


# The verb.


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "vae"
    done("train", "vae", "--data", store.path, "--out", run, *QUICK, "--steps", 3)
    return run


EYES = ("--features", "descriptors", "--metrics", "kid", "precision_recall", "--num", 40)


def test_scores_carry_floor_ceiling_and_passport_and_come_out_again(store, run):
    first = done("eval", run, "--data", store.path, *EYES, "--json")
    kid = first.json["runs"][0]["scores"]["kid"]
    assert kid["floor"] < min(kid["value"], kid["ceiling"]) and kid["higher_is_better"] is False
    assert kid["passport"]["extractor_digest"] == "descriptors-1-4" and kid["passport"]["num_fake"] == 40
    assert done("eval", run, "--data", store.path, *EYES, "--json").json == first.json
    loaded = load_model(run)
    assert first.json["runs"][0]["sampling"] == sampling_of(loaded) == {"temperature": 1.0}
    kept = kept_scores(run, loaded.digest, sampling_of(loaded))
    assert first.json["runs"][0]["scores"].items() <= kept.items()
    write_sampling(run, loaded.sampling_type(temperature=0.5))
    try:
        assert kept_scores(run, loaded.digest, sampling_of(load_model(run))) == {}
    finally:
        (run / "model/sampling.json").unlink()


SEEN = "held-out ones may be training pictures of it"


@pytest.fixture
def resplit(store, tmp_path):
    """The dataset of the run after its training pictures were dealt out anew."""
    shutil.copytree(store.path, tmp_path / "digits")
    done("data", "split", tmp_path / "digits", "--val", 0.4)
    return tmp_path / "digits"


def test_held_out_pictures_that_a_run_may_have_seen_are_told(store, run, resplit, tmp_path):
    for verb in ("eval", "compare"):
        assert SEEN not in done(verb, run, "--data", store.path, *EYES).err
        (told,) = [line for line in done(verb, run, "--data", resplit, *EYES).err.splitlines() if SEEN in line]
        assert f"the run was trained on other pictures than {resplit} has now" in told
    pictures = {f"{index}.png": encode(noise_pixels(index, 8, 8, 1)) for index in range(12)}
    folder = write_folder(tmp_path / "pictures", pictures)
    assert SEEN not in done("eval", folder, "--data", resplit, *EYES).err


def test_of_classifiers_and_private_runs_too_and_not(store, resplit, tmp_path):
    done("train", "classifier", "--data", store.path, "--out", tmp_path / "named", *QUICK, "--steps", 1)
    assert SEEN in done("eval", tmp_path / "named", "--data", resplit, *EYES).err
    loaded = load_model(tmp_path / "named")
    assert runs.doubts_about(loaded, Store(resplit)) and not runs.doubts_about(loaded, store)
    for facts in ({"data": {"path": "digits"}}, {}):  # a private run, and one that another program has trained
        assert not runs.doubts_about(replace(loaded, facts=facts), Store(resplit))


def test_the_advice_to_hold_pictures_out_says_that_runs_have_seen_them(store, tmp_path):
    shutil.copytree(store.path, tmp_path / "digits")
    done("data", "split", tmp_path / "digits", "--val", 0)
    with pytest.raises(DataError, match=r"--val 0\.1; then train anew, for a run of before has seen them$"):
        yardstick(Store(tmp_path / "digits"), Counting())


def test_settings_of_the_features_are_flags_and_part_of_the_passport(store, run):
    hashes = [
        done("eval", run, "--data", store.path, *EYES, *more, "--json").json["runs"][0]["scores"]["kid"]["passport"][
            "hash"
        ]
        for more in ((), ("--features.cells", 2))
    ]
    assert hashes[0] != hashes[1]


def test_one_folder_is_scored_against_another(tmp_path):
    for name, first in (("real", 0), ("fake", 100)):
        pictures = {f"{index}.png": encode(noise_pixels(first + index, 12, 10, 3)) for index in range(12)}
        write_folder(tmp_path / name, pictures)
    words = ("eval", tmp_path / "fake", "--data", tmp_path / "real", "--features", "pixels", "--json")
    answer = done(*words, "--metrics", "fd", "kid", "nearest")
    scores = answer.json["runs"][0]["scores"]
    assert scores.keys() == {"fd", "kid"} and scores["fd"]["num_real"] == scores["fd"]["num_fake"] == 12
    assert scores["fd"]["floor"] is None and scores["fd"]["ceiling"] > 0
    assert "nearest is left out: it compares with training pictures" in answer.err
    assert not (tmp_path / "real" / "cache").exists()
    json.dumps(scores)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--features", "inceptoin"), "no feature 'inceptoin'; did you mean 'inception'?"),
        (("--features", "pixels:x"), "pixels:x: takes no argument; type --features pixels"),
        (("--features", "descriptors", "--features.cells", "0"), "--features.cells 0: give a number between 1 and 16"),
        (("--features", "descriptors", "--features.cell", "2"), "unknown --features.cell"),
        (("--features", "descriptors", "--judge", "x"), "--judge and --features: give one of them, not both"),
        (("--features", "inception:nowhere.pth"), "inception: nowhere.pth: no such file"),
    ],
)
def test_mistakes_with_features_are_told_in_one_line(store, run, words, told):
    assert figment("eval", run, "--data", store.path, *words).complaint.startswith(told)


def test_a_plain_folder_has_no_judge(run, tmp_path):
    folder = write_folder(tmp_path / "pictures", classes(3, ("a", "b")))
    told = figment("eval", run, "--data", folder).complaint
    assert "is a plain folder, not a dataset" in told and told.endswith("--features descriptors")


def test_a_run_of_other_pictures_is_not_scored_against_a_folder(run, tmp_path):
    folder = write_folder(tmp_path / "pictures", classes(3, ("a", "b")))
    told = figment("eval", run, "--data", folder, "--features", "pixels").complaint
    assert told.startswith(f"{run}: was trained on 8x8x1, 10 classes, the dataset has ")


def test_pictures_are_drawn_with_the_settings_that_tuning_chose(store, tmp_path):
    loaded, other = _Loaded(store.spec), _Loaded(store.spec)
    other.sampling = descriptors.Config(cells=3)  # any settings will do
    stick = yardstick(store, Counting(), tmp_path)
    for one in (loaded, other, other):
        draw(one, stick)
    assert loaded.model.asked == [None]
    assert other.model.asked == [other.sampling]  # and the second time they are known
