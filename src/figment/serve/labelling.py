"""Endpoints that change what is said about pictures, so that two tabs at once lose nothing.

A change says what stood there when it was decided. It is made only where that still stands there.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import Field

from figment.core.errors import DataError
from figment.core.types import Rejected
from figment.data.card import LATE
from figment.data.index import Index
from figment.data.store import Store
from figment.serve.context import Body, Here, Name, Offset
from figment.serve.datasets import ServedData
from figment.serve.looking import data_of
from figment.serve.refusal import Refusal, invalid

MOST_CHANGES = 1000
BY_HAND = "hand"  # in place of a step: a person refused it
CARD_SECONDS = 5.0  # without a further change, after which the card is written anew

router = APIRouter(prefix="/api/data", tags=["labelling"])

_log = logging.getLogger("figment.serve")

Label = Annotated[str, Field(min_length=1, max_length=200)]
Captions = Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(max_length=100)]
Attributes = Annotated[dict[Label, float], Field(max_length=1000)]


class LabelChange(Body):
    """Another label, or none."""

    row: Offset
    label: Label | None
    was: Name | None


class CaptionChange(Body):
    """Other captions."""

    row: Offset
    captions: Captions
    was: list[str]


class AttributeChange(Body):
    """Other attributes."""

    row: Offset
    attributes: Attributes
    was: dict[str, float]


class LabelChanges(Body):
    """Changes that are made together."""

    changes: Annotated[list[LabelChange], Field(min_length=1, max_length=MOST_CHANGES)]


class CaptionChanges(Body):
    """Changes that are made together."""

    changes: Annotated[list[CaptionChange], Field(min_length=1, max_length=MOST_CHANGES)]


class AttributeChanges(Body):
    """Changes that are made together."""

    changes: Annotated[list[AttributeChange], Field(min_length=1, max_length=MOST_CHANGES)]


class ReasonChange(Body):
    """Why a picture is refused, or nothing where it is to be taken in again."""

    row: Offset
    reason: Label | None
    was: Annotated[str, Field(max_length=1000)] | None


class ReasonChanges(Body):
    """Changes that are made together."""

    changes: Annotated[list[ReasonChange], Field(min_length=1, max_length=MOST_CHANGES)]


class Restored(Body):
    """Refused pictures to take in after all."""

    rows: Annotated[list[Offset], Field(min_length=1, max_length=MOST_CHANGES)]


@router.post("/{data}/labels")
async def labels(here: Here, data: str, asked: LabelChanges) -> dict[str, Any]:
    """Other labels."""
    return await _changed(data_of(here, data), "label", asked.changes)


@router.post("/{data}/captions")
async def captions(here: Here, data: str, asked: CaptionChanges) -> dict[str, Any]:
    """Other captions."""
    return await _changed(data_of(here, data), "captions", asked.changes)


@router.post("/{data}/attributes")
async def attributes(here: Here, data: str, asked: AttributeChanges) -> dict[str, Any]:
    """Other attributes."""
    return await _changed(data_of(here, data), "attributes", asked.changes)


@router.post("/{data}/reasons")
async def reasons(here: Here, data: str, asked: ReasonChanges) -> dict[str, Any]:
    """Pictures refused by hand, each for a reason; or taken in again."""
    served = _writable(data_of(here, data))
    try:
        return await served.change(refuse_or_restore, served.store, asked.changes)
    except DataError as error:
        raise Refusal(400, "cannot", str(error), "changes") from None


@router.post("/{data}/restore")
async def restore(here: Here, data: str, asked: Restored) -> dict[str, Any]:
    """Refused pictures taken in after all: every one, or none."""
    served = _writable(data_of(here, data))
    marks = ", ".join("?" * len(asked.rows))

    def act(index: Index) -> list[int]:
        found = dict(index.query(f"select id, key from images where id in ({marks})", *asked.rows))
        if len(found) < len(set(asked.rows)):
            raise Refusal(404, "not_found", "there is no such picture", "rows")
        served.store.restore([found[row] for row in asked.rows])
        return asked.rows

    try:
        return {"restored": await served.change(act)}
    except DataError as error:  # names the picture, and why it stays out
        raise Refusal(400, "cannot", str(error), "rows") from None


async def _changed(served: ServedData, column: str, changes: Sequence[Any]) -> dict[str, Any]:
    try:
        answer = await _writable(served).change(compare_and_set, column, changes)
    except DataError as error:
        raise Refusal(400, "cannot", str(error), "changes") from None
    if answer["changed"]:
        _schedule_card(served)
    return answer


def compare_and_set(index: Index, column: str, changes: Sequence[Any]) -> dict[str, Any]:
    """Make each change where its row still holds what it `was`, all in one transaction; tell the others apart."""
    changed, conflicts = [], []
    # A label that a model proposed becomes a person's word.
    confirm = ", origin = json_remove(origin, '$.proposed')" if column == "label" else ""
    with index.transaction():
        for change in changes:
            found = next(index.query(f"select {column} from images where id = ?", change.row), None)
            if found is None:
                raise Refusal(404, "not_found", f"there is no picture {change.row}", "changes")
            present = found[0] if column == "label" else json.loads(found[0])
            if present != change.was:
                conflicts.append({"row": change.row, column: present})
                continue
            value = getattr(change, column)
            text = value if column == "label" else json.dumps(value, ensure_ascii=False, sort_keys=True)
            index.connection.execute(f"update images set {column} = ?{confirm} where id = ?", (text, change.row))
            changed.append(change.row)
        if changed:
            index.set_state(LATE, True)
    return {"changed": changed, "conflicts": conflicts}


def refuse_or_restore(index: Index, store: Store, changes: Sequence[ReasonChange]) -> dict[str, Any]:
    """Refuse or take in each picture that is still refused for what it `was`, or still not; tell the others apart.

    Raises a Refusal or DataError where that cannot be.
    """
    marks = ", ".join("?" * len(changes))
    rows = index.query(f"select id, key, reason from images where id in ({marks})", *(one.row for one in changes))
    found = {id: (key, reason) for id, key, reason in rows}
    if missed := [one.row for one in changes if one.row not in found]:
        raise Refusal(404, "not_found", f"there is no picture {missed[0]}", "changes")
    timely = [one for one in changes if found[one.row][1] == one.was]
    if any(one.was is not None and one.reason is not None for one in timely):
        raise invalid("changes: a picture that is refused keeps its reason; take it in first", "changes")
    if back := [found[one.row][0] for one in timely if one.was is not None]:
        store.restore(back)
    if out := [Rejected(found[one.row][0], BY_HAND, one.reason) for one in timely if one.reason is not None]:
        store.refuse(out)
    late = {one.row: found[one.row][1] for one in changes if found[one.row][1] != one.was}
    return {
        "changed": [one.row for one in timely],
        "conflicts": [{"row": row, "reason": reason} for row, reason in late.items()],
    }


def _writable(served: ServedData) -> ServedData:
    if not served.is_writable:
        raise Refusal(400, "cannot", "this dataset lies in a folder that cannot be written")
    return served


def _schedule_card(served: ServedData) -> None:
    """Have the card written when nobody has changed anything for a while."""
    if served.card_task:
        served.card_task.cancel()

    async def later() -> None:
        await asyncio.sleep(CARD_SECONDS)
        served.card_task = None  # from here on it is not called off
        try:
            await served.change(served.renew)
        except DataError as error:
            _log.error("%s: the card could not be written: %s", served.name, error)

    served.card_task = asyncio.ensure_future(later())
