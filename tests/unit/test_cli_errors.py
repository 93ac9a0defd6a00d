"""Every mistake that can be typed: one line that says what to do, exit code 2, and nothing lost.

In the commands below, `P` is a folder with one of everything, DATA is `--data P/digits` and NEW is `--out P/new`.
"""

from __future__ import annotations

import errno
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from figment.core.images import write_png
from figment.data.store import Store
from tests.commands import QUICK, done, figment
from tests.pictures import classes, encode, pixels, png, write_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory, digits) -> Path:
    """Datasets, runs, pictures, and what is none of these."""
    place = tmp_path_factory.mktemp("place")
    digits.images("train")
    shutil.copytree(digits.path, place / "digits")
    write_folder(place / "pictures", classes(6, ("cat", "dog")))
    write_folder(place / "texts", {"one.txt": b"hello", "two.md": b"hello"})
    write_folder(place / "damaged", {"1.png": png(1)[:-40], "2.png": b"hello"})
    write_folder(place / "large", {"0/1.png": png(1, 9, 9, 1), "1/2.png": png(2, 9, 9, 1)})
    write_folder(place / "small", classes(3, ("0", "1"), height=8, width=8, channels=1))
    write_folder(place / "folder.png", {"inside.txt": b"hello"})
    (place / "empty").mkdir()
    (place / "one.png").write_bytes(png(1))
    (place / "notes.txt").write_text("hello")
    (place / "page.zip").write_text("<!doctype html><title>Sign in</title>")
    (place / "cut.tar.gz").write_bytes(b"\x1f\x8b\x08")
    (place / "dangling").symlink_to(place / "unmounted" / "disk")
    done("data", "build", place / "pictures", "--out", place / "colour")
    done("data", "build", place / "pictures/cat", "--out", place / "flat")
    done("data", "build", place / "small", "--out", place / "unsplit", "--skip", "split")
    told = {"aged": {"attributes": {"age": 1, "old": 0}}, "hats": {"attributes": {"hat": 1, "red": 0}}}
    for name, facts in {**told, "said": {"captions": ["a grey one"]}, "small1": {}}.items():
        build_told(place / f"{name}-files", place / name, facts)
    for name in ("aged", "said"):
        shutil.move(place / name, place / f"{name}-data")
        done("train", "vae", "--data", place / f"{name}-data", "--out", place / name, *QUICK, "--steps", 1)
    done("data", "build", "shapes:12", "--out", place / "clips", "--size", 8, "--shapes.frames", 2)
    for name in ("resplit", "unknown", "relabelled"):
        shutil.copytree(place / "digits", place / name)
    done("data", "split", place / "resplit", "--val", 0.4)
    unknown = Store(place / "unknown")
    unknown.relabel({key: None for key in unknown.keys(unknown.held_out)})
    relabelled = Store(place / "relabelled")
    keys, labels = relabelled.keys("train"), relabelled.labels("train")
    for split in relabelled.counts:
        keys, labels = relabelled.keys(split), relabelled.labels(split)
        relabelled.relabel({key: f"kind {label}" for key, label in zip(keys, labels, strict=True)})
    done("train", "classifier", "--data", place / "relabelled", "--out", place / "renamed", *QUICK, "--steps", 1)
    (place / "statistics.npz").write_bytes(b"")
    for family in ("vae", "flow", "classifier", "vqvae"):
        done("train", family, "--data", place / "digits", "--out", place / family, *QUICK, "--steps", 1)
    done("train", "vae", "--data", place / "flat", "--out", place / "unlabelled", *QUICK, "--steps", 1)
    done("train", "classifier", "--data", place / "colour", "--out", place / "colourist", *QUICK, "--steps", 1)
    done("sample", place / "vae", "--num", 2, "--out", place / "drawn.png")
    write_png(place / "other.png", pixels(1, 8, 8, 1), {"seeds": [1]})
    shutil.copytree(place / "vae", place / "unfinished")
    shutil.rmtree(place / "unfinished/model")
    shutil.copytree(place / "vae", place / "broken")
    (place / "broken/model/model.safetensors").write_bytes(b"hello")
    return place


