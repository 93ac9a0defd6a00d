"""The studio in a real browser, over a real server: every tab is walked, and nothing is asked of anybody else."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from figment.data.store import Store
from tests.commands import QUICK, done
from tests.e2e.test_pages_browser import CONTRASTS

pytestmark = pytest.mark.browser

MANY = 100_000
TABS = ["generate", "edit", "explore", "live", "runs", "compare", "data"]

# The name of every control that can be used, as a screen reader would find it; "" where it has none.
NAMES = """() => [...document.querySelectorAll(
    'button, a[href], input:not([type=file]), select, textarea, canvas[tabindex], [role=listbox], [role=img]')]
  .filter(one => one.checkVisibility())
  .map(one => [one.getAttribute('aria-label') || [...one.labels ?? []].map(label => label.textContent).join('')
    || (one.textContent || '').trim() || one.title || (one.querySelector('img')?.alt ?? ''),
    one.outerHTML.slice(0, 120)])
  .filter(([name]) => !name.trim()).map(([, where]) => where)"""


@pytest.fixture(scope="module")
def served(digits: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with a flow, a GAN, the digits, and a dataset of very many pictures."""
    pytest.importorskip("uvicorn")
    folder = tmp_path_factory.mktemp("studio")
    digits_copy = shutil.copytree(digits.path, folder / "digits", ignore=shutil.ignore_patterns("judges"))
    shutil.copytree(digits_copy, folder / "many")
    multiply(folder / "many/index.sqlite", MANY)
    for family, steps in (("flow", 20), ("gan", 10)):
        words = ("--data", digits.path, "--out", folder / family, "--steps", steps, *QUICK)
        done("train", family, *words, "--train.sample-every", "10", "--train.batch-size", "64")
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        port = line.getsockname()[1]
    words = ["serve", folder / "flow", folder / "gan", "--data", folder / "digits", folder / "many"]
    words += ["--port", port, "--state", folder / "state"]
    with (folder / "said.txt").open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "figment", *map(str, words)], stdout=said, stderr=said, env=os.environ
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, server, folder / "said.txt")
        yield address
    finally:
        server.terminate()
        server.wait(60)


