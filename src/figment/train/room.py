"""Room for a step: where memory is too short for it, it is computed in more slices, one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import torch

from figment.core import ranks
from figment.core.errors import ConfigError, is_out_of_memory
from figment.train.run import RunConfig

T = TypeVar("T")


def in_more_slices(run: RunConfig, error: Exception) -> RunConfig:
    """The run in twice as many slices, where the error says that memory is too short for its first step.

    Raises ConfigError where not even one picture at a time fits, and the error itself where it says something else, or
    where other ranks would have to step down too.
    """
    if not is_out_of_memory(error) or ranks.are_several():
        raise error
    if 2 * run.slices > run.train.batch_size:
        raise ConfigError("memory is too short for one picture at a time; give a smaller --scale") from None
    return replace(run, slices=2 * run.slices)


def fitted(run: RunConfig, measure: Callable[[RunConfig], T]) -> tuple[RunConfig, T]:
    """The run in as few slices as memory allows, and what measure(run) makes of it.

    Raises what `in_more_slices` raises.
    """
    while True:
        try:
            return run, measure(run)
        except Exception as error:
            run = in_more_slices(run, error)
        torch.cuda.empty_cache()  # here, where the error no longer holds what was computed
