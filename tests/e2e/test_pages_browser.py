"""Both reports in a real browser: quiet, offline, legible in light and dark, and as wide as the window."""

from __future__ import annotations

import io
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from figment.core.types import Rejected
from figment.pages import data_report, run_report
from figment.pages.data_report import Histogram, Sheet
from figment.pages.run_report import Curve, Neighbour, Picture

pytestmark = pytest.mark.browser

LONG = "a_label_without_a_single_space_" * 8


def png(width, height, seed=0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_run(path: Path) -> None:
    score = {"value": 7.3, "low": 6.9, "high": 7.7, "floor": 1.9, "num_real": 2000, "num_fake": 2000}
    run_report.write(
        path,
        title=f"A run <b>&</b> {LONG}",
        facts={"family": "flow", LONG: LONG},
        pictures=[Picture("Samples", png(900, 300), LONG), Picture(LONG, png(16, 16))],
        curves=[
            Curve("Loss", "nats", {"train": [(i, 1 + math.exp(-i / 30)) for i in range(200)], LONG: [(99, 1.5)]}),
            Curve(LONG, "", {}),
        ],
        scores={"fd": score | {"extractor": LONG}, "precision": score | {"value": 0.5}, LONG: {"value": 1.0}},
        neighbours=[Neighbour(png(8, 8, i), png(8, 8, i + 1), 1.5, 2.5) for i in range(3)],
        commands=["figment train flow --data digits --out run", f"figment eval {LONG}"],
        notes=[LONG],
        classification={
            "classes": [
                {"name": name, "precision": 1.0, "recall": 0.989, "f1": 0.994, "count": 91}
                for name in [LONG, *"bcdefghijklm"]
            ],
            "confusion": (90 * np.eye(13, dtype=int) + np.eye(13, k=3, dtype=int)).tolist(),
            "reliability": [{"confidence": c / 10, "accuracy": c / 11, "count": c} for c in range(1, 10)],
        },
    )


def write_data(path: Path) -> None:
    data_report.write(
        path,
        title=f"Data {LONG}",
        card={"name": LONG, "recipe": {LONG: LONG, "steps": [{"name": "resize", "size": [32, 32]}]}},
        sheets=[Sheet(LONG, png(270, 60, i), "By class", 100) for i in range(3)] + [Sheet("wide", png(2000, 50))],
        histograms=[Histogram("Brightness", LONG, [i / 20 for i in range(21)], list(range(20)))],
        balance={"train": {LONG: 900, "dog": 100}, "val": {"dog": 10}, "test": {LONG: 7}},
        rejected=[Rejected(LONG, "duplicates", LONG)],
    )


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("reports")
    write_run(folder / "run.html")
    write_data(folder / "data.html")
    return {name: (folder / f"{name}.html").as_uri() for name in ("run", "data")}


@pytest.fixture
def visit(browser, reports):
    """visit(name, width, scheme) -> the page; whatever it complains of or asks for fails the test at its end."""
    contexts, complaints, requests = [], [], []

    def open_page(name, width=1280, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(reports[name])
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert set(requests) - set(reports.values()) == set()


BOTH = pytest.mark.parametrize("name", ["run", "data"])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

# Contrast ratio (WCAG 2) of every element that has text of its own, against the first opaque colour behind it.
CONTRASTS = """() => {
  const luminance = ([r, g, b]) => [r, g, b].map(c => (c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (color.startsWith('rgb(')) return channels(color);
    }
  };
  const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll('body, body *')].filter(own).map(element => {
    const style = getComputedStyle(element), isSvg = element instanceof SVGElement;
    const color = isSvg ? style.fill : style.color;
    if (!color.startsWith('rgb(')) return [99, ''];
    const [a, b] = [luminance(channels(color)), luminance(behind(element))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), element.outerHTML.slice(0, 80)];
  });
}"""


@BOTH
@SCHEMES
def test_the_page_is_no_wider_than_its_window(visit, name, scheme):
    page = visit(name, scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for width in (320, 380, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


@BOTH
@SCHEMES
def test_all_text_stands_out_from_what_is_behind_it(visit, name, scheme):
    contrasts = visit(name, scheme=scheme).evaluate(CONTRASTS)
    assert len(contrasts) > 50
    assert [(round(ratio, 2), where) for ratio, where in contrasts if ratio < 4.5] == []


@BOTH
def test_dark_is_dark_and_light_is_light(visit, name):
    background = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).reduce((sum, c) => sum + Number(c), 0)"
    assert visit(name, scheme="light").evaluate(background) > 700
    assert visit(name, scheme="dark").evaluate(background) < 100


@BOTH
def test_every_picture_is_drawn_and_tiny_ones_are_not_blurred(visit, name):
    images = visit(name).evaluate(
        "[...document.images].map(i => [i.naturalWidth, i.width, getComputedStyle(i).imageRendering])"
    )
    assert images
    assert all(natural > 0 and width > 0 for natural, width, _ in images)
    assert all((rendering == "pixelated") is (width >= 2 * natural) for natural, width, rendering in images)


def test_pointing_at_a_curve_reads_it(visit):
    page = visit("run")
    plot = page.locator("#curves .plot").first
    assert not page.get_by_text("100 images", exact=True).is_visible()
    box = plot.bounding_box()
    # The middle of the axes, which run from 56 to 388 of 400 units and from 0 to 199 images.
    plot.hover(position={"x": box["width"] * (56 + 332 * 100 / 199) / 400, "y": box["height"] / 2})
    shown = plot.locator(".pointed:visible text").all_text_contents()
    assert len(shown) == 2 and shown[0].startswith("train 1.0") and shown[1].endswith(" images")


def test_the_keyboard_reaches_the_contents_and_wide_tables(visit):
    page = visit("run", 380)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#pictures")
    matrix = page.locator(".scroll:has(.matrix)")
    matrix.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(300)  # the content policy forbids the evaluation that waiting for a condition needs
    assert matrix.evaluate("element => element.scrollLeft") > 0


def test_a_click_selects_the_whole_command(visit):
    page = visit("run")
    page.locator("#commands code").first.click()
    assert page.evaluate("getSelection().toString()") == "figment train flow --data digits --out run"


def test_the_policy_stops_what_would_slip_through_the_escaping(browser, reports, tmp_path):
    """The second line of defence, tried on a copy with a script and a picture from elsewhere put in by hand."""
    source = Path(reports["run"].removeprefix("file://")).read_text(encoding="utf-8")
    attack = (
        "<script>document.title = 'mine'</script><img src='http://127.0.0.1:9/x.png' onerror=\"document.title='mine'\">"
    )
    path = tmp_path / "attacked.html"
    path.write_text(source.replace("<main", attack + "<main"), encoding="utf-8")
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title().startswith("A run <b>&</b>")
    page.close()
