"""The application: what is served, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse
from starlette.types import ASGIApp

from figment.serve import gallery, jobbing, labelling, library, looking, openai, refusal
from figment.serve.context import Studio
from figment.serve.guard import Guard
from figment.serve.refusal import Refusal, missing
from figment.version import VERSION

DRAIN_SECONDS = 60.0

_KINDS = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_KINDS |= {".png": "image/png", ".json": "application/json", ".webmanifest": "application/manifest+json"}


def create_app(studio: Studio) -> ASGIApp:
    """The application over a studio, behind its guard."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        studio.dispatcher.start()
        yield
        await studio.dispatcher.drain(DRAIN_SECONDS)
        for data in studio.data.values():
            data.close()
        studio.history.close()

    app = FastAPI(title="figment", version=VERSION, docs_url=None, redoc_url=None, lifespan=life)
    app.state.studio = studio
    refusal.install(app)
    for room in (library, jobbing, gallery, looking, labelling, openai):
        app.include_router(room.router)
    _add_health(app, studio)
    _add_page(app)
    return Guard(app, studio.gate, studio.counters, studio.dispatcher.turned_away)


def _add_health(app: FastAPI, studio: Studio) -> None:
    dispatcher = studio.dispatcher

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Answered while this process lives."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Whether a picture can be drawn now."""
        if dispatcher.is_draining:
            raise Refusal(503, "stopping", "the server is being stopped", retry_after=10)
        if not dispatcher.workshop.is_ready:
            raise Refusal(503, "not_ready", "the models are being loaded", retry_after=2)
        return JSONResponse({"is_ready": True})

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        """Counters for Prometheus."""
        gauges: dict[str, Any] = {
            "queue_rows": dispatcher.queue.num_rows,
            "queue_seconds": dispatcher.queue.seconds,
            "live_jobs": len(dispatcher.jobs.live),
            "is_ready": dispatcher.workshop.is_ready,
        }
        return PlainTextResponse(studio.counters.text(gauges), media_type="text/plain; version=0.0.4")


def _add_page(app: FastAPI) -> None:
    """The page's files, found once: a request chooses among them and cannot name another."""
    folder = Path(str(files("figment.serve"))) / "studio"
    pages = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.suffix in _KINDS}

    @app.get("/", include_in_schema=False)
    @app.get("/studio/{name:path}", include_in_schema=False)
    async def page(name: str = "index.html") -> FileResponse:
        if name not in pages:
            raise missing("address")
        return FileResponse(pages[name], media_type=_KINDS[pages[name].suffix], headers={"Cache-Control": "no-cache"})
