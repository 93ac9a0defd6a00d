"""Endpoints about runs: what there is, how it was trained, how good it is."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse

from figment.serve.context import Here
from figment.serve.refusal import missing
from figment.serve.runs import find, leaderboard

router = APIRouter(prefix="/api", tags=["runs"])


@router.get("/runs")
async def runs(here: Here) -> dict[str, Any]:
    """All runs with what they can do."""
    return {"runs": [_told(here, run.id) for run in here.runs.values()]}


@router.get("/runs/{run}")
async def run(here: Here, run: str) -> dict[str, Any]:
    """One run."""
    return _told(here, find(here.runs, run).id)


@router.get("/runs/{run}/log")
async def log(here: Here, run: str) -> dict[str, Any]:
    """The curves of its training."""
    return {"events": await run_in_threadpool(find(here.runs, run).log)}


@router.get("/runs/{run}/samples")
async def samples(here: Here, run: str) -> dict[str, Any]:
    """The grids that were drawn while it was trained."""
    paths = find(here.runs, run).samples()
    return {"samples": [{"n": n, "step": int(path.stem)} for n, path in enumerate(paths)]}


@router.get("/runs/{run}/samples/{n}")
async def sample(here: Here, run: str, n: int) -> FileResponse:
    """One of them."""
    paths = find(here.runs, run).samples()
    if not 0 <= n < len(paths):
        raise missing("sample")
    return FileResponse(paths[n], media_type="image/png")


@router.get("/runs/{run}/findings")
async def findings(here: Here, run: str) -> dict[str, Any]:
    """What ails its training, by its log: `figment doctor` looks at pictures too."""
    return {"findings": await run_in_threadpool(find(here.runs, run).findings)}


@router.get("/runs/{run}/scores")
async def scores(here: Here, run: str) -> dict[str, Any]:
    """Its scores with their intervals."""
    return {"scores": find(here.runs, run).scores()}


@router.get("/leaderboard")
async def board(here: Here) -> dict[str, Any]:
    """The runs in order of their scores."""
    return await run_in_threadpool(leaderboard, here.runs)


def _told(here: Here, id: str) -> dict[str, Any]:
    return here.runs[id].description | {"is_ready": here.dispatcher.workshop.is_ready}
