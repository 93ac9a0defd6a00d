"""Endpoints that look at datasets."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from figment.data.headers import Unreadable
from figment.serve.context import Here, Name, Offset
from figment.serve.datasets import Query, ServedData
from figment.serve.refusal import Refusal, missing

MOST_LISTED = 500

router = APIRouter(prefix="/api/data", tags=["data"])

Limit = Annotated[int, Field(ge=1, le=MOST_LISTED)]


def data_of(here: Here, id: str) -> ServedData:
    """A dataset by its id.

    Raises a Refusal where there is none.
    """
    if id not in here.data:
        raise missing("dataset")
    return here.data[id]


@router.get("")
async def datasets(here: Here) -> dict[str, Any]:
    """All datasets with their labels and how many pictures have them."""
    return {"datasets": [await data.look(data.describe) for data in here.data.values()]}


@router.get("/{data}/images")
async def images(  # noqa: PLR0917 (FastAPI gives them by name)
    here: Here,
    data: str,
    status: Literal["accepted", "rejected", "any"] = "accepted",
    split: Name | None = None,
    label: Name | None = None,
    step: Name | None = None,
    reason: Name | None = None,
    unlabelled: bool = False,
    order: Literal["row", "useful"] = "row",
    offset: Offset = 0,
    limit: Limit = 100,
) -> dict[str, Any]:
    """A page of pictures with all that is said about them."""
    query = Query(status, split, label, step, reason, unlabelled, order == "useful")
    served = data_of(here, data)
    return await served.look(served.pictures, query, offset, limit)


@router.get("/{data}/images/{row}.png", response_class=Response)
async def image(here: Here, data: str, row: Offset) -> Response:
    """One picture."""
    served = data_of(here, data)
    try:
        content = await served.look(served.png, row)
    except Unreadable as error:
        raise Refusal(400, "invalid_image", str(error)) from None
    return Response(content, media_type="image/png", headers={"Cache-Control": "private, max-age=3600"})


@router.get("/{data}/duplicates")
async def duplicates(here: Here, data: str, offset: Offset = 0, limit: Limit = 100) -> dict[str, Any]:
    """A page of the groups of pictures that are as good as the same."""
    served = data_of(here, data)
    return await served.look(served.duplicates, offset, limit)