def multiply(index: Path, number: int) -> None:
    """Give every picture of a dataset so many further rows that there are `number`; their bytes are shared."""
    with sqlite3.connect(index) as base:
        names = [row[1] for row in base.execute("pragma table_info(images)") if row[1] not in ("id", "key")]
        (count,) = base.execute("select max(id) + 1 from images").fetchone()
        columns = ", ".join(names)
        for turn in range(1, number // count + 1):
            base.execute(
                f"insert into images (id, key, {columns}) select id + ?, key || '-' || ?, {columns} from images "
                "where id < ?",
                (turn * count, turn, min(count, number - turn * count)),
            )
    base.close()


def wait_until_ready(address: str, server: subprocess.Popen, said: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, said.read_text()
        try:
            return urllib.request.urlopen(f"{address}/ready", timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the server is not ready: {said.read_text()}")


def ask(address: str, path: str, body: Any = None) -> Any:
    """What the server says, past the page."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@pytest.fixture
def visit(browser, served):
    """visit(tab, width, scheme, locale) -> the page; whatever it complains of, or asks of others, fails the test."""
    contexts, complaints, requests = [], [], []

    def open_page(tab, width=1280, scheme="light", locale="en-GB"):
        context = browser.new_context(
            viewport={"width": width, "height": 860}, color_scheme=scheme, locale=locale, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: complaints.append(f"{message.text} {message.location}"))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"{served}/#{tab}")
        page.locator(f"#tabs a[href='#{tab}'][aria-current]").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith((f"{served}/", "blob:", "data:"))] == []


def photo(size: int = 16) -> dict[str, Any]:
    """A picture to open, as a browser's file."""
    image = Image.new("RGB", (size, size), "navy")
    ImageDraw.Draw(image).ellipse((3, 3, size - 4, size - 4), fill="orange")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return {"name": "photo.png", "mimeType": "image/png", "buffer": buffer.getvalue()}


def pixels(url: str) -> bytes:
    with urllib.request.urlopen(url) as answer, Image.open(answer) as image:
        return image.tobytes()


def paint(page, selector: str = "canvas.paint:visible") -> None:
    """One stroke across the middle of a canvas."""
    box = page.locator(selector).bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.up()


def painted(page) -> int:
    """How many pixels of the visible canvas have paint on them."""
    return page.locator("canvas.paint:visible").evaluate(
        "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
        ".filter((value, at) => at % 4 === 3 && value > 127).length"
    )


def generate(page, num: int, seed: int = 0) -> None:
    page.get_by_label("Seed", exact=True).first.fill(str(seed))
    page.get_by_label("Pictures", exact=True).fill(str(num))
    page.get_by_role("button", name="Generate", exact=True).click()
    page.locator("#notice", has_text=f"{num} pictures in").wait_for()


def test_pictures_are_generated_kept_starred_and_zipped(visit, served):
    page = visit("generate")
    page.get_by_label("Class").select_option(label="each in turn")
    page.get_by_label("Steps", exact=False).first.fill("4")
    page.get_by_label("Show them while they form").check()
    generate(page, 3, seed=7)
    cards = page.get_by_role("list", name="New pictures").locator(".card")
    assert cards.count() == 3
    assert cards.locator("img").evaluate_all("images => images.every(one => one.naturalWidth > 0)")
    cards.nth(1).get_by_role("button", name=re.compile("^Star")).click()
    cards.nth(1).locator("[aria-pressed=true]").wait_for()
    page.reload()  # the history outlives the page
    history = page.get_by_role("list", name="Earlier")
    history.locator("li").first.wait_for()
    page.get_by_label("only starred").check()
    page.wait_for_timeout(300)
    assert history.locator("li").count() == 1
    history.get_by_role("checkbox").check()
    link = page.get_by_role("link", name="Download 1 as a zip")
    with urllib.request.urlopen(served + link.get_attribute("href")) as answer:
        assert answer.read(2) == b"PK"


def test_a_picture_dropped_back_restores_its_settings(visit, served):
    page = visit("generate")
    page.get_by_label("Class").select_option(label="3")
    page.get_by_label("Steps", exact=False).first.fill("5")
    generate(page, 1, seed=41)
    picture = page.get_by_role("list", name="New pictures").locator("img").get_attribute("src")
    page.reload()
    page.get_by_label("Class").wait_for()
    assert page.get_by_label("Seed", exact=True).first.input_value() == "0"
    page.evaluate(
        """async url => {
          const files = new DataTransfer();
          files.items.add(new File([await (await fetch(url)).blob()], 'mine.png', {type: 'image/png'}));
          document.querySelector('.stage').dispatchEvent(new DragEvent('drop', {dataTransfer: files, bubbles: true}));
        }""",
        picture,
    )
    page.locator("#notice", has_text="seed 41").wait_for()
    assert page.get_by_label("Seed", exact=True).first.input_value() == "41"
    assert page.get_by_label("Steps", exact=False).first.input_value() == "5"
    assert page.get_by_label("Class").locator("option:checked").text_content() == "3"
    generate(page, 1, seed=41)
    again = page.get_by_role("list", name="New pictures").locator("img").get_attribute("src")
    assert pixels(served + picture) == pixels(served + again)


def test_the_large_view_tells_the_recipe_and_goes_on_by_keys(visit):
    page = visit("generate")
    generate(page, 2, seed=3)
    page.get_by_role("list", name="New pictures").locator("button.thumb").first.click()
    dialog = page.get_by_role("dialog")
    assert "3" in dialog.locator(".facts").text_content()
    page.keyboard.press("ArrowRight")
    dialog.locator(".facts", has_text="4").wait_for()
    dialog.get_by_role("button", name="Edit it").click()
    page.locator("canvas.paint, .easel img").first.wait_for()
    assert page.url.endswith("#edit")


def test_a_mask_is_painted_undone_and_the_edit_answers(visit):
    page = visit("edit")
    page.get_by_role("combobox", name="Edit", exact=True).select_option("inpaint")
    page.locator(".drop input[type=file]").set_input_files(photo())
    page.locator("canvas.paint:visible").wait_for()
    paint(page)
    first = painted(page)
    assert 0 < first < 256
    page.get_by_role("button", name="Invert").click()
    assert painted(page) > 256 / 3
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    assert painted(page) == 0
    page.get_by_role("button", name="Redo").click()
    assert painted(page) == first
    page.locator("canvas.paint:visible").focus()  # the same by keys
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    assert painted(page) >= first
    page.get_by_role("spinbutton", name="Answers").fill("2")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("#notice", has_text="Done").wait_for(timeout=60_000)
    answers = page.get_by_role("list", name="Answers").locator(".card")
    assert answers.count() == 2
    slider = page.get_by_label("Before and after")
    slider.focus()
    before = page.locator(".compare .after").evaluate("one => one.style.clipPath")
    page.keyboard.press("ArrowRight")
    assert page.locator(".compare .after").evaluate("one => one.style.clipPath") != before


def test_an_edit_asks_for_what_it_needs(visit):
    page = visit("edit")
    page.get_by_role("combobox", name="Edit", exact=True).select_option("inpaint")
    page.get_by_role("button", name="Edit", exact=True).click()
    page.locator("#notice.bad", has_text="Open a picture first").wait_for()


def test_exploring_answers_every_move_and_saves_an_animation(visit, tmp_path):
    page = visit("explore")
    page.get_by_role("combobox", name="Run", exact=True).select_option(label="gan")
    page.locator(".rate", has_text="pictures a second").wait_for()
    first = page.locator("img.big:visible").get_attribute("src")
    page.get_by_label("Along the way").fill("1.5")
    page.locator(".exhibit", has_text="seed 1 to 2, 50%").wait_for()
    assert page.locator("img.big:visible").get_attribute("src") != first
    page.get_by_label("Seeds").fill("0, 1")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as animation").click()
    download.value.save_as(tmp_path / "walk.png")
    with Image.open(tmp_path / "walk.png") as animation:
        assert animation.n_frames == 25 + 23
        animation.seek(30)
        animation.load()


def test_live_answers_while_one_draws(visit):
    page = visit("live")
    page.get_by_role("combobox", name="Edit", exact=True).select_option("redraw")
    page.locator("img.big:visible").wait_for()
    paint(page)
    page.locator(".rate:visible", has_text="pictures a second").wait_for()
    first = page.locator("img.big:visible").get_attribute("src")
    page.get_by_role("button", name="Colour #ffffff").click()
    page.locator("canvas.paint:visible").focus()
    page.keyboard.press("Space")
    page.wait_for_timeout(1500)
    assert page.locator("img.big:visible").get_attribute("src") != first


def test_runs_show_their_curves_and_samples(visit):
    page = visit("runs")
    page.locator("svg.plot").first.wait_for()
    assert page.locator(".facts", has_text="flow").count() == 1
    caption = page.locator("figure figcaption").first
    last = caption.text_content()
    page.get_by_label("Sample grid, over training").press("ArrowLeft")
    assert caption.text_content() != last
    page.locator("svg.plot").first.hover()
    assert page.locator(".pointed .read").text_content()
    page.get_by_text("As a table").first.click()
    assert page.locator("details[open] table tr").count() > 3


def test_compare_draws_the_same_seeds_by_every_run(visit):
    page = visit("compare")
    page.get_by_text("Nothing to rank yet").wait_for()
    page.get_by_role("button", name="Draw").click()
    page.locator(".row").nth(1).locator(".card:not(.waiting)").nth(5).wait_for()
    assert page.locator(".row .card:not(.waiting)").count() >= 12


def test_labels_are_given_by_keys_and_taken_back(visit, served):
    page = visit("data")
    sheet = page.get_by_role("listbox")
    page.locator(".cell img").first.wait_for()
    rows = ask(served, "/api/data/d0/images?limit=6")["images"]
    sheet.focus()
    page.keyboard.press("Home")
    for key in ("3", "Shift+ArrowRight", "5"):  # the first is a 2 now, the next two are 4s
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    page.get_by_text("3 saved, 0 on their way").wait_for()
    now = [image["label"] for image in ask(served, "/api/data/d0/images?limit=6")["images"]]
    assert now == ["2", "4", "4", *(row["label"] for row in rows[3:])]
    page.keyboard.press("z")
    page.keyboard.press("z")
    page.get_by_role("button", name="Undo", disabled=True).wait_for()
    page.wait_for_timeout(500)
    assert [one["label"] for one in ask(served, "/api/data/d0/images?limit=6")["images"]] == [r["label"] for r in rows]


def test_a_picture_is_refused_by_a_key_and_taken_in_again(visit, served):
    page = visit("data")
    page.locator(".cell[data-index='20'] img").wait_for()
    row = ask(served, "/api/data/d0/images?limit=1&offset=20")["images"][0]
    page.get_by_label("Reason to refuse it").fill("a smudge")
    page.locator(".cell[data-index='20']").click()
    page.get_by_role("listbox").press("-")
    page.locator(".cell.out[data-index='20']").wait_for()
    page.get_by_text("1 saved, 0 on their way").wait_for()
    assert ask(served, "/api/data/d0/images?status=rejected")["images"][0]["reason"] == "a smudge"
    page.get_by_role("button", name="Review").click()
    page.get_by_text("a smudge").wait_for()
    page.get_by_role("button", name="Look and label").click()
    page.get_by_role("listbox").press("z")
    page.get_by_text("2 saved, 0 on their way").wait_for()
    assert ask(served, "/api/data/d0/images?limit=1&offset=20")["images"][0] == row


def test_what_two_tabs_change_at_once_is_shown_and_not_lost(visit, served):
    page = visit("data")
    page.locator(".cell img").first.wait_for()
    row = ask(served, "/api/data/d0/images?limit=1&offset=9")["images"][0]
    ask(served, "/api/data/d0/labels", {"changes": [{"row": row["row"], "label": "8", "was": row["label"]}]})
    page.locator(".cell[data-index='9']").click()
    page.keyboard.press("1")  # the label 0, while the other tab has said 8
    page.get_by_text("Here: 0. Elsewhere: 8.").wait_for()
    page.get_by_role("button", name="Take this one").click()
    page.locator(".conflict").wait_for(state="detached")
    page.wait_for_timeout(500)
    assert ask(served, "/api/data/d0/images?limit=1&offset=9")["images"][0]["label"] == "0"


def test_a_sheet_of_very_many_pictures_draws_only_what_is_seen(visit):
    page = visit("data")
    page.get_by_label("Dataset", exact=True).select_option(label="many")
    sheet = page.get_by_role("listbox")
    page.get_by_text(re.compile(r"^(99|100),\d{3} pictures$")).wait_for()
    sheet.focus()
    page.keyboard.press("End")
    page.locator(".cell.current img").wait_for()
    assert int(page.locator(".cell.current").get_attribute("data-index")) > 90_000
    assert page.locator(".cell").count() < 400
    page.keyboard.press("Shift+PageUp")
    assert page.locator(".cell[aria-selected=true]").count() > 10


def test_the_language_can_be_switched_and_is_remembered(visit):
    page = visit("generate")
    page.get_by_role("button", name="中文").click()
    page.get_by_role("button", name="生成", exact=True).wait_for()
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.reload()
    page.get_by_role("button", name="生成", exact=True).wait_for()
    page.get_by_role("button", name="English").click()
    assert page.evaluate("document.documentElement.lang") == "en"
    assert visit("generate", locale="zh-CN").evaluate("document.documentElement.lang") == "zh-CN"


def lead_to(page, letter: str, tab) -> None:
    """Press g and a letter; again where the machine was too busy to deliver both within the second that they have."""
    from playwright.sync_api import TimeoutError as TooLate

    for _ in range(5):
        page.keyboard.press("g")
        page.keyboard.press(letter)
        try:
            return tab.wait_for(timeout=3000)
        except TooLate:
            continue
    tab.wait_for(timeout=100)


def test_keys_lead_everywhere(visit):
    page = visit("generate")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keyboard shortcuts").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    for letter, tab in (("d", "data"), ("x", "explore"), ("g", "generate")):
        lead_to(page, letter, page.locator(f"#tabs a[href='#{tab}'][aria-current]"))
    page.reload()
    page.get_by_role("button", name="Generate", exact=True).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"


@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "zh-CN")])
def test_every_tab_is_legible_named_and_no_wider_than_a_phone(visit, scheme, locale):
    page = visit("generate", 360, scheme, locale)
    page.locator("button[type=submit]:visible").click()
    page.locator(".card:not(.waiting)").nth(7).wait_for()
    for tab in TABS:
        page.locator(f"#tabs a[href='#{tab}']").click()
        page.wait_for_timeout(250)
        for width in (360, 320):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, tab
        assert page.evaluate(NAMES) == [], tab
        low = [(round(ratio, 2), where) for ratio, where in page.evaluate(CONTRASTS) if ratio < 4.5]
        assert [one for one in low if 'id="notice"' not in one[1]] == [], tab
