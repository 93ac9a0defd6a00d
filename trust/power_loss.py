"""The power goes while something is saved: whatever was not synced by then is lost, torn or out of order."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trust._calls import Call
from trust._commits import NOTHING, Prepared, prepared
from trust._disk import watched
from trust._tally import Tally

PROMISE = "A power cut leaves what was saved before or what was being saved, and takes back nothing that was done."
METHOD = (
    "The writes, syncs and renames of eight commits are recorded; then disks are made up as a power cut could leave "
    "them after each call: of what was not yet synced any part is lost, torn or came before what was written earlier, "
    "names in folders too. Each must show the old or the new state, the new one once the commit has returned; then the "
    "commit is made on it again."
)
SHORT = 80
LONG = 6_000


@dataclass(eq=False)
class File:
    """pending: what was done to it and not synced: bytes at an offset, or a new length."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def sync(self) -> None:
        for offset, data in self.pending:
            self.durable = _changed(self.durable, offset, data)
        self.pending = []

    def survivor(self, choose: random.Random, survives: float) -> bytes:
        content = self.durable
        for offset, data in self.pending:
            if choose.random() < survives:
                content = _changed(content, offset, data)
            elif data and choose.random() < survives:  # torn
                content = _changed(content, offset, data[: choose.randrange(len(data))])
        return content


@dataclass(eq=False)
class Folder:
    """names: as programs see them. pending: changes of names that were not synced, each whole or lost."""

    names: dict[str, File | Folder] = field(default_factory=dict)
    durable: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[dict[str, File | Folder | None]] = field(default_factory=list)

    def change(self, change: dict[str, File | Folder | None]) -> None:
        self.pending.append(change)
        self.names = _renamed(self.names, change)

    def sync(self) -> None:
        self.durable, self.pending = dict(self.names), []

    def write(self, place: Path, choose: random.Random, survives: float) -> None:
        """Write what a power cut leaves."""
        names = self.durable
        for change in self.pending:
            if choose.random() < survives:
                names = _renamed(names, change)
        place.mkdir()
        for name, node in names.items():
            if isinstance(node, Folder):
                node.write(place / name, choose, survives)
            else:
                (place / name).write_bytes(node.survivor(choose, survives))


class Disk:
    """A folder with what would be left of it; it begins with all that is there, synced."""

    def __init__(self, root: Path):
        self._root, self.top = root, _read(root)

    def apply(self, call: Call) -> None:
        """Do what was recorded."""
        node, name = self._find(call.path), call.path.name
        if call.kind == "sync":
            node.sync()
            if name.endswith(("-wal", "-journal")):  # SQLite syncs a new journal's folder with it
                self._find(call.path.parent).sync()
        elif call.kind == "write":
            node.pending.append((call.offset, call.data))
        elif call.kind == "truncate" or (call.kind == "create" and node is not None):
            node.pending.append((call.offset, None))
        elif call.kind in ("open", "create") and node is None:
            self._find(call.path.parent).change({name: File()})
        elif call.kind == "mkdir":
            self._find(call.path.parent).change({name: Folder()})
        elif call.kind == "remove":
            self._find(call.path.parent).change({name: None})
        elif call.kind == "rename":
            assert call.target is not None and call.target.parent == call.path.parent
            self._find(call.path.parent).change({name: None, call.target.name: node})

    def _find(self, path: Path) -> Any:
        """What programs see at a path; None where there is nothing."""
        node: Any = self.top
        for name in path.relative_to(self._root).parts:
            node = node.names.get(name) if isinstance(node, Folder) else None
        return node


def _read(path: Path) -> Folder:
    nodes = {one.name: _read(one) if one.is_dir() else File(one.read_bytes()) for one in path.iterdir()}
    return Folder(nodes, dict(nodes))


def _renamed(names: dict[str, File | Folder], change: dict[str, File | Folder | None]) -> dict[str, File | Folder]:
    return {name: node for name, node in {**names, **change}.items() if node is not None}


def _changed(content: bytes, offset: int, data: bytes | None) -> bytes:
    """Bytes written at an offset, the hole before them zero; or a length set, where there are none."""
    padded = content + bytes(max(0, offset - len(content)))
    return padded[:offset] if data is None else padded[:offset] + data + padded[offset + len(data) :]


def recorded(commit: Callable[[Path], object], folder: Path) -> list[Call]:
    """The calls of a commit in a folder, without those that failed."""
    calls: list[Call] = []

    def through(call: Call, act: Callable[..., Any]) -> Any:
        answer = act()
        calls.append(call)
        return answer

    with watched(folder, through):
        commit(folder)
    return calls


def campaign(trials: int, folder: Path, seed: int) -> Tally:
    choose, everything = random.Random(seed), prepared(folder / "prepared")
    failures, share = list[str](), trials // len(everything)
    for name, one in everything.items():
        failures += [f"{name}: {wrong}" for wrong in attacked(one, folder, share, choose) if wrong]
    return Tally(share * len(everything), tuple(failures), f"{len(everything)} commits")


def attacked(one: Prepared, folder: Path, number: int, choose: random.Random) -> Iterator[str]:
    """What is wrong after each of so many power cuts; empty where all is well."""
    here = one.copy(folder / "trial")
    log = recorded(one.commit.make, here)
    one.copy(here)
    for moment, survives in _cuts(len(log), number, choose):
        disk = Disk(here)
        for call in log[:moment]:
            disk.apply(call)
        shutil.rmtree(folder / "after", ignore_errors=True)
        disk.top.write(folder / "after", choose, survives)
        yield _wrong(one, folder / "after", is_done=moment == len(log))


def _cuts(calls: int, number: int, choose: random.Random) -> Iterator[tuple[int, float]]:
    """(calls before the cut, share of unsynced changes that survive): each moment in turn, the last one often."""
    for place in range(number):
        moment = calls if place % 8 == 0 else choose.randrange(calls + 1) if number < calls else place % (calls + 1)
        yield moment, choose.choice((0.0, 0.5, 0.5, 0.9, 1.0))


def _wrong(one: Prepared, after: Path, *, is_done: bool) -> str:
    """What is wrong with a disk; empty where all is well."""
    try:
        found = one.commit.found(after)
        if is_done and found != one.new:
            return "what was done is lost"
        if found not in (one.old, one.new):
            return "nothing is left" if found == NOTHING else "neither the old state nor the new one"
        one.commit.make(after)
        return "" if one.commit.found(after) == one.new else "the commit cannot be made again"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
