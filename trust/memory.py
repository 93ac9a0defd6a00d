"""Memory and disks that are too short: one line says so, and the same command again ends as if nothing had happened.

The whole run of a verb comes first, for its result and for the memory that it takes. Then the verb is given a random
share of that memory, or a file system of a random size; and then, with all the room it wants, the same command again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import resource
import shutil
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figment.core.errors import FigmentError
from figment.data.store import Store
from tests import processes as own
from tests.commands import FIXED, contents, done, figment, trained
from tests.pictures import encode as encoded
from tests.pictures import pixels, write_folder
from tests.serving import Served, serving
from trust._child import call, free_memory, limit_memory
from trust._tally import Tally

PROMISE = (
    "A command that runs out of memory or disk says so in one line, and given again ends as if nothing had happened."
)
METHOD = (
    "Building, training, drawing, scoring and serving with a random share of the memory, or on a random share of the "
    "disk. A server must go on, and answer rightly once there is room."
)
SHORT, LONG = 5, 1000

VERBS = ("build", "train", "sample", "eval", "serve")
LIMITS = ("memory", "disk")
LINES = (
    "memory is used up",
    "memory is too short",
    "disk is full",
    "no space left on the disk",
    "file would be larger",
    "not enough memory",
    "is there room on the disk",
    "the process of the models died; ask again",
)
ASKED = {"run": "r0", "num": 64, "seed": 3}
BATCH, STEPS = 256, 2
RESERVE = 1 << 16  # bytes of the file system that a run takes for granted: its folders and logs


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    """So many commands with too little of something."""
    end = call(attack, folder, trials, seed, seconds=120 + 30 * trials)
    if end.fault:
        return Tally(trials, (f"the campaign {end.fault}",))
    failures, refused, stepped = end.value
    note = f"{refused} were refused, {stepped} trainings went on in more slices, the others had enough"
    return Tally(trials, tuple(failures), note)


def attack(folder: Path, trials: int, seed: int) -> tuple[list[str], int, int]:
    """(faults, commands that were refused, trainings that stepped down); runs in a process of its own."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    _prepare(folder)
    wholes: dict[str, dict[str, Any]] = {}
    choose, faults, outcomes = random.Random(seed), list[str](), list[str]()
    for number in range(trials):
        verb, limit = VERBS[number % len(VERBS)], LIMITS[(number // len(VERBS) + number) % 2]
        wholes[verb] = wholes.get(verb) or _in_fork(folder / f"whole-{verb}", whole, verb, folder)
        if "fault" in wholes[verb]:
            return [f"{verb} with all the room that it wants: {wholes[verb]['fault']}"], 0, 0
        place, share = folder / f"trial-{number}", choose.random()
        found = _in_fork(place, short_of, verb, folder, limit, share, wholes[verb])
        outcomes.append(found.get("outcome", ""))
        if "fault" in found:
            faults.append(f"{number}: {verb} with {share:.2f} of the {limit}: {found['fault']}")
        shutil.rmtree(place)
    if not any(outcomes):
        faults.append("nothing was ever refused: the limits do not bind")
    return faults, outcomes.count("refused"), outcomes.count("stepped down")


def _prepare(folder: Path) -> None:
    """What the verbs work on: pictures, a dataset, a run and a judge."""
    pictures = {f"{'ab'[place % 2]}/{place}.png": encoded(pixels(place, 96, 96)) for place in range(40)}
    write_folder(folder / "pictures", pictures)
    done(*words("build", folder, folder / "made"))
    (folder / "made" / "result").rename(folder / "dataset")
    done(*words("train", folder, folder / "made"))
    (folder / "made" / "result").rename(folder / "run")
    judge = (
        "train",
        "classifier",
        "--data",
        folder / "dataset",
        "--out",
        folder / "judge",
        "--steps",
        2,
        "--scale",
        "tiny",
    )
    done(*judge, *FIXED, "--train.sample-every", 0)


def words(verb: str, folder: Path, place: Path) -> tuple[Any, ...]:
    """A command whose result lies in place/result."""
    data, run = folder / "dataset", folder / "run"
    if verb == "build":
        return ("data", "build", folder / "pictures", "--out", place / "result", "--size", 48)
    if verb == "train":
        sizes = ("--train.batch-size", BATCH, "--steps", STEPS, "--train.save-every", 1, "--train.sample-every", 2)
        return ("train", "vae", "--data", data, "--out", place / "result", "--scale", "tiny", *FIXED, *sizes)
    if verb == "sample":
        return ("sample", run, "--num", 64, "--out", place / "result", "--seed", 3)
    return ("eval", run, "--data", data, "--judge", folder / "judge", "--metrics", "fd", "--num", 20, "--json")


def result(verb: str, place: Path, said: str) -> Any:
    """What two commands that came to the same have in common, as JSON."""
    if verb == "build":
        store = Store(place / "result")
        told = [store.pixel_digest, store.label_digest, sorted(store.counts.items())]
    elif verb == "train":
        told = trained(place / "result")
    else:
        told = contents(place / "result") if verb == "sample" else json.loads(said)["runs"][0]["scores"]["fd"]["value"]
    return json.loads(json.dumps(told))


def whole(verb: str, folder: Path, place: Path) -> dict[str, Any]:
    """A verb with all the room it wants: its result, and the bytes that it took."""
    if verb == "serve":
        return whole_answer(folder, place)
    before = _status("VmSize")
    answer = done(*words(verb, folder, place))
    memory = _status("VmPeak") - before
    return {"memory": memory, "disk": _bytes(place), "result": result(verb, place, answer.out)}


def whole_answer(folder: Path, place: Path) -> dict[str, Any]:
    """The same of a server: what its pictures are, and what the process of its models took for them."""
    with serving([folder / "run"], [], place / "state") as server:
        server.wait_ready()
        models = server.studio.dispatcher.workshop.pid
        assert models
        before = _status("VmSize", models)
        pictures, complaint = answered(server)
        assert not complaint, complaint
        return {"memory": _status("VmPeak", models) - before, "disk": _bytes(place), "result": pictures}


def short_of(verb: str, folder: Path, limit: str, share: float, known: dict[str, Any], place: Path) -> dict[str, str]:
    """A verb with a share of what it takes, then with all of it, in a process each, as a user would give it.

    Returns {"outcome", and "fault" where there is one}.
    """
    if verb == "serve":
        return short_answer(folder, limit, share, known, place)
    outcome = ""
    shutil.rmtree(folder / "dataset" / "cache" / "features", ignore_errors=True)  # or there would be nothing to compute
    with _limited(limit, share, known, place):
        first = _in_fork(place.with_name(f"{place.name}-first"), command, verb, folder, place)
    out = first.get("out", "")
    if first.get("code") != 0:
        if not any(line in first.get("complaint", "") for line in LINES):
            return {"fault": first.get("fault") or f"says {first['complaint']!r}"}
        answer = figment(*words(verb, folder, place))
        if answer.code:
            return {"fault": f"the same command again ends with {answer.code}: {answer.err[-300:]}"}
        outcome, out = "refused", answer.out
    slices = json.loads((place / "result" / "config.json").read_text())["slices"] if verb == "train" else 1
    wanted = known["result"]
    if slices > 1:  # it must be the run that was asked for so many
        other = place / str(slices)
        done(*words(verb, folder, other), "--train.slices", slices)
        wanted = result(verb, other, "")
    if result(verb, place, out) != wanted:
        return {"fault": f"ends otherwise than it would have, in {slices} slices"}
    return {"outcome": outcome or ("stepped down" if slices > 1 else "")}


def short_answer(folder: Path, limit: str, share: float, known: dict[str, Any], place: Path) -> dict[str, str]:
    """The same of a server, which is asked once with too little and once with enough, and never started again."""
    with contextlib.ExitStack() as limits, contextlib.ExitStack() as closing:
        if limit == "disk":
            limits.enter_context(_limited(limit, share, known, place))
        try:
            server = closing.enter_context(serving([folder / "run"], [], place / "state"))
        except FigmentError as error:  # there is no room for a server
            complaint = str(error)
            limits.close()
            server = closing.enter_context(serving([folder / "run"], [], place / "state"))
            pictures = []
        else:
            server.wait_ready()
            if limit == "memory":
                limits.enter_context(_short_of_memory(server.studio.dispatcher.workshop.pid, share * known["memory"]))
            pictures, complaint = answered(server)
            limits.close()
        if complaint:
            if not any(line in complaint for line in LINES):
                return {"fault": f"says {complaint!r}"}
            server.wait_ready()
            pictures, again = answered(server)
            if again:
                return {"fault": f"says {again!r} although there is room again"}
        if pictures != known["result"]:
            return {"fault": "draws other pictures than it would have"}
    return {"outcome": "refused" if complaint else ""}


def answered(server: Served) -> tuple[list[str], str]:
    """The digests of the pictures that a server draws, in order, and what it says where it draws none."""
    events = server.events(server.post("/api/generate", ASKED, 202)["job"])
    if events[-1][0] != "done":
        return [], events[-1][1]["error"]["message"]
    pictures = sorted((data for name, data in events if name == "image"), key=lambda data: data["place"])
    return [hashlib.sha256(server.http.get(picture["url"]).content).hexdigest() for picture in pictures], ""


@contextlib.contextmanager
def _short_of_memory(pid: int | None, more: float) -> Iterator[None]:
    """Another process may take so many more bytes of address space meanwhile, and none beyond."""
    assert pid
    limit = _status("VmSize", pid) + round(more)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    yield
    with contextlib.suppress(ProcessLookupError):  # it died of it, and there is another one
        resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def command(verb: str, folder: Path, place: Path, _: Path) -> dict[str, Any]:
    """What came of a command."""
    answer = figment(*words(verb, folder, place))
    return {"code": answer.code, "complaint": answer.complaint if answer.code else "", "out": answer.out}


@contextlib.contextmanager
def _limited(limit: str, share: float, known: dict[str, Any], place: Path) -> Iterator[None]:
    if limit == "memory":
        limit_memory(round(share * known["memory"]))
        try:
            yield
        finally:
            free_memory()
        return
    size = RESERVE + round(share * known["disk"])
    try:
        own.own_mounts()
        own.mount_disk(place, str(size))
    except OSError:  # not allowed here: then no file may grow beyond the size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 4, before[1]))
        yield
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        return
    yield
    own.resize_disk(place, "1g")


def _in_fork(place: Path, work: Any, *arguments: Any) -> dict[str, Any]:
    """work(*arguments, place) in a fork of this process, which is warm and stays as it is."""
    place.mkdir(parents=True)
    told = place.with_suffix(".json")
    child = os.fork()
    if child == 0:
        try:
            found = work(*arguments, place)
        except BaseException as error:
            free_memory()
            found = {"fault": "".join(traceback.format_exception(error))[-600:]}
        told.write_text(json.dumps(found))
        sys.stdout.flush()
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(told.read_text()) if status == 0 else {"fault": f"the process died with exit code {status}"}


def _bytes(place: Path) -> int:
    return sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _status(name: str, pid: int | None = None) -> int:
    """Bytes, of what Linux tells of a process, this one by default."""
    lines = Path(f"/proc/{pid or 'self'}/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
