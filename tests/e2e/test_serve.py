"""The server over real runs: what it draws is what the command line draws; nothing is lost or crossed."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import io
import json
import os
import signal
import sqlite3
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from openai import BadRequestError, NotFoundError, OpenAI
from PIL import Image

from figment.core.images import encode_png
from figment.serve.guard import Gate
from figment.serve.jobbing import Asked, drawing
from figment.serve.jobs import Job
from tests.commands import done
from tests.serving import Served, serving, until

KILLS = int(os.environ.get("FIGMENT_SERVE_KILLS", "1"))


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)), np.int16)


def photo(channels: int = 1, size: int = 8) -> bytes:
    return encode_png(np.random.default_rng(0).integers(0, 256, (size, size, channels), np.uint8))


def fetched(served: Served, told: dict) -> np.ndarray:
    answer = served.http.get(told["url"])
    assert answer.status_code == 200 and answer.headers["content-type"] == "image/png"
    return pixels(answer.content)


@pytest.fixture(scope="module")
def offline(served, tmp_path_factory) -> dict[int, np.ndarray]:
    """The pictures of the flow's seeds 0 to 99 of class 3, as the command line draws them."""
    out = tmp_path_factory.mktemp("offline")
    run = next(run for run in served.studio.runs.values() if run.name == "flow")
    done("sample", run.path, "--out", out, "--num", 100, "--label", "3", "--seed", 0)
    return {int(file.stem): pixels(file.read_bytes()) for file in out.glob("3/*.png")}


# What is drawn


def test_runs_tell_what_they_can_do(served):
    flow, gan = served.get("/api/runs")["runs"]
    assert (flow["name"], gan["name"]) == ("flow", "gan") and flow["is_ready"]
    assert flow["classes"] == [str(digit) for digit in range(10)] and flow["has_preview"] and not gan["has_preview"]
    steps = next(one for one in flow["settings"] if one["name"] == "steps")
    assert (steps["type"], steps["default"], steps["low"], steps["high"]) == ("integer", 18, 1, 1000) and steps["help"]
    assert not {"guide", "judge"} & {one["name"] for one in flow["settings"]}
    names = {edit["name"] for edit in flow["edits"]}
    assert {"inpaint", "redraw"} <= names and "colorize" not in names, "colours are offered to a run of grey pictures"
    assert served.get("/api/runs/flow/log")["events"][0]["kind"] == "train"
    first = served.get("/api/runs/r0/samples")["samples"][0]
    assert first["n"] == 0 and served.http.get("/api/runs/r0/samples/0").content[:4] == b"\x89PNG"
    assert served.get("/api/runs/r0/scores") == {"scores": {}}


def test_a_seed_gives_the_picture_of_the_command_line(served, offline):
    told = served.drawn(run="r0", label="3", seeds=[0, 41, 7])
    assert [one["seed"] for one in told] == [0, 41, 7] and {one["label"] for one in told} == {"3"}
    for one in told:
        assert np.abs(fetched(served, one) - offline[one["seed"]]).max() <= 1


def test_many_clients_share_batches_and_get_their_own(served, offline):
    """Each of 100 clients asks for one seed; at most a few batches are drawn, and every answer is the right one."""
    before = served.studio.counters.value("batches")
    with ThreadPoolExecutor(32) as threads:
        answers = list(threads.map(lambda seed: served.drawn(run="r0", label="3", seeds=[seed])[0], range(100)))
    assert [answer["seed"] for answer in answers] == list(range(100))
    for answer in answers:
        assert np.abs(fetched(served, answer) - offline[answer["seed"]]).max() <= 1
    assert served.studio.counters.value("batches") - before < 90


