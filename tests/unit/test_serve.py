"""The parts of the server, each alone: what travels, what waits, what may be set, what is told."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections import Counter
from pathlib import Path
from typing import Literal

import pytest

from figment.core.config import to_json
from figment.core.errors import ConfigError
from figment.core.types import ImageSpec
from figment.evaluate.scored import keep_scores, kept_scores
from figment.samplers import Sampling
from figment.serve import wire
from figment.serve.counters import Counters
from figment.serve.guard import Gate
from figment.serve.jobs import Job, Piece, Work
from figment.serve.queue import MOST_SECONDS, Pace, Queue
from figment.serve.refusal import Refusal
from figment.serve.runs import ServedRun
from figment.serve.server import gate_of, listening
from figment.serve.settings import shown, taken
from tests.commands import figment

SPEC = ImageSpec(1, 8, 8, classes=("cat", "dog"), caption_bytes=16)


def run(id: str = "r0") -> ServedRun:
    return ServedRun(
        id, Path(id), id, "flow", "digest", SPEC, SPEC, Sampling(), ("Generates", "Denoises"), ("inpaint",)
    )


def job(num: int = 1, of: str = "r0", **more) -> Job:
    rows = [{"seed": seed, "label": -1, "caption": ""} for seed in range(num)]
    return Job(Work("draw", run(of), rows, **more), seconds=60)


def taken_all(queue: Queue) -> list[list[tuple[Job, int]]]:
    async def take() -> list[list[tuple[Job, int]]]:
        batches = []
        while queue.num_rows:
            batches.append(list((await queue.take()).places))
        return batches

    return asyncio.run(take())


def test_messages_arrive_whole():
    header, blobs = {"kind": "pictures", "at": [1, 2]}, [b"", b"\x00" * 99_999, "猫".encode()]
    packed = wire.packed(header, blobs)
    assert wire.read(io.BytesIO(packed).read) == (header, blobs)

    async def in_pieces() -> wire.Message:
        reader = asyncio.StreamReader()
        for low in range(0, len(packed), 777):
            reader.feed_data(packed[low : low + 777])
        return await wire.received(reader)

    assert asyncio.run(in_pieces()) == (header, blobs)


# The queue


def test_rows_of_many_jobs_share_a_batch_in_turn():
    queue, large, small = Queue(Pace()), job(100), [job(1) for _ in range(10)]
    for one in (large, *small):
        queue.put(one)
    first, second = taken_all(queue)
    assert len(first) == 64 and len(second) == 46
    assert set(small) <= {one for one, _ in first}, "a small job waits behind a large one"
    places = [place for one, place in first + second if one is large]
    assert places == list(range(100))


def test_only_what_is_drawn_alike_shares_a_batch():
    queue = Queue(Pace())
    for one in (job(2), job(2, settings={"steps": 3}), job(2, "r1"), job(2, preview=True)):
        queue.put(one)
    assert [len(batch) for batch in taken_all(queue)] == [2, 2, 2, 2]


def test_lanes_take_turns_and_sliders_go_first():
    queue, one, other, urgent = Queue(Pace()), job(130), job(64, "r1"), job(1, "r2", is_urgent=True)
    for each in (one, other, urgent):
        queue.put(each)
    assert [batch[0][0] for batch in taken_all(queue)] == [urgent, one, other, one, one]


def test_what_is_called_off_is_in_no_batch():
    queue, one, other = Queue(Pace()), job(3), job(2)
    queue.put(one)
    queue.put(other)
    assert one.cancel() and not one.cancel()
    assert taken_all(queue) == [[(other, 0), (other, 1)]]


def test_a_full_queue_spreads_those_who_come_again():
    pace = Pace()
    queue, heavy = Queue(pace), job(64, steps=1)
    batch = asyncio.run(_put_and_take(Queue(pace), job(64, steps=1)))
    pace.learn(batch, 0.4 * MOST_SECONDS)
    assert queue.put(heavy) == 0 and queue.put(job(64)) == pytest.approx(0.4 * MOST_SECONDS)
    retries = []
    for _ in range(5):
        with pytest.raises(Refusal, match="too much work") as refused:
            queue.put(job(64))
        retries.append(int(refused.value.headers["Retry-After"]))
    assert refused.value.status_code == 429 and refused.value.code == "busy"
    assert retries == sorted(retries) and retries[-1] - retries[0] >= 3 * 0.4 * MOST_SECONDS - 1


async def _put_and_take(queue: Queue, one: Job):
    queue.put(one)
    return await queue.take()


def test_a_single_large_job_is_taken_by_an_empty_queue():
    pace = Pace()
    pace.learn(asyncio.run(_put_and_take(Queue(pace), job(64))), 10 * MOST_SECONDS)
    assert Queue(pace).put(job(64)) == 0


def test_a_queue_is_full_until_something_is_taken_or_called_off():
    pace, waiting = Pace(), [job(64) for _ in range(4)]
    pace.learn(asyncio.run(_put_and_take(Queue(pace), job(64))), 0.25 * MOST_SECONDS)
    queue = Queue(pace)
    for one in waiting:
        assert not queue.is_full
        queue.put(one)
    assert queue.is_full and queue.seconds == pytest.approx(MOST_SECONDS)
    first, second = (int(queue.refusal().headers["Retry-After"]) for _ in range(2))
    assert second - first == pytest.approx(0.25 * MOST_SECONDS), "the next one returns when one more job is drawn"
    waiting[0].cancel()
    assert queue.seconds == pytest.approx(0.75 * MOST_SECONDS)
    asyncio.run(queue.take())
    assert queue.seconds == pytest.approx(0.5 * MOST_SECONDS)


# Jobs


def test_a_listener_who_comes_late_misses_nothing():
    async def listen() -> tuple[list[str], list[str]]:
        one = job(2)
        one.tell("queued", {})
        await one.deliver([Piece(b"a", 0, 0)])
        one.tell("preview", {}, lasting=False)
        early = asyncio.ensure_future(_names(one, 0))
        await asyncio.sleep(0)
        one.tell("preview", {}, lasting=False)
        one.tell("image", {})
        one.finish()
        return await early, await _names(one, 1)

    assert asyncio.run(listen()) == (["queued", "preview", "image", "done"], ["image", "done"])


async def _names(one: Job, after: int) -> list[str]:
    return [name async for _, name, _ in one.events(after)]


def test_whoever_waits_for_a_job_and_leaves_calls_it_off():
    async def leave() -> Job:
        one = job(2)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(one.result(), 0.01)
        return one

    one = asyncio.run(leave())
    assert one.is_over and one.error is not None and one.error.code == "cancelled"


# What may be asked


@dataclasses.dataclass(frozen=True)
class Config:
    """Of every type that a setting may have."""

    strength: float = 0.5
    """How much
    of it."""
    kind: Literal["soft", "hard"] = "soft"
    """Which one."""
    names: tuple[str, ...] = ()
    size: int | None = None
    folder: Path | None = None
    judge: str = ""


def test_settings_are_shown_without_those_that_name_files():
    strength, kind, names, size = shown(Config)
    assert strength["help"] == "How much of it." and (strength["type"], strength["default"]) == ("number", 0.5)
    assert (kind["type"], kind["choices"]) == ("string", ["soft", "hard"])
    assert names["type"] == "array" and size["is_optional"] and not strength["is_optional"]


def test_settings_are_taken_over_those_of_the_run():
    assert taken(Config, {"size": 3}, Config(strength=0.1)) == Config(strength=0.1, size=3)
    assert taken(Config, {"strength": 1, "names": ["a", "b"]}).names == ("a", "b")
    assert taken(None, {}) is None
    with pytest.raises(ConfigError, match="steps 0"):
        taken(Sampling, {"steps": 0})


WRONG = [{"strength": "1"}, {"strength": True}, {"strength": float("nan")}, {"kind": "mild"}, {"names": "a"}]
WRONG += [{"size": 1.0}, {"names": [1]}, {"names": ["../a"]}, {"folder": "x"}, {"judge": "x"}, {"strengt": 1}]


@pytest.mark.parametrize("given", WRONG, ids=str)
def test_settings_of_another_type_are_refused(given):
    with pytest.raises(Refusal) as refused:
        taken(Config, given)
    assert refused.value.code == "invalid_request"


def test_a_run_is_asked_for_what_it_knows():
    assert run().places("all", 5) == [0, 1, 0, 1, 0] and run().places(None, 2) == [-1, -1]
    assert run().places("dog", 2) == [1, 1] and run().checked_caption(" ") == ""
    for label, caption, told in (("cow", None, "no such class"), (None, "x" * 17, "17 bytes of UTF-8")):
        with pytest.raises(Refusal, match=told):
            run().places(label, 1)
            run().checked_caption(caption)


def test_scores_are_of_one_set_of_weights(tmp_path):
    keep_scores(tmp_path, "a", None, {"fd": {"value": 1}, "kid": {"value": 2}})
    keep_scores(tmp_path, "a", None, {"fd": {"value": 3}})
    assert kept_scores(tmp_path, "a", None) == {"fd": {"value": 3}, "kid": {"value": 2}}
    assert kept_scores(tmp_path, "b", None) == {} == kept_scores(tmp_path / "none", "a", None)
    keep_scores(tmp_path, "b", None, {"fd": {"value": 4}})
    assert kept_scores(tmp_path, "b", None) == {"fd": {"value": 4}} and kept_scores(tmp_path, "a", None) == {}
    for damaged in ('{"runs": []}', "[]", "3"):
        (tmp_path / "scores.json").write_text(damaged)
        assert kept_scores(tmp_path, "b", None) == {}


def test_scores_are_of_the_settings_that_were_drawn_with(tmp_path):
    """Those of a run before it was tuned are not shown beside, or for, those after."""
    served = dataclasses.replace(run(), path=tmp_path)
    keep_scores(tmp_path, "digest", to_json(Sampling()), {"fd": {"value": 9}, "kid": {"value": 8}})
    assert served.scores() == {"fd": {"value": 9}, "kid": {"value": 8}}
    tuned = dataclasses.replace(served, sampling=Sampling(steps=3))
    assert tuned.scores() == {}
    keep_scores(tmp_path, "digest", to_json(Sampling(steps=3)), {"fd": {"value": 1}})
    assert tuned.scores() == {"fd": {"value": 1}} and served.scores() == {}


# Who may come in


def test_a_public_address_demands_a_token():
    assert not gate_of("127.0.0.1", "").is_public and not gate_of("::1", "").is_public
    assert gate_of("0.0.0.0", "0123456789abcdef").is_public
    for host, token in (("0.0.0.0", ""), ("192.168.1.2", ""), ("0.0.0.0", "short"), ("127.0.0.1", "with spaces in it")):
        with pytest.raises(ConfigError, match="--token"):
            gate_of(host, token)
    with pytest.raises(ConfigError, match="give an address"):
        gate_of("example.com", "0123456789abcdef")
    assert Gate(token="a").cookie != Gate(token="b").cookie


def test_an_address_that_is_taken_is_told():
    with listening("127.0.0.1", 0) as line, pytest.raises(ConfigError, match="give another one"):
        listening("127.0.0.1", line.getsockname()[1])


def test_the_command_tells_what_is_missing(tmp_path):
    assert figment("serve").complaint.startswith("name a run, or a dataset")
    assert "no such run" in figment("serve", tmp_path / "none", "--state", tmp_path / "state").complaint
    assert "no such dataset" in figment("serve", "--data", tmp_path / "none", "--state", tmp_path / "state").complaint
    assert "--port 99999" in figment("serve", "x", "--port", 99999).complaint


def test_counters_are_told_in_prometheus_form():
    counters = Counters()
    counters.add("pictures", 3)
    counters.answered(200)
    text = counters.text({"queue_rows": 2})
    assert "figment_pictures_total 3\n" in text and "figment_queue_rows 2\n" in text
    names = Counter(line.split()[2] for line in text.splitlines() if line.startswith("# TYPE"))
    assert set(names.values()) == {1}
