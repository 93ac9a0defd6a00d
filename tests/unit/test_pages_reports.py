"""Both reports as documents: complete in themselves, escaped, whole, and small enough."""

from __future__ import annotations

import io
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figment.core.types import Rejected
from figment.pages import data_report, run_report
from figment.pages.data_report import Histogram, Sheet
from figment.pages.run_report import Curve, Neighbour, Picture
from figment.pages.score_table import score_table

HOSTILE = """<script>alert(1)</script>"'><img src=x onerror=alert(2)>{{ 7*7 }}&amp;\u202e"""
VOID = {"meta", "link", "img", "br"}
SCORE = {
    "value": 7.3124,
    "low": 6.91,
    "high": 7.66,
    "floor": 1.92,
    "num_real": 1999,
    "num_fake": 2001,
    "extractor": "judge 1a2b3c4d",
    "reference_digest": "9f86d081",
    "protocol": "basic bootstrap",
}


def png(size=(8, 8), seed=0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class Document(HTMLParser):
    """A page's tags with their attributes and its text; fails on a tag that is not closed in its place."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.words, self.open, self.style = [], [], [], ""
        self.feed(html)
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.words.append(data)

    def all(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]


def write_run(path: Path, text="plain", **changes) -> Document:
    """A run report with every part there; `text` stands wherever a text of a user's can."""
    content = {
        "title": text,
        "facts": {text: text},
        "pictures": [Picture(text, png(), text)],
        "curves": [Curve(text, text, {text: [(0, 2.0), (128, 1.0)], "validation": [(128, 1.25)]})],
        "scores": {"fd": SCORE, text: SCORE | {"extractor": text, "protocol": {text: 1}}},
        "neighbours": [Neighbour(png(seed=1), png(seed=2), 0.5, 2.5), Neighbour(png(seed=3), png(seed=4), 2.25, None)],
        "commands": [text],
        "notes": [text],
        "classification": {
            "accuracy": 0.9074,
            text: 0.125,
            "classes": [
                {"name": text, "precision": 0.8542, "recall": 0.9318, "f1": 0.8913, "count": 44},
                {"name": "dog", "precision": 0.95, "recall": 0.8906, "f1": 0.9194, "count": 64},
            ],
            "confusion": [[41, 3], [7, 57]],
            "reliability": [{"confidence": 0.95, "accuracy": 0.9, "count": 108}],
        },
    }
    run_report.write(path, **content | changes)
    return Document(path.read_text(encoding="utf-8"))


def write_data(path: Path, text="plain", **changes) -> Document:
    content = {
        "title": text,
        "card": {"name": text, "images": 12345, "recipe": {text: [{text: text, "strict": True}]}, "mean": [0.5, -0.25]},
        "sheets": [Sheet(text, png(), text, 321, text)],
        "histograms": [Histogram(text, text, [0.0, 0.5, 1.0], [10, 20])],
        "balance": {"train": {text: 30, "dog": 10}, text: {"dog": 5}},
        "rejected": [Rejected(text, text, text)],
    }
    data_report.write(path, **content | changes)
    return Document(path.read_text(encoding="utf-8"))


WRITERS = pytest.mark.parametrize("write", [write_run, write_data])


@WRITERS
def test_hostile_texts_stay_texts(tmp_path, write):
    page = write(tmp_path / "report.html", HOSTILE)
    assert page.all("script") == []
    assert [name for _, attributes in page.tags for name in attributes if name.startswith("on")] == []
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in page.all("img"))
    assert " ".join(HOSTILE.split()) in page.text
    assert "49" not in page.text


@WRITERS
def test_nothing_is_fetched(tmp_path, write):
    page = write(tmp_path / "report.html")
    for attributes in page.all("a", "link", "img", "use", "image", "iframe", "object"):
        for name in ("href", "src", "xlink:href", "data"):
            assert attributes.get(name, "#").startswith(("#", "data:"))
    assert "url(" not in page.style and "@import" not in page.style


