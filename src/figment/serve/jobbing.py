"""Endpoints that draw: jobs with their events, edits, sliders, and recipes taken back from pictures."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import Field, TypeAdapter, ValidationError
from starlette.responses import Response, StreamingResponse

from figment import edits
from figment.core import plugins
from figment.core.config import to_json
from figment.serve.context import Body, Here, Name, Seed
from figment.serve.intake import Picture, form_of, object_of, picture_of, pictures_of, recipe_in
from figment.serve.jobs import Job, Work
from figment.serve.presence import while_there, with_pulse
from figment.serve.refusal import Refusal, invalid
from figment.serve.runs import ServedRun, find
from figment.serve.settings import taken

MOST_PICTURES = 256  # of a job
JOB_SECONDS, WALK_SECONDS = 600.0, 20.0

router = APIRouter(prefix="/api", tags=["drawing"])

Settings = Annotated[dict[str, Any], Field(max_length=100)]
Caption = Annotated[str, Field(max_length=4096)]
Place = Annotated[float, Field(ge=-10, le=10)]


class Asked(Body):
    """What a picture is to show, and how it is drawn."""

    run: Name
    label: Name | None = None
    caption: Caption | None = None
    settings: Settings = Field(default_factory=dict)


class Generate(Asked):
    """Pictures of these seeds, or of `num` from `seed` on."""

    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MOST_PICTURES)] | None = None
    seed: Seed = 0
    num: Annotated[int, Field(ge=1, le=MOST_PICTURES)] = 1
    preview: bool = False


class Edit(Asked):
    """The part of an edit that is no picture."""

    edit: Name
    config: Settings = Field(default_factory=dict)
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=16)] = Field(default_factory=lambda: [0])


class Walk(Asked):
    """A place between two seeds, or in the principal plane around one."""

    seed_a: Seed | None = None
    seed_b: Seed | None = None
    t: Annotated[float, Field(ge=0, le=1)] = 0.0
    seed: Seed | None = None
    plane: Annotated[list[Place], Field(min_length=2, max_length=2)] | None = None


def drawing(run: ServedRun, asked: Asked, seeds: Sequence[int], **more: Any) -> Work:
    """Pictures of seeds as work; more: of Work.

    Raises a Refusal or ConfigError where the run cannot be asked for that.
    """
    if "Generates" not in run.capabilities:
        raise Refusal(400, "cannot", f"a '{run.family}' draws no pictures of its own", "run")
    settings, caption = run.settings(asked.settings), run.checked_caption(asked.caption)
    places = run.places(asked.label, len(seeds))
    rows = [{"seed": seed, "label": place, "caption": caption} for seed, place in zip(seeds, places, strict=True)]
    values = to_json(settings) if settings is not None else None
    return Work("draw", run, rows, values, steps=run.steps_of(settings), **more)


@router.post("/generate", status_code=202)
async def generate(here: Here, asked: Generate) -> dict[str, str]:
    """Let pictures be drawn; they come as the job's events."""
    seeds = asked.seeds or range(asked.seed, asked.seed + asked.num)
    work = drawing(find(here.runs, asked.run), asked, seeds, preview=asked.preview)
    return {"job": here.dispatcher.submit(Job(work, seconds=JOB_SECONDS, keep=here.history.keep)).id}


@router.post("/edit", status_code=202)
async def edit(here: Here, request: Request) -> dict[str, str]:
    """Let pictures be changed: a form of `image`, `mask`, `style` and the JSON `request`."""
    work = await _edit_of(here, request)
    return {"job": here.dispatcher.submit(Job(work, seconds=JOB_SECONDS, keep=here.history.keep)).id}


@router.post("/redraw", response_class=Response)
async def redraw(here: Here, request: Request) -> Response:
    """The first picture of an edit, at once, for a sheet that is drawn on: the form of `/api/edit`."""
    work = replace(await _edit_of(here, request), is_urgent=True)
    pieces = await while_there(request, here.dispatcher.submit(Job(work, seconds=WALK_SECONDS)))
    picture = next(piece for piece in pieces if piece.kind == "picture")
    return Response(picture.data, media_type="image/png")


async def _edit_of(here: Here, request: Request) -> Work:
    """The edit that a form asks for."""
    async with form_of(request) as form:
        asked = _checked(Edit, object_of(form, "request"), "request")
        images, masks, styles = [await pictures_of(form, name) for name in ("image", "mask", "style")]
    if len(masks) > 1 or len(styles) > 1:
        raise invalid("give one mask and one style at most", "mask" if len(masks) > 1 else "style")
    run = find(here.runs, asked.run)
    return editing(run, asked, images, masks[0] if masks else None, styles[0] if styles else None)


def editing(
    run: ServedRun, asked: Edit, images: Sequence[Picture], mask: Picture | None, style: Picture | None = None
) -> Work:
    """An edit as work. mask: white where the first image is to be made new.

    Raises a Refusal or ConfigError where the run cannot do it, or a setting or picture does not fit.
    """
    if asked.edit not in run.edits:
        raise Refusal(400, "cannot", f"this run can do: {', '.join(run.edits) or 'no edit'}", "edit")
    config = taken(plugins.load("edits", asked.edit).Config, asked.config, param="config")
    settings, caption = run.settings(asked.settings), run.checked_caption(asked.caption)
    _require_inputs(asked.edit, len(images), mask is not None, style is not None)
    if mask is not None and (not images or mask.pixels.shape[:2] != images[0].pixels.shape[:2]):
        raise invalid("mask: give one of the picture's size", "mask")
    places = run.places(asked.label, len(asked.seeds))
    facts = {"edit": asked.edit, "config": to_json(config), "num_images": len(images)}
    return Work(
        "edit",
        run,
        [{"seed": seed, "label": at, "caption": caption} for seed, at in zip(asked.seeds, places, strict=True)],
        to_json(settings) if settings is not None else None,
        facts=facts | {"has_mask": mask is not None, "has_style": style is not None},
        blobs=[picture.content for picture in (*images, mask, style) if picture is not None],
        steps=run.steps_of(settings),
    )