def test_a_picture_carries_the_recipe_that_draws_it_again(served, tmp_path):
    (told,) = served.drawn(run="r0", label="5", seeds=[12], settings={"steps": 3, "guidance": 2.0})
    content = served.http.get(told["url"]).content
    (tmp_path / "five.png").write_bytes(content)
    run = served.studio.runs["r0"].path
    done("sample", run, "--again", tmp_path / "five.png", "--out", tmp_path / "again.png")
    assert np.abs(pixels((tmp_path / "again.png").read_bytes()) - pixels(content)).max() <= 1
    back = served.http.post("/api/recipe", content=content, headers={"Content-Type": "image/png"}).json()
    assert back["run"] == "r0" and back["recipe"]["settings"]["steps"] == 3
    assert np.abs(fetched(served, served.drawn(**back["request"])[0]) - pixels(content)).max() <= 1


def test_the_way_to_a_picture_can_be_watched(served, monkeypatch):
    job = served.post("/api/generate", {"run": "r0", "num": 2, "settings": {"steps": 300}, "preview": True}, 202)["job"]
    events = served.events(job)
    names = [name for name, _ in events]
    assert names[0] == "queued" and names[-1] == "done" and names.count("image") == 2
    progress = [data for name, data in events if name == "progress"]
    assert progress[-1]["done"] == progress[-1]["total"] == 2
    preview = next(data for name, data in events if name == "preview")
    assert pixels(base64.b64decode(preview["png_b64"])).shape == (8, 8)
    later = served.events(job, **{"Last-Event-ID": "2"})
    assert [name for name, _ in later] == ["image", "done"]