@WRITERS
def test_the_content_policy_admits_this_style_sheet_and_nothing_else(tmp_path, write):
    page = write(tmp_path / "report.html")
    policy = next(meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    digest = b64encode(sha256(page.style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "img-src data:",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert [attributes for _, attributes in page.tags if "style" in attributes] == []


@WRITERS
def test_a_screen_reader_finds_names_and_landmarks(tmp_path, write):
    page = write(tmp_path / "report.html")
    assert all(attributes["alt"] for attributes in page.all("img"))
    assert all("aria-label" in svg or svg.get("aria-hidden") == "true" for svg in page.all("svg"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    named = [attributes["aria-labelledby"] for _, attributes in page.tags if "aria-labelledby" in attributes]
    assert named and set(named) <= set(ids)


@WRITERS
def test_parts_that_are_empty_do_not_appear(tmp_path, write):
    empty = {
        write_run: {"pictures": [], "curves": [], "scores": {}, "neighbours": [], "commands": [], "notes": []},
        write_data: {"sheets": [], "histograms": [], "balance": {}, "rejected": []},
    }[write]
    nothing = {"facts": {}, "classification": None} if write is write_run else {"card": {}}
    page = write(tmp_path / "report.html", "only a title", **empty, **nothing)
    assert page.all("section") == page.all("nav") == page.all("table") == page.all("img") == []
    assert "only a title" in page.text


@WRITERS
def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path, write):
    assert r"caf\udce9" in write(tmp_path / "report.html", "caf\udce9").text


@WRITERS
def test_the_old_report_stays_whole_until_the_new_one_is(tmp_path, write):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(AssertionError, match="PNG"):
        picture = {"pictures": [Picture("", b"GIF89a")]} if write is write_run else {"sheets": [Sheet("", b"GIF89a")]}
        write(path, **picture)
    assert path.read_text() == "old"
    write(path)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


@WRITERS
def test_a_report_is_the_same_each_time(tmp_path, write):
    write(tmp_path / "a.html")
    write(tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_large_pictures_give_way_and_small_ones_stay_exact(tmp_path):
    large = [Picture(f"large {i}", png((1024, 768), i)) for i in range(4)]  # noise: 2.4 MB each
    page = write_run(tmp_path / "report.html", pictures=[*large, Picture("small", png((8, 8), 9))])
    assert (tmp_path / "report.html").stat().st_size <= 5_000_000
    assert page.text.count("Shown at reduced quality") == 4
    assert f"data:image/png;base64,{b64encode(png((8, 8), 9)).decode()}" in {image["src"] for image in page.all("img")}


def test_every_figure_of_a_score_is_there(tmp_path):
    page = write_run(tmp_path / "report.html")
    for text in (
        "Fréchet distance",
        "lower is better",
        "7.31",
        "6.91 to 7.66",
        "floor 1.92",
        "1,999 real",
        "2,001 gen",
    ):
        assert text in page.text
    for text in ("judge 1a2b3c4d", "9f86d081", "basic bootstrap"):
        assert text in page.text


def test_a_score_of_unknown_name_has_no_explanation_and_no_direction(tmp_path):
    page = write_run(tmp_path / "report.html", scores={"mystery": {"value": 0.5, "low": None, "high": None}})
    assert "is better" not in page.text
    assert "mystery" in page.text and "no interval" in page.text and "no floor" in page.text


@pytest.mark.parametrize("higher, said", [(True, "higher is better"), (False, "lower is better")])
def test_the_scores_own_direction_counts(tmp_path, higher, said):
    page = write_run(tmp_path / "report.html", scores={"mystery": SCORE | {"higher_is_better": higher}})
    assert said in page.text


def test_scores_that_could_not_be_measured_are_dashes(tmp_path):
    scores = {"fd": {"value": float("nan"), "low": None, "high": float("inf"), "floor": None}, "kid": {}}
    page = write_run(tmp_path / "report.html", scores=scores)
    assert "–" in page.text and "nan" not in page.text and "inf" not in page.text


def test_how_scores_were_measured_is_said_once_where_it_is_the_same(tmp_path):
    scores = {name: SCORE | {"protocol": f"protocol of {name}"} for name in ("fd", "kid", "recall")}
    page = write_run(tmp_path / "report.html", scores=scores)
    assert page.text.count("features judge 1a2b3c4d real pictures 9f86d081") == 1
    assert all(page.text.count(f"protocol of {name}") == 1 for name in scores)


def test_features_that_differ_are_said_of_each_score(tmp_path):
    scores = {"fd": SCORE, "kid": SCORE | {"extractor": "pixels"}, "recall": {"value": 1.0}}
    page = write_run(tmp_path / "report.html", scores=scores)
    assert page.text.count("features judge 1a2b3c4d") == page.text.count("features pixels") == 1
    assert page.text.count("9f86d081") == 2


@pytest.mark.parametrize(
    "name, score, value, floor, ends",
    [
        ("recall", {"value": 0.5, "low": 0.4, "high": 0.6, "floor": 0.9}, 0.5, 0.9, ("0", "1")),
        ("recall", {"value": 1.2}, 1.2 / 1.26, None, ("0", "1.3")),
        ("kid", {"value": -0.5, "high": 0.5}, 0.0, None, ("-0.5", "0.55")),
        ("kid", {"value": 0.0}, 0.0, None, ("0", "1")),
    ],
)
def test_a_share_is_drawn_on_the_whole_scale_and_anything_else_on_one_that_holds_it(name, score, value, floor, ends):
    (row,), _ = score_table({name: score})
    assert (row.bar.value, row.bar.floor, row.bar.ends) == (pytest.approx(value), floor, ends)


def test_what_has_no_value_has_no_bar():
    rows, _ = score_table({"fd": {"value": None}, "kid": {"value": float("nan"), "low": 0.1}})
    assert [row.bar for row in rows] == [None, None]


def test_a_picture_much_closer_than_the_floor_is_flagged(tmp_path):
    page = write_run(tmp_path / "report.html")
    assert page.text.count("suspiciously close") == 1
    assert "0.5 apart · held-out 2.5 suspiciously close" in page.text
    assert "2.25 apart" in page.text


def test_tiny_pictures_are_enlarged_by_whole_factors(tmp_path):
    page = write_run(
        tmp_path / "report.html", pictures=[Picture("tiny", png((30, 20))), Picture("wide", png((900, 90)))]
    )
    tiny, wide = page.all("img")[:2]
    assert (tiny["width"], tiny["height"], tiny.get("class")) == ("630", "420", "enlarged")
    assert (wide["width"], wide["height"], wide.get("class")) == ("544", "54", None)


def test_a_classifier_is_shown_by_its_mistakes(tmp_path):
    page = write_run(tmp_path / "report.html")
    assert "Accuracy 0.9074 plain 0.125" in page.text
    assert "plain 85.4% 93.2% 89.1% 44" in page.text
    assert "dog plain 7 plain dog 3" in page.text
    assert "accuracy 0.900, 108 pictures" in page.text


def test_many_classes_are_a_picture_and_not_a_table(tmp_path):
    rows = [{"name": f"class {i}", "precision": 1.0, "recall": 1.0, "f1": 1.0, "count": 1} for i in range(31)]
    perfect = {"classes": rows, "confusion": np.eye(31, dtype=int).tolist()}
    page = write_run(tmp_path / "report.html", classification=perfect)
    assert "Confusion matrix of 31 classes" in {image["alt"] for image in page.all("img")}
    assert not any(table.get("class") == "matrix" for table in page.all("table"))


def test_the_balance_counts_every_split(tmp_path):
    page = write_data(tmp_path / "report.html")
    assert "45 pictures kept. The largest class has 2.0 times as many as the smallest." in page.text
    assert "plain 30 0 30" in page.text and "dog 10 5 15" in page.text and "All 40 5 45" in page.text


def test_an_empty_class_has_no_ratio(tmp_path):
    page = write_data(tmp_path / "report.html", balance={"train": {"cat": 3, "dog": 0}})
    assert "times as many" not in page.text


def test_classes_beyond_a_thousand_are_counted(tmp_path):
    page = write_data(tmp_path / "report.html", balance={"train": {f"class {i}": 1 for i in range(1003)}})
    assert "1,003 pictures kept" in page.text and "And 3 more classes." in page.text


def test_rejected_pictures_are_counted_by_reason(tmp_path):
    rejected = [Rejected(f"{i}.png", "size", "too small") for i in range(7)] + [Rejected("x.png", "decode", "damaged")]
    page = write_data(tmp_path / "report.html", rejected=rejected)
    assert "Refused: 8 pictures." in page.text
    assert "size too small such as 0.png , 1.png , 2.png 7" in page.text
    assert "decode damaged such as x.png 1" in page.text


def test_rare_reasons_are_counted(tmp_path):
    rejected = [Rejected(f"{i}.png", "size", f"{i} pixels") for i in range(42)]
    assert "And 2 rarer reasons." in write_data(tmp_path / "report.html", rejected=rejected).text


def test_the_card_is_flattened(tmp_path):
    card = {"images": 12345, "sealed": False, "origin": None, "mean": [0.5, -0.25], "big": list(range(20)),
            "spec": {"size": {"height": 32}}, "recipe": {"steps": [{"name": "decode", "strict": True}]}}  # fmt: skip
    page = write_data(tmp_path / "report.html", card=card)
    for text in ("images 12,345", "sealed no", "origin –", "mean 0.5, -0.25", "11, … (20 in all)", "size.height 32"):
        assert text in page.text
    assert "steps 1 name decode, strict yes" in page.text


def test_long_parts_of_the_card_are_folded(tmp_path):
    card = {"short": {"a": 1}, "long": {str(i): i for i in range(13)}}
    page = write_data(tmp_path / "report.html", card=card)
    parts = [details for details in page.all("details") if details.get("class") == "part"]
    assert ["open" in details for details in parts] == [True, False]
