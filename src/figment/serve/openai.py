"""Endpoints in the shape of OpenAI's images, so that existing clients draw with a figment run unchanged."""

from __future__ import annotations

import base64
import io
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData
from starlette.responses import Response

from figment.serve.context import Here, Seed
from figment.serve.intake import Picture, form_of, mask_of, pictures_of
from figment.serve.jobbing import Asked, Edit, drawing, editing
from figment.serve.jobs import Job, Piece, Work
from figment.serve.presence import while_there
from figment.serve.refusal import Refusal, invalid
from figment.serve.runs import ServedRun, find

SECONDS = 300.0  # that a client waits for its pictures at most
MOST_SIDE = 2048
OPEN = ("", "auto")  # prompts that ask for nothing in particular

router = APIRouter(prefix="/v1", tags=["OpenAI's shape"])


class Generation(BaseModel):
    """What a client asks for; what figment has no use for, such as `quality`, is passed over."""

    model_config = ConfigDict(extra="ignore", strict=True)

    model: Annotated[str, Field(max_length=200)] | None = None
    prompt: Annotated[str, Field(max_length=4096)] = ""
    n: Annotated[int, Field(ge=1, le=10)] | None = 1
    size: Annotated[str, Field(max_length=20)] | None = "auto"
    response_format: Literal["b64_json"] | None = "b64_json"
    output_format: Literal["png", "jpeg", "webp"] | None = "png"
    stream: Literal[False] | None = False
    user: Annotated[str, Field(max_length=1000)] | None = None
    seed: Seed | None = None


@router.get("/models")
async def models(here: Here) -> dict[str, Any]:
    """The runs, as models."""
    return {"object": "list", "data": [_model(run) for run in here.runs.values()]}


@router.get("/models/{id}")
async def model(here: Here, id: str) -> dict[str, Any]:
    """One run, as a model."""
    return _model(find(here.runs, id))


@router.post("/images/generations")
async def generations(here: Here, request: Request, asked: Generation) -> Response:
    """Pictures of a class, or of what a caption says."""
    run = _run(here, asked)
    work = drawing(run, Asked(run=run.id, **_shown(run, asked.prompt)), _seeds(asked))
    return await _answered(here, request, asked, work)


@router.post("/images/edits")
async def edits(here: Here, request: Request) -> Response:
    """A picture made new where its mask is transparent, or all of it towards the prompt where there is no mask."""
    async with form_of(request) as form:
        asked = _of_form(form)
        images = await pictures_of(form, "image", "image[]")
        masks = await pictures_of(form, "mask")
    if len(images) != 1 or len(masks) > 1:
        raise invalid("image: give one picture, and one mask at most", "image")
    run, holes = _run(here, asked), masks or [image for image in images if image.is_transparent]
    mask = mask_of(holes[0]) if holes else None
    names = ("inpaint", "complete") if mask is not None else ("redraw",)
    work = _editing(run, asked, names, images, mask)
    return await _answered(here, request, asked, work)


@router.post("/images/variations")
async def variations(here: Here, request: Request) -> Response:
    """More pictures like a given one."""
    async with form_of(request) as form:
        asked, images = _of_form(form), await pictures_of(form, "image")
    if len(images) != 1:
        raise invalid("image: give one picture", "image")
    work = _editing(_run(here, asked), asked, ("variations",), images, None)
    return await _answered(here, request, asked, work)


def _model(run: ServedRun) -> dict[str, Any]:
    try:
        created = int((run.path / "model" / "config.json").stat().st_mtime)
    except OSError:
        created = 0
    return {"id": run.name, "object": "model", "created": created, "owned_by": "figment"}


def _run(here: Here, asked: Generation) -> ServedRun:
    return find(here.runs, next(iter(here.runs), "") if asked.model is None else asked.model)


def _shown(run: ServedRun, prompt: str) -> dict[str, Any]:
    """A prompt as a class, or else as a caption.

    Raises a Refusal where the run knows no such class and reads no captions.
    """
    if prompt.strip() in OPEN:
        return {}
    if prompt.strip() in run.asked.classes:
        return {"label": prompt.strip()}
    if not run.asked.caption_bytes:
        known = ", ".join(run.asked.classes[:20]) or "nothing: it was trained without labels"
        raise Refusal(400, "cannot", f"prompt: this run can be asked for {known}; or give 'auto'", "prompt")
    return {"caption": prompt}


def _seeds(asked: Generation) -> Sequence[int]:
    first = secrets.randbelow(2**31) if asked.seed is None else asked.seed
    return range(first, first + (asked.n or 1))


def _editing(
    run: ServedRun, asked: Generation, names: Sequence[str], images: Sequence[Picture], mask: Picture | None
) -> Work:
    """The first of these edits that the run can do, as work."""
    name = next((name for name in names if name in run.edits), None)
    if name is None:
        raise Refusal(400, "cannot", f"this run cannot {' or '.join(names)}", "model")
    return editing(
        run, Edit(run=run.id, edit=name, seeds=list(_seeds(asked)), **_shown(run, asked.prompt)), images, mask
    )


def _of_form(form: FormData) -> Generation:
    """The fields of a form, where numbers are texts."""
    fields: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str)}
    for name in ("n", "seed"):
        if re.fullmatch(r"\d{1,16}", fields.get(name, "")):
            fields[name] = int(fields[name])
    if fields.get("stream") == "false":
        fields["stream"] = False
    try:
        return Generation.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise invalid(f"{place}: {first['msg']}", place) from None


async def _answered(here: Here, request: Request, asked: Generation, work: Work) -> Response:
    size = _size(work.run, asked.size or "auto")
    job = here.dispatcher.submit(Job(work, seconds=SECONDS))
    pieces = [piece for piece in await while_there(request, job) if piece.kind == "picture"]
    kind = asked.output_format or "png"
    if size is not None or kind != "png":
        pieces = await run_in_threadpool(lambda: [_converted(piece, size, kind) for piece in pieces])
    return Response(_packed(pieces), media_type="application/json")


def _packed(pieces: Sequence[Piece]) -> bytes:
    """{created, data} as JSON, by hand: a serialiser would look for signs to escape in megabytes of base64."""
    data = (b'{"seed":%d,"b64_json":"%s"}' % (piece.seed, base64.b64encode(piece.data)) for piece in pieces)
    return b'{"created":%d,"data":[%s]}' % (time.time(), b",".join(data))


def _size(run: ServedRun, size: str) -> tuple[int, int] | None:
    """(width, height) to scale pictures to; None for as they are.

    Raises a Refusal for what is no size.
    """
    if size == "auto":
        return None
    match = re.fullmatch(r"(\d{1,4})x(\d{1,4})", size)
    wanted = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(1 <= side <= MOST_SIDE for side in wanted):
        raise invalid(f"size: give auto, or WIDTHxHEIGHT up to {MOST_SIDE}", "size")
    return None if wanted == (run.spec.width, run.spec.height) else wanted


def _converted(piece: Piece, size: tuple[int, int] | None, kind: str) -> Piece:
    """A picture at another size or as another kind of file; it then carries no recipe."""
    picture = Image.open(io.BytesIO(piece.data))
    picture = picture.resize(size, Image.Resampling.BICUBIC) if size else picture
    buffer = io.BytesIO()
    (picture.convert("RGB") if kind == "jpeg" and picture.mode == "RGBA" else picture).save(buffer, kind.upper())
    return replace(piece, data=buffer.getvalue())