def _require_inputs(edit: str, num_images: int, has_mask: bool, has_style: bool) -> None:
    """Raise a Refusal where a picture is missing or idle; the same that `edits.require` says to the command line."""
    wanted = edits.inputs(edit)
    least = 2 if "images" in wanted else int("image" in wanted)
    most = 10 if {"images", "images?"} & set(wanted) else int(bool({"image", "image?"} & set(wanted)))
    if not least <= num_images <= most:
        raise invalid(f"image: '{edit}' takes {least} to {most}, {num_images} were given", "image")
    for name, is_given in (("mask", has_mask), ("style", has_style)):
        if name in wanted and not is_given:
            raise invalid(f"{name}: '{edit}' needs one", name)
        if is_given and name not in wanted and f"{name}?" not in wanted:
            raise invalid(f"{name}: '{edit}' takes none", name)


def _checked(kind: type[Edit], values: Mapping[str, Any], param: str) -> Edit:
    """The fields of a form's JSON, as strictly as those of a body."""
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([param, *(str(part) for part in first["loc"])])
        raise invalid(f"{place}: {first['msg']}", place) from None


@router.get("/jobs/{job}/events")
async def events(here: Here, job: str, last_event_id: Annotated[str | None, Header()] = None) -> StreamingResponse:
    """What becomes of a job, as Server-Sent Events."""
    found = here.dispatcher.jobs.find(job)
    after = int(last_event_id) if last_event_id and last_event_id.isdecimal() and len(last_event_id) < 9 else 0
    return StreamingResponse(with_pulse(_streamed(found, after)), media_type="text/event-stream")


async def _streamed(job: Job, after: int) -> AsyncIterator[str]:
    async for number, event, data in job.events(after):
        mark = f"id: {number}\n" if number else ""
        yield f"{mark}event: {event}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


@router.delete("/jobs/{job}")
async def cancel(here: Here, job: str) -> dict[str, Any]:
    """Call a job off: it costs nothing more."""
    was_live = here.dispatcher.jobs.find(job).cancel()
    here.dispatcher.heed()
    return {"job": job, "was_cancelled": was_live}


@router.post("/walk", response_class=Response)
async def walk(here: Here, request: Request, asked: Walk) -> Response:
    """One picture, at once, for a slider."""
    run = find(here.runs, asked.run)
    seed = asked.seed_a if asked.plane is None else asked.seed
    if seed is None or (asked.plane is None) == (asked.seed_b is None):
        raise invalid("give seed_a, seed_b and t, or seed and plane", "seed")
    if asked.plane is not None and "Maps" not in run.capabilities:
        raise Refusal(400, "cannot", f"a '{run.family}' has no styles, and so no principal plane", "plane")
    work = drawing(run, asked, [seed], is_urgent=True)
    row = {"plane": asked.plane} if asked.plane is not None else {"to": asked.seed_b, "t": asked.t}
    work.rows[0].update(row)
    job = here.dispatcher.submit(Job(work, seconds=WALK_SECONDS))
    return Response((await while_there(request, job))[0].data, media_type="image/png")


@router.post("/recipe")
async def recipe(here: Here, request: Request) -> dict[str, Any]:
    """The recipe in a picture that was drawn, and the request that draws it again."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with form_of(request) as form:
            files = form.getlist("image")
            if len(files) != 1 or isinstance(files[0], str):
                raise invalid("image: give one file", "image")
            content = await files[0].read()
    else:
        content = await request.body()
    await picture_of(content, "image")  # the whole file is sound
    found = recipe_in(content)
    run = next((run for run in here.runs.values() if run.digest == found.get("run")), None)
    return {"recipe": found, "run": run and run.id, "request": _request(run, found) if run else None}


def _request(run: ServedRun, recipe: Mapping[str, Any]) -> dict[str, Any] | None:
    """What draws a single picture, or the pictures of a grid, again; None for an edit or what makes no sense."""
    order: Any = recipe.get("of", {})
    seeds: Any = recipe.get("seeds") or [recipe.get("seed")]
    try:
        label, captions = order.get("label", recipe.get("label")), recipe.get("captions", [])
        label = recipe["label"] if order and label == "all" else label  # one of many: what it shows itself
        asked = Generate(
            run=run.id,
            label=None if label in ("", "none", None) else label,
            caption=captions[0] if captions else None,
            seeds=seeds[:MOST_PICTURES],
            settings={name: value for name, value in recipe["settings"].items() if value not in (None, "")},
        )
        drawing(run, asked, seeds[:MOST_PICTURES])  # that it can be asked for
    except (ValidationError, Refusal, KeyError, AttributeError, TypeError):
        return None
    return asked.model_dump(exclude_none=True, exclude_defaults=True) if "edit" not in recipe else None
