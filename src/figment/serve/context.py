"""What all endpoints share, and how they come by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field

from figment.serve.counters import Counters
from figment.serve.datasets import ServedData
from figment.serve.dispatch import Dispatcher
from figment.serve.guard import Gate
from figment.serve.history import History
from figment.serve.runs import ServedRun
from figment.serve.workshop import Workshop

Seed = Annotated[int, Field(ge=0, le=2**53)]  # what JavaScript can count to
Name = Annotated[str, Field(max_length=200)]
Offset = Annotated[int, Field(ge=0, le=2**53)]


class Body(BaseModel):
    """A JSON body whose fields are known and of exactly their types."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


@dataclass
class Studio:
    """Runs and datasets by their ids, what was drawn, and who draws."""

    runs: Mapping[str, ServedRun]
    data: Mapping[str, ServedData]
    history: History
    gate: Gate
    counters: Counters = field(default_factory=Counters)
    dispatcher: Dispatcher = field(init=False)

    def __post_init__(self):
        self.dispatcher = Dispatcher(Workshop({run.id: run.path for run in self.runs.values()}), self.counters)


async def _studio(request: Request) -> Any:  # async: what is not goes through a pool of threads
    return request.app.state.studio


Here = Annotated[Studio, Depends(_studio)]
