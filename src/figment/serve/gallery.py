"""Endpoints about pictures that were drawn: each by its id, and the history of them."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, StreamingResponse

from figment.serve.context import Body, Here, Name, Offset
from figment.serve.history import MOST_LISTED
from figment.serve.refusal import invalid, missing

MOST_ZIPPED = 1000

router = APIRouter(prefix="/api", tags=["history"])

_KINDS = {"png": "image/png", "gif": "image/gif", "mp4": "video/mp4", "json": "application/json"}


class Star(Body):
    """Give a star, or take it."""

    starred: bool


@router.get("/images/{name}")
async def image(here: Here, name: Name) -> FileResponse:
    """A picture, or the file that an edit wrote: ID.png."""
    id, _, suffix = name.partition(".")
    path, kind = await here.history.find(id)
    if suffix != kind:
        raise missing("picture")
    keep = {"Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(path, media_type=_KINDS.get(kind, "application/octet-stream"), headers=keep)


@router.get("/history")
async def history(
    here: Here,
    offset: Offset = 0,
    limit: Annotated[int, Field(ge=1, le=MOST_LISTED)] = 100,
    starred: bool = False,
    run: Name | None = None,
) -> dict[str, Any]:
    """What was drawn, newest first. run: its name."""
    return await here.history.listed(offset, limit, starred, run)


@router.post("/history/{id}/star")
async def star(here: Here, id: Name, asked: Star) -> dict[str, Any]:
    """Give a star, or take it."""
    await here.history.star(id, asked.starred)
    return {"id": id, "is_starred": asked.starred}


@router.delete("/history/{id}")
async def forget(here: Here, id: Name) -> dict[str, Any]:
    """Delete a picture."""
    await here.history.forget(id)
    return {"id": id}


@router.get("/history.zip")
async def archive(here: Here, ids: Annotated[str, Field(max_length=40 * MOST_ZIPPED)]) -> StreamingResponse:
    """Pictures in one zip."""
    wanted = list(dict.fromkeys(ids.split(",")))
    if len(wanted) > MOST_ZIPPED:
        raise invalid(f"ids: at most {MOST_ZIPPED}", "ids")
    paths = [path for path, _ in await here.history.find_all(wanted)]
    file = await run_in_threadpool(_zipped, paths)
    headers = {"Content-Disposition": 'attachment; filename="figment.zip"'}
    return StreamingResponse(_chunks(file), media_type="application/zip", headers=headers)


def _zipped(paths: Sequence[Path]) -> IO[bytes]:
    """The files in a zip, stored as they are: PNG is packed already."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 (whoever sends it closes it)
    with zipfile.ZipFile(file, "w") as archive:
        for path in paths:
            archive.write(path, path.name)
    file.seek(0)
    return file


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(1 << 16):
            yield chunk