def test_a_slider_goes_from_seed_to_seed(served):
    def walk(**place) -> bytes:
        answer = served.http.post("/api/walk", json={"run": "r1", "label": "1", **place})
        assert answer.status_code == 200 and answer.headers["content-type"] == "image/png", answer.text
        return answer.content

    ends = [fetched(served, one) for one in served.drawn(run="r1", label="1", seeds=[3, 4])]
    way = [pixels(walk(seed_a=3, seed_b=4, t=t)) for t in (0, 0.5, 1)]
    assert np.abs(way[0] - ends[0]).max() <= 1 and np.abs(way[2] - ends[1]).max() <= 1
    assert np.abs(way[1] - way[0]).max() > 1
    refused = served.http.post("/api/walk", json={"run": "r1", "seed": 3, "plane": [0, 0]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "cannot")


def test_an_edit_keeps_what_is_known(served):
    given, mask = photo(), np.zeros((8, 8, 1), np.uint8)
    mask[2:5, 2:5] = 255
    request = json.dumps({"run": "r0", "edit": "inpaint", "seeds": [1, 2], "settings": {"steps": 4}})
    files = {"image": ("a.png", given), "mask": ("m.png", encode_png(mask)), "request": (None, request)}
    answer = served.http.post("/api/edit", files=files)
    assert answer.status_code == 202, answer.text
    events = served.events(answer.json()["job"])
    told = [data for name, data in events if name == "image" and data["kind"] == "picture"]
    assert events[-1][0] == "done" and [one["seed"] for one in told] == [1, 2], events[-1]
    outside = mask[..., 0] == 0
    for one in told:
        assert np.abs(fetched(served, one) - pixels(given))[outside].max() <= 1
    assert "edit" in served.get("/api/history", limit=1)["images"][0]["recipe"]


def test_a_sheet_that_is_drawn_on_is_answered_at_once(served):
    request = json.dumps({"run": "r0", "edit": "redraw", "seeds": [5], "label": "3", "settings": {"steps": 4}})
    files = {"image": ("a.png", photo()), "request": (None, request)}
    before = served.get("/api/history")["total"]
    direct = served.http.post("/api/redraw", files=files)
    assert direct.status_code == 200 and direct.headers["content-type"] == "image/png", direct.text
    assert served.get("/api/history")["total"] == before
    events = served.events(served.http.post("/api/edit", files=files).json()["job"])
    told = next(data for name, data in events if name == "image")
    assert np.abs(pixels(direct.content) - fetched(served, told)).max() <= 1


# OpenAI's shape


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the client's own: it calls variations old
def test_openais_client_works_unchanged(served, offline):
    client = OpenAI(base_url=f"{served.url}/v1", api_key="none", http_client=httpx.Client(trust_env=False))
    assert [model.id for model in client.models.list()] == ["flow", "gan"]
    assert client.models.retrieve("gan").owned_by == "figment"
    answer = client.images.generate(model="flow", prompt="3", n=2, user="me", extra_body={"seed": 7})
    for place, seed in enumerate((7, 8)):
        assert np.abs(pixels(base64.b64decode(answer.data[place].b64_json)) - offline[seed]).max() <= 1
    large = client.images.generate(model="gan", prompt="auto", size="256x256", output_format="jpeg")
    assert pixels(base64.b64decode(large.data[0].b64_json)).shape == (256, 256)
    holes = np.full((8, 8, 4), 255, np.uint8)
    holes[:4, :, 3] = 0
    edited = client.images.edit(model="flow", image=photo(), mask=encode_png(holes), prompt="3")
    known = pixels(base64.b64decode(edited.data[0].b64_json))[4:]
    assert np.abs(known - pixels(photo())[4:]).max() <= 1
    varied = client.images.create_variation(model="flow", image=photo(), n=2)
    assert len(varied.data) == 2
    with pytest.raises(NotFoundError):
        client.images.generate(model="nobody", prompt="")
    with pytest.raises(BadRequestError, match="can be asked for 0, 1"):
        client.images.generate(model="flow", prompt="a cat on a mat")
    client.close()


# What is kept


def test_history_survives_a_restart(served, tmp_path):
    run = served.studio.runs["r1"].path
    with serving([run], [], tmp_path) as first:
        first.wait_ready()
        told = first.drawn(run="r0", label="2", seeds=[5, 6])
        first.post(f"/api/history/{told[0]['id']}/star", {"starred": True})
    with serving([run], [], tmp_path) as second:
        found = second.get("/api/history")
        assert found["total"] == 2 and [one["seed"] for one in found["images"]] == [6, 5]
        assert [one["seed"] for one in second.get("/api/history", starred=True)["images"]] == [5]
        archive = second.http.get("/api/history.zip", params={"ids": f"{told[0]['id']},{told[1]['id']}"})
        assert len(zipfile.ZipFile(io.BytesIO(archive.content)).namelist()) == 2
        assert second.http.delete(f"/api/history/{told[1]['id']}").status_code == 200
        assert second.http.get(told[1]["url"]).status_code == 404
        assert fetched(second, told[0]).shape == (8, 8)


# What goes wrong


def test_a_dead_worker_costs_only_its_batch(served, offline):
    took = []
    for _ in range(KILLS):
        slow = {"run": "r0", "num": 4, "settings": {"steps": 1000, "sampler": "heun"}}
        lost = served.post("/api/generate", slow, 202)["job"]
        until(lambda: served.studio.dispatcher._batch is not None)
        waiting = served.post("/api/generate", {"run": "r0", "label": "3", "seeds": [11]}, 202)["job"]
        os.kill(served.studio.dispatcher.workshop.pid, signal.SIGKILL)
        died = time.monotonic()
        assert served.http.get("/health").status_code == 200
        name, data = served.events(lost)[-1]
        assert (name, data["error"]["code"]) == ("error", "worker_died")
        events = served.events(waiting)
        took.append(time.monotonic() - died)
        assert took[-1] < 10
        told = next(data for name, data in events if name == "image")
        assert events[-1][0] == "done" and np.abs(fetched(served, told) - offline[11]).max() <= 1
    print(f"{KILLS} kills; the next picture after {np.median(took):.1f} s, at the latest after {max(took):.1f} s")


def test_what_is_called_off_costs_nothing_more(served):
    slow = {"run": "r0", "num": 64, "settings": {"steps": 1000, "sampler": "heun"}}
    job = served.post("/api/generate", slow, 202)["job"]
    until(lambda: served.studio.dispatcher._batch is not None)
    called_off = time.monotonic()
    assert served.http.delete(f"/api/jobs/{job}").json() == {"job": job, "was_cancelled": True}
    assert served.drawn(run="r1", seeds=[1])
    assert time.monotonic() - called_off < 5
    assert served.events(job)[-1][1]["error"]["code"] == "cancelled"


def test_a_client_that_leaves_costs_nothing_more(served):
    body = {"model": "flow", "prompt": "", "n": 10}
    jobs = served.studio.dispatcher.jobs
    blocker = served.post("/api/generate", {"run": "r0", "num": 64, "settings": {"steps": 1000}}, 202)["job"]
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{served.url}/v1/images/generations", json=body, timeout=0.5, trust_env=False)
    until(lambda: all(job.work.settings["steps"] == 1000 for job in jobs.live))
    served.http.delete(f"/api/jobs/{blocker}")


def test_a_job_that_nobody_listens_to_is_called_off(served, monkeypatch):
    monkeypatch.setattr("figment.serve.jobs.GRACE_SECONDS", 0.2)
    job = served.post("/api/generate", {"run": "r0", "num": 64, "settings": {"steps": 1000}}, 202)["job"]
    with served.http.stream("GET", f"/api/jobs/{job}/events") as stream:
        next(stream.iter_lines())
    found = served.studio.dispatcher.jobs.find(job)
    until(lambda: found.is_over, 20)
    assert found.error.code == "cancelled"


def test_a_full_queue_says_when_to_come_again(served, monkeypatch):
    monkeypatch.setattr("figment.serve.queue.MOST_SECONDS", 0.001)
    asked = {"run": "r0", "num": 64, "settings": {"steps": 400}}
    jobs, retries, slowest = [], [], 0.0
    for _ in range(8):
        begun = time.monotonic()
        answer = served.http.post("/api/generate", json=asked)
        if answer.status_code == 202:
            jobs.append(answer.json()["job"])
            continue
        slowest = max(slowest, time.monotonic() - begun)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
        retries.append(int(answer.headers["Retry-After"]))
    assert len(jobs) >= 1 and len(retries) >= 4 and min(retries) >= 1 and slowest < 1
    assert retries == sorted(retries)
    for job in jobs:
        served.http.delete(f"/api/jobs/{job}")


def test_a_full_server_does_not_read_what_it_refuses(served, monkeypatch):
    monkeypatch.setattr("figment.serve.queue.MOST_SECONDS", 0.0)
    for path in ("/v1/images/generations", "/api/generate", "/api/redraw"):
        answer = served.http.post(path, content=b"{no json", headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "busy")
        assert int(answer.headers["Retry-After"]) >= 1 and answer.headers.get("connection") != "close"
    assert served.http.post("/api/recipe", content=b"x", headers={"Content-Type": "image/png"}).status_code == 400


def test_late_work_is_refused(served):
    work = drawing(served.studio.runs["r0"], Asked(run="r0", settings={"steps": 1000}), range(64))
    job = Job(work, seconds=0.1)
    served.studio.dispatcher.jobs.add(job)
    until(lambda: job.is_over, 10)
    assert job.error.code == "deadline" and job.error.status_code == 504


def test_sigterm_finishes_what_was_accepted(served, processes, tmp_path):
    run = served.studio.runs["r0"].path
    process = processes.figment("serve", run, "--port", 0, "--state", tmp_path, "--json")
    told: list[str] = []

    def listen(http: httpx.Client, job: str) -> None:
        with http.stream("GET", f"/api/jobs/{job}/events") as stream:
            told.extend(stream.iter_lines())

    try:
        until(lambda: "http://" in str(process))
        with httpx.Client(base_url=str(process).split()[0], timeout=60, trust_env=False) as http:
            until(lambda: http.get("/ready").status_code == 200)
            asked = {"run": "r0", "seeds": list(range(20)), "settings": {"steps": 200}}
            job = http.post("/api/generate", json=asked).json()["job"]
            listener = threading.Thread(target=listen, args=(http, job))
            listener.start()
            until(lambda: "event: queued" in told)
            os.kill(process.pid, signal.SIGTERM)
            listener.join()
        assert told.count("event: image") == 20 and "event: done" in told
    except BaseException:
        process.send(signal.SIGKILL)  # or the server of processes would wait for it
        raise
    assert process.wait() == 0 and json.loads(str(process).splitlines()[-1])["pictures"] == 20, str(process)


# Data


def test_data_is_looked_at_page_by_page(served):
    (told,) = served.get("/api/data")["datasets"]
    assert told["is_writable"] and sum(label["count"] for label in told["labels"]) == sum(told["counts"].values())
    page = served.get("/api/data/d0/images", label="4", split="train", offset=3, limit=2)
    assert page["total"] > 100 and [image["label"] for image in page["images"]] == ["4", "4"]
    assert pixels(served.http.get(page["images"][0]["url"]).content).shape == (8, 8)
    assert served.http.get("/api/data/d0/images/99999999.png").status_code == 404
    assert served.get("/api/data/d0/duplicates") == {"total": 0, "groups": []}


def test_two_tabs_lose_nothing(served):
    first, second = served.get("/api/data/d0/images", offset=10, limit=2)["images"]
    changes = [{"row": first["row"], "label": "9", "was": first["label"]}]
    assert served.post("/api/data/d0/labels", {"changes": changes})["changed"] == [first["row"]]
    late = [{"row": first["row"], "label": "1", "was": first["label"]}]
    late += [{"row": second["row"], "label": None, "was": second["label"]}]
    answer = served.post("/api/data/d0/labels", {"changes": late})
    assert answer == {"changed": [second["row"]], "conflicts": [{"row": first["row"], "label": "9"}]}
    doubtful = served.get("/api/data/d0/images", order="useful", limit=1)["images"][0]
    assert doubtful["row"] == second["row"] and doubtful["label"] is None
    said = [{"row": first["row"], "captions": ["a nine", "九"], "was": []}]
    assert served.post("/api/data/d0/captions", {"changes": said})["changed"] == [first["row"]]
    assert served.post("/api/data/d0/captions", {"changes": said})["conflicts"][0]["captions"] == ["a nine", "九"]


def test_changes_are_made_together_or_not_at_all(served):
    (one,) = served.get("/api/data/d0/images", offset=30, limit=1)["images"]
    changes = [{"row": one["row"], "label": "0", "was": one["label"]}, {"row": 10**9, "label": "0", "was": None}]
    served.post("/api/data/d0/labels", {"changes": changes}, 404)
    assert served.get("/api/data/d0/images", offset=30, limit=1)["images"] == [one]


def test_the_card_follows_the_labels(served, monkeypatch):
    monkeypatch.setattr("figment.serve.labelling.CARD_SECONDS", 0.05)
    data = served.studio.data["d0"]
    (one,) = served.get("/api/data/d0/images", offset=40, limit=1)["images"]
    before = json.loads((data.path / "card.json").read_text())["label_digest"]
    served.post("/api/data/d0/labels", {"changes": [{"row": one["row"], "label": "new", "was": one["label"]}]})
    until(lambda: json.loads((data.path / "card.json").read_text())["label_digest"] != before, 20)
    until(lambda: "new" in data.store.spec.classes, 20)  # a moment after the file


def test_a_refused_picture_is_taken_in_after_all(served):
    data = served.studio.data["d0"]
    with sqlite3.connect(data.path / "index.sqlite") as base:
        base.execute("update images set status='rejected', step='blank', reason='empty', split=null where id = 77")
    (refused,) = served.get("/api/data/d0/images", status="rejected")["images"]
    assert (refused["row"], refused["step"]) == (77, "blank") and served.http.get(refused["url"]).status_code == 200
    assert served.post("/api/data/d0/restore", {"rows": [77]}) == {"restored": [77]}
    assert served.get("/api/data/d0/images", status="rejected")["total"] == 0
    again = served.http.post("/api/data/d0/restore", json={"rows": [77]})
    assert again.status_code == 400 and "was not refused" in again.json()["error"]["message"]


def test_what_is_refused_by_hand_comes_back_with_all_that_was_said_of_it(served):
    data = served.studio.data["d0"]
    one, other = served.get("/api/data/d0/images", offset=50, limit=2)["images"]
    count = sum(data.store.counts.values())
    changes = [{"row": row["row"], "reason": "a smudge", "was": None} for row in (one, other)]
    assert served.post("/api/data/d0/reasons", {"changes": changes}) == {
        "changed": [one["row"], other["row"]],
        "conflicts": [],
    }
    assert sum(data.store.counts.values()) == count - 2, "the card is late, so pictures and labels would not fit"
    refused = served.get("/api/data/d0/images", status="rejected", step="hand")["images"]
    assert [(row["row"], row["reason"], row["label"]) for row in refused] == [
        (row["row"], "a smudge", row["label"]) for row in (one, other)
    ]
    late = [{"row": one["row"], "reason": "another tab's", "was": None}]  # decided before the first was heard of
    conflict = {"row": one["row"], "reason": "a smudge"}
    assert served.post("/api/data/d0/reasons", {"changes": late}) == {"changed": [], "conflicts": [conflict]}
    back = [{"row": row["row"], "reason": None, "was": "a smudge"} for row in (one, other)]
    assert served.post("/api/data/d0/reasons", {"changes": back})["changed"] == [one["row"], other["row"]]
    assert served.get("/api/data/d0/images", offset=50, limit=2)["images"] == [one, other]
    assert sum(data.store.counts.values()) == count


def test_the_least_sure_come_first(served):
    data, rows = served.studio.data["d0"], served.get("/api/data/d0/images", offset=60, limit=3)["images"]
    changes = [{"row": row["row"], "label": None, "was": row["label"]} for row in rows]
    served.post("/api/data/d0/labels", {"changes": changes})
    data.store.note_margins({rows[0]["key"]: 0.9, rows[2]["key"]: 0.1})  # of the one between nobody knows
    first = served.get("/api/data/d0/images", order="useful", limit=500)["images"]
    places = [next(at for at, image in enumerate(first) if image["row"] == row["row"]) for row in rows]
    assert places[2] == 0 and places[1] < places[0] and all(image["label"] for image in first[places[0] + 1 :])


# Who may come in


def test_a_token_is_demanded_of_everybody(served, tmp_path):
    token = "0123456789abcdef"
    with serving([], [served.studio.data["d0"].path], tmp_path, Gate("0.0.0.0", token)) as guarded:
        plain = httpx.Client(base_url=guarded.url, trust_env=False)
        assert plain.get("/health").status_code == 200
        for path in ("/", "/api/data", "/metrics", "/v1/models", "/studio/app.js"):
            assert plain.get(path).status_code == 401 and guarded.http.get(path).status_code == 200
        assert plain.get("/", params={"token": "0123456789abcdeF"}).status_code == 401
        greeting = plain.get("/", params={"token": token})
        assert greeting.status_code == 303 and token not in greeting.headers["set-cookie"]
        assert plain.get("/api/data").status_code == 200  # by the cookie
        plain.close()


def test_prometheus_can_read_the_metrics(served):
    text = served.http.get("/metrics").text
    assert "figment_pictures_total" in text and 'figment_requests_total{status="200"}' in text
    document = served.get("/openapi.json")
    assert {"/v1/images/generations", "/api/generate", "/api/data/{data}/labels"} <= document["paths"].keys()


def test_the_page_is_served_with_a_strict_policy(served):
    page = served.http.get("/")
    policy = page.headers["content-security-policy"]
    assert "default-src 'self'" in policy and "unsafe" not in policy and b"<script" in page.content
    assert served.http.get("/studio/app.js").headers["content-type"].startswith("text/javascript")


def test_thousands_of_requests_are_answered_right(served, offline):
    """100 clients for 3 seconds, at more than the queue takes: each answer is its own, refusals say when to come."""
    spec = importlib.util.spec_from_file_location("benchmark", Path(__file__).parents[2] / "benchmarks/serve.py")
    assert spec and spec.loader
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    report = asyncio.run(benchmark.storm(served.url, clients=100, seconds=3.0, truth=offline))
    assert report["answers"] > 50 and report["wrong"] == 0 and report["lost"] == 0