def build_told(files: Path, out: Path, facts: dict) -> None:
    """A dataset of 12 grey pictures of which each is told the same."""
    lines = [{"path": f"{number}.png", **facts} for number in range(12)]
    write_folder(files, {line["path"]: png(number, 8, 8, 1) for number, line in enumerate(lines)})
    (files / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done("data", "build", files / "list.jsonl", "--out", out, "--split.val", 0.25)


SOURCES = {
    "P/nowhere": "'P/nowhere': no such file or folder; give a folder of pictures, an archive, or a source like digits:",
    "P/pictrues": "'P/pictrues': no such file or folder; did you mean 'P/pictures'?",
    "''": "'': no such file or folder; give a folder of pictures, an archive, or a source like digits:",
    "P/empty": "P/empty: no pictures, it is empty; give a folder with .jpg, .jpeg, .jpe, .jfif, .png, .webp ... files",
    "P/texts": "P/texts: no pictures, none of its 2 files is named like a picture; give a folder with .jpg, .jpeg, ",
    "P/damaged": "none of 2 pictures could be used: 1 by decode (damaged: ",
    "P/one.png": "P/one.png: is a single picture; give the folder that it lies in: P",
    "P/notes.txt": "P/notes.txt: no source reads such a file; give a folder of pictures or one of .zip, .tar, ",
    "P/page.zip": "P/page.zip: is a web page, not an archive: the download was refused; fetch it again",
    "P/cut.tar.gz": "P/cut.tar.gz: is damaged after member 0 (",
    "P/digits": "P/digits: is a dataset already, not a folder of pictures; use it with --data P/digits",
    "P/vae": "P/vae: is a run, not a folder of pictures; give the pictures that it should be trained on",
    "digts:": "no source 'digts'; did you mean 'digits'?",
    "digits": "digits: no such file or folder; did you mean the source 'digits:'?",
    "digits:3": "digits:3 takes no argument: type digits:",
}

VERBS_AND_FLAGS = {
    "trian flow": "no verb 'trian'; did you mean 'train'? See 'figment --help'",
    "--steps 3": "no verb '--steps'; there are: ",
    "data biuld": "no 'figment data biuld'; did you mean 'build'?",
    "data --fast": "say what to do with the data: figment data {build,report,",
    "train vae DATA NEW --setps 3": "unknown --setps; did you mean '--steps'? See 'figment train vae --help'",
    "train vae DATA NEW --train.lrr 3": "unknown --train.lrr; did you mean '--train.lr'? See 'figment train",
    "train gan DATA NEW --family.net mlp": "unknown --family.net",
    "train vae DATA --ot P/new": "unknown --ot; did you mean '--out'?; missing: --out PATH. See",
    "make digits: NEW --minuts 3": "unknown --minuts; did you mean '--minutes'? See 'figment make SOURCE --help'",
    "demo --minuts 3": "unknown --minuts; did you mean '--minutes'? See 'figment demo --help'",
    "data build digits: NEW --sise 8": "unknown --sise; did you mean '--size'? See 'figment data build --help'",
    "data split P/digits --vla 0.1": "unknown --vla; did you mean '--val'? See 'figment data split --help'",
    "sample P/vae NEW --nmu 8": "unknown --nmu; did you mean '--num'? See 'figment sample RUN --help'",
    "eval P/vae DATA --metircs fd": "unknown --metircs; did you mean '--metrics'? See 'figment eval --help'",
    "train vae DATA NEW --steps": "--steps: its value is missing. See 'figment train vae --help'",
    "train vae DATA NEW --steps many": "--steps many: expected INT. See 'figment train vae --help'",
    "train vae DATA NEW --steps 2.5": "--steps 2.5: expected INT. See 'figment train vae --help'",
    "train vae DATA": "missing: --out PATH. See 'figment train vae --help'",
    "train vae": "missing: --data PATH, --out PATH. See 'figment train vae --help'",
    "make NEW": "missing: SOURCE. See 'figment make SOURCE --help'",
    "make digits: more NEW": "unknown more. See 'figment make SOURCE --help'",
    "check": "missing: NAME. See 'figment check --help'",
    "data report": "missing: DATASET. See 'figment data report --help'",
}

TRAINING = {
    "train --data P/digits NEW": "name a family first: figment train FAMILY --data DATASET --out RUN",
    "train flwo DATA NEW": "no family 'flwo'; did you mean 'flow'?",
    "train zzz DATA NEW": "no family 'zzz'; there are: ",
    "make digits: NEW --family gna": "no family 'gna'; did you mean 'gan'?",
    "train vae DATA NEW --scale smal": "--scale smal; did you mean 'small'?",
    "train vae DATA NEW --steps 2 --minutes 3": "--steps and --minutes: give one of them, not both",
    "train vae DATA NEW --steps -3": "--steps -3: give a number at least 0",
    "train vae DATA NEW --minutes -1": "--minutes -1: give a number between 0 and 525600",
    "train vae DATA NEW --minutes inf": "--minutes inf: give a number between 0 and 525600",
    "train vae DATA NEW --minutes nan": "--minutes nan: give a number between 0 and 525600",
    "make digits: NEW --minutes -1": "--minutes -1: give a number between 0 and 525600",
    "demo NEW --minutes nan": "--minutes nan: give a number between 0 and 525600",
    "train vae DATA NEW --train.lr -1": "--train.lr -1: give a number between 0 and 10",
    "train vae DATA NEW --train.lr nan": "--train.lr nan: give a number between 0 and 10",
    "train vae DATA NEW --train.batch-size 0": "--train.batch-size 0: give a number at least 1",
    "train vae DATA NEW --train.slices 999": "--train.slices 999: a batch of 128 cannot be cut into more parts",
    "train vae DATA NEW --family.width 2": "--family.width 2: give a number between 8 and 8192",
    "train vae DATA NEW --train.augment.color 9": "--train.augment.color 9: give a number between 0 and 1",
    "train vae DATA NEW --train.precision half": "invalid choice 'half' for argument '--train.precision'. Expected",
    "train contrastive DATA NEW --family.color 9": "--family.color 9: give a number between 0 and 1",
    "train classifier --data P/flat NEW": "a classifier needs two classes or more, this dataset has 0; put each class",
    "train vae DATA NEW --from P/nowhere": "--from P/nowhere: has no checkpoint; give a run folder of 'figment train'",
    "train vae DATA NEW --from P/digits": "--from P/digits: has no checkpoint; give a run folder of 'figment train'",
    "train vae DATA NEW --from P/flow": "--from P/flow: its weights do not fit; family, --scale and picture size must",
    "train vae --data P/unsplit NEW --train.patience 3": "--train.patience, --train.score-every and --train",
    "train gan DATA NEW --train.patience 3": "--train.patience 3: would have no effect, the loss of a",
    "train gan DATA NEW --train.schedule plateau": "--train.schedule plateau: would have no effect, the loss of",
    "train gan DATA NEW --train.validate-every 50": "--train.validate-every 50: would have no effect, the loss of a",
    "train vae DATA NEW --train.patience 3 --train.validate-every 0": "--train.patience 3: would have no effect with",
    "train gan DATA --out P/vae": "P/vae: this run has the family vae, you asked for gan; give --out another folder",
    "train vae --data P/colour --out P/vae": "P/vae: this run has the dataset's pictures (pixel digest) ",
    "train vae --data P/nowhere NEW": "P/nowhere: no such dataset; make one with: figment data build SOURCE",
    "train vae --data P/pictures NEW": "P/pictures: is a plain folder, not a dataset; make one of it with: figment",
    "train vae --data P/one.png NEW": "P/one.png: is a file, not a dataset; make one of it with: figment data build",
    "train vae --data P/vae NEW": "P/vae: is a run, not a dataset; give the dataset that it was trained on",
    "train vae DATA --out P/digits": "P/digits: exists and is not a figment run; give --out another folder",
    "train vae DATA --out P/one.png": "P/one.png: exists and is not a figment run; give --out another folder",
}

DATASETS = {
    "data report P/vae": "P/vae: is a run, not a dataset; give the dataset that it was trained on",
    "data report P/nowhere": "P/nowhere: no such dataset; make one with: figment data build SOURCE --out P/nowhere",
    "data split P/pictures": "P/pictures: is a plain folder, not a dataset; make one of it with: figment data build",
    "data split P/digits --val 0.95": "--val 0.95: give a number between 0 and 0.9",
    "data split P/digits --val 0.5 --test 0.6": "--val 0.5 and --test 0.6: leave a tenth for training",
    "data restore P/digits zebra": "there is no picture 'zebra'",
    "data restore P/digits 0001": "'0001' was not refused: there is nothing to restore",
    "data build NEW": "no SOURCE: give a folder of pictures, an archive, or a source like digits:",
    "data build digits: NEW --size huge": "--size huge: give a side (32) or height x width (48x64), each from 1 to",
    "data build digits: NEW --size 0": "--size 0: give a side (32) or height x width (48x64), each from 1 to 4096",
    "data build digits: NEW --size 8x": "--size 8x: give a side (32) or height x width (48x64), each from 1 to 4096",
    "make digits: NEW --size 8by8": "--size 8by8: give a side (32) or height x width (48x64), each from 1 to 4096",
    "data build digits: NEW --skip spilt": "no step 'spilt'; did you mean 'split'?",
    "data build digits: NEW --skip decode": "--skip decode: a picture must be decoded to be checked; skip another step",
    "data build digits: NEW --min-size.pixels 0": "--min-size.pixels 0: give a number at least 1",
    "data build digits: --out P/texts": "P/texts: is not empty and holds no dataset; give --out a new folder",
    "data build digits: --out P/vae": "P/vae: is not empty and holds no dataset; give --out a new folder",
    "data build digits: --out P/one.png": "P/one.png: is a file; give --out a new folder",
    "data build digits: --out P/digits --size 16": "P/digits: is a dataset of another recipe (steps.",
    "data build P/pictures --out P/pictures/new": "P/pictures/new: lies within the source P/pictures; give --out",
}

SAMPLING = {
    "sample NEW": "name a run first: figment sample RUN --out samples.png",
    "sample P/nowhere NEW": "P/nowhere: no such run; train one with 'figment train FAMILY --data DATASET --out",
    "sample P/digits NEW": "P/digits: is a dataset, not a run; train on it with 'figment train FAMILY --data P/digits",
    "sample P/pictures NEW": "P/pictures: is not a figment run (no model/model.safetensors); give the --out folder",
    "sample P/unfinished NEW": "P/unfinished: its training has not finished; give its 'figment train' command again",
    "sample P/broken NEW": "P/broken/model/model.safetensors: damaged (its SHA-256 differs from the manifest's)",
    "sample P/classifier NEW": "a 'classifier' draws no pictures; give a run of a family that generates, such as flow",
    "sample P/vae NEW --num 0": "--num 0: give a number of at least 1",
    "sample P/vae NEW --num -5": "--num -5: give a number of at least 1",
    "sample P/vae NEW --label eleven": "--label eleven: no such class; there are: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9",
    "sample P/unlabelled NEW --label cat": "--label cat: this model was trained without labels; leave --label out",
    "sample P/flow NEW --sampler hein": "no sampler 'hein'; did you mean 'heun'?",
    "sample P/flow NEW --sampling.sampler hein": "no sampler 'hein'; did you mean 'heun'?",
    "sample P/vae NEW --sampler heun": "--sampler heun: a 'vae' has none, it draws in one step; leave it out",
    "sample P/flow NEW --sampling.steps 0": "--sampling.steps 0: give a number between 1 and 1000",
    "sample P/vae --out P/one.jpg": "--out P/one.jpg: samples are lossless; give a .png file or a folder",
    "sample P/vae --again P/drawn.png NEW": "--out P/new: --again draws one picture; give a .png file",
    "sample P/vae --again P/drawn.png --out P/new.png --num 3": "--num and --again: the recipe of the picture says it",
    "sample P/vae --again P/one.png --out P/new.png": "P/one.png: carries no figment recipe; give a PNG that 'figment",
    "sample P/vae --again P/nowhere.png --out P/new.png": "P/nowhere.png: carries no figment recipe; give a PNG that",
    "sample P/flow --again P/drawn.png --out P/new.png": "P/drawn.png: was drawn by a 'vae' with the weights ",
    "sample P/vae --again P/other.png --out P/new.png": "P/other.png: its recipe cannot be drawn from, it names no",
    "sample P/vae --out P/folder.png": "P/folder.png: is a folder, a file was expected; give another path",
}

JUDGED = "DATA --judge P/classifier"

SCORING = {
    "eval P/vae DATA --metrics fid": "no metric 'fid'; did you mean 'fd'?",
    "eval DATA": "name a run or a folder of pictures: figment eval RUN --data DATASET",
    "eval P/vae DATA --num 1": "--num 1: give a number of at least 2",
    "eval P/vae --data P/vae": "P/vae: is a run, not a dataset; give the dataset that it was trained on",
    f"eval P/nowhere {JUDGED}": "P/nowhere: no such run; train one with 'figment train FAMILY --data DATASET",
    f"eval P/unfinished {JUDGED}": "P/unfinished: its training has not finished; give its 'figment train' command",
    f"eval P/digits {JUDGED}": "P/digits: is a dataset already, not a folder of pictures; use it with --data P/digits",
    "eval P/vae DATA --judge P/flow": "--judge P/flow: a 'flow' has no features; give a classifier or contrastive run",
    "eval P/vae DATA --judge P/colourist": "--judge P/colourist: made for 12x12x3, 2 classes, the dataset has 8x8x1",
    f"eval P/unlabelled {JUDGED}": "P/unlabelled: was trained on 12x12x3, no labels, the dataset has 8x8x1, 10",
    f"eval P/colourist {JUDGED}": "P/colourist: was trained on 12x12x3, 2 classes, the dataset has 8x8x1, 10 classes",
    f"eval P/large {JUDGED}": "P/large: 0/1.png is 9x9, the dataset 8x8; resize it first",
    f"eval P/texts {JUDGED}": "P/texts: no pictures, none of its 2 files is named like a picture; give a folder",
    "eval P/vae --data P/unsplit --judge P/classifier": "P/unsplit: has no held-out pictures to score against; add",
    "eval P/aged --data P/hats --features pixels": "P/aged: was trained on the attributes age, old, the data",
    "eval P/aged --data P/small1 --features pixels": "P/aged: was trained on the attributes age, old, the da",
    "compare P/aged --data P/hats --features pixels": "P/aged: was trained on the attributes age, old, the d",
    "audit P/aged --data P/hats": "P/aged: was trained on the attributes age, old, the dataset has hat, red; give a",
    "eval P/said --data P/small1 --features pixels": "P/said: was trained on captions, the dataset has none;",
    "eval P/vqvae DATA --features pixels --reference P/statistics.npz": "a 'vqvae' draws no pictures to scor",
    "eval P/classifier DATA --features pixels --reference P/statistics.npz": "P/classifier: a 'classifier' draws no pi",
    "eval P/classifier --data P/unknown --features pixels": "P/unknown: none of its held-out pictures has a",
    "eval P/vae --data P/clips --features pixels": "P/clips: holds clips, and scores are of single pictures; give a",
    "eval P/vae --data P/clips": "P/clips: holds clips, and scores are of single pictures; give a dataset of",
    "compare P/vae --data P/clips --features pixels": "P/clips: holds clips, and scores are of single pictures; give a",
    "audit P/vae --data P/resplit": "P/vae: was trained on other pictures than P/resplit has now, so which o",
    "eval P/vae DATA --metrics accuracy --judge P/renamed": "accuracy: compares labels with the classes that",
}

PLUGINS = {
    "list familys": "no plugins of kind 'familys'; did you mean 'families'?",
    "list families vea": "no family 'vea'; did you mean 'vae'?",
    "list families vae gan": "'gan' is one word too many; usage: figment list families [NAME]",
    "check hein": "no plugin 'hein'; did you mean 'heun'?",
    "check familis/vae": "no plugins of kind 'familis'; did you mean 'families'?",
    "check metrics/vae": "no metric 'vae'; there are: accuracy, ",
}

OUTPUTS = (
    "train vae DATA --steps 1 --out",
    "data build digits: --out",
    "make digits: --minutes 0.01 --out",
    "sample P/vae --num 1 --out",
    "data report P/colour --out",
    f"eval P/vae {JUDGED} --metrics fd --num 9 --out",
)


def spelt_out(text: str, place: Path) -> str:
    text = text.replace("DATA", "--data P/digits").replace("NEW", "--out P/new")
    return in_place(text, place)


def in_place(text: str, place: Path) -> str:
    return re.sub(r"\bP\b", str(place), text)


def touched(place: Path) -> dict[str, tuple[int, int]]:
    """Size and time of the last change of every file: what is refused does not write the same again, either."""
    files = {path.relative_to(place).as_posix(): path.stat() for path in place.rglob("*") if path.is_file()}
    return {name: (file.st_size, file.st_mtime_ns) for name, file in files.items()}


def refuse(place: Path, command: str, told: str) -> str:
    """Give a command that must be refused with a line that begins with `told`; that line."""
    before = touched(place)
    answer = figment(*shlex.split(spelt_out(command, place)), "--json")
    complaint = answer.complaint
    assert complaint.startswith(in_place(told, place))
    assert complaint == complaint.strip() and len(complaint) < 800
    # One JSON object, and nothing else, for programs.
    assert answer.json == {"error": {"code": 2, "message": complaint}}
    after = touched(place)
    # A cache may come, and the index of a build that came to nothing.
    new = {name for name in after.keys() - before.keys() if "/cache/" not in name and not name.endswith("index.sqlite")}
    assert not new and before.items() <= after.items()
    for left in ("new", "dangling"):
        shutil.rmtree(place / left, ignore_errors=True)
    return complaint


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("verb", ["make", "data build", "data build --dry-run"])
def test_a_source_that_is_none_is_told_with_what_to_type_instead(place, verb, source):
    refuse(place, f"{verb} {source} NEW", SOURCES[source])


@pytest.mark.parametrize("command", mistakes := VERBS_AND_FLAGS | TRAINING | DATASETS | SAMPLING | SCORING | PLUGINS)
def test_a_mistake_is_told_in_one_line_with_what_to_type_instead(place, command):
    refuse(place, command, mistakes[command])


@pytest.mark.parametrize("command", OUTPUTS)
def test_a_place_below_a_file_cannot_be_written(place, command):
    complaint = refuse(place, f"{command} P/notes.txt/below", "P/notes.txt")
    assert complaint.endswith(("give another path", "give a folder that can be made and written"))


@pytest.mark.parametrize("command", OUTPUTS)
def test_a_place_on_a_disk_that_is_not_there_cannot_be_written(place, command):
    """A link that leads nowhere, as one to a disk that is not mounted."""
    complaint = refuse(place, f"{command} P/dangling/below", "P/dangling")
    assert complaint.endswith(("give another path", "give a folder that can be made and written"))


@pytest.mark.parametrize(
    "command",
    [
        "sample P/flow --num 2 --out P/new/grid.png",
        "sample P/flow --num 2 --out P/new",
        "edit redraw P/flow P/small/0/0.png --out P/new/one.png",
        "tune P/flow --num 20 --out P/new/tune.html",
        "eval P/flow DATA --num 20 --out P/new/report.html",
        "compare P/flow DATA --num 20 --out P/new/board.html",
    ],
)
def test_where_nothing_may_be_written_nothing_is_drawn(place, monkeypatch, command):
    def forbidden(dir: Path):
        raise PermissionError(errno.EACCES, "Permission denied", str(dir / "tmp"))

    monkeypatch.setattr("figment.cli._place.TemporaryFile", forbidden)
    monkeypatch.setattr("figment.evaluate.extract.drawn", lambda *given, **named: pytest.fail("it was drawn"))
    assert "permission denied" in refuse(place, command, "P/new")


@pytest.mark.parametrize("command", OUTPUTS[:-1])
def test_a_name_that_is_too_long_cannot_be_written(place, command):
    complaint = refuse(place, f"{command} P/{'a' * 300}", f"P/{'a' * 300}")
    assert complaint.endswith(("give a shorter one", "give a folder that can be made and written"))


def test_without_json_nothing_is_written_to_standard_output():
    answer = figment("train", "flwo")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "figment: no family 'flwo'; did you mean 'flow'?\n"


def test_json_may_stand_anywhere_in_a_command():
    for words in (("--json", "list", "nosuch"), ("list", "--json", "nosuch"), ("list", "nosuch", "--json")):
        assert json.loads(figment(*words).out)["error"]["code"] == 2


def test_of_pictures_to_score_the_one_that_cannot_be_read_is_named(place, tmp_path):
    grey = {f"{label}/{number}.png": encode(pixels(number, 8, 8, 1)) for label in (0, 1) for number in range(3)}
    folder = write_folder(tmp_path / "mixed", grey | {"1/9.png": b"hello"})
    judge = ("--judge", place / "classifier", "--metrics", "fd")
    complaint = figment("eval", folder, "--data", place / "digits", *judge).complaint
    assert complaint.startswith(f"{folder}: 1/9.png: not a picture in a known format")


def test_classes_of_other_names_are_not_mistaken_for_the_datasets(place, tmp_path):
    write_folder(tmp_path / "pictures", classes(6, ("ant", "bee")))
    done("data", "build", tmp_path / "pictures", "--out", tmp_path / "data")
    complaint = figment(
        "eval", place / "colourist", "--data", tmp_path / "data", "--judge", place / "colourist"
    ).complaint
    assert "was trained on the classes cat, dog, the dataset has ant, bee; give a dataset of the same" in complaint
