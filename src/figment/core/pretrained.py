"""Models of the transformers library: read from a folder or the hub, weights from safetensors, never foreign code."""

from __future__ import annotations

import hashlib
import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from safetensors import SafetensorError
from torch import nn

from figment.core.errors import CheckpointError, MissingExtra


def transformers_for(flag: str) -> Any:
    """The library.

    Raises MissingExtra, naming the flag that needs it, where it is not installed.
    """
    try:
        return importlib.import_module("transformers")
    except ModuleNotFoundError:
        raise MissingExtra(flag, "hub") from None


@contextmanager
def reading(flag: str, place: str, advice: str) -> Iterator[Any]:
    """The library, to read the model in `place` with, inside.

    Raises MissingExtra without it, CheckpointError, which ends with `advice`, where there is no such model or it may
    not be fetched.
    """
    transformers = transformers_for(flag)
    try:
        with silence(transformers):
            yield transformers
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        said = str(error).partition("\n")[0].rstrip(".")
        raise CheckpointError(f"{flag}: no model in '{place}' ({said}); {advice}") from None


@contextmanager
def silence(*libraries: Any) -> Iterator[None]:
    """No progress bars, no advice, no warnings of theirs: what is wrong becomes an error of ours."""
    logs = [library.utils.logging for library in libraries]
    before = [log.get_verbosity() for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, verbosity in zip(logs, before, strict=True):
            log.set_verbosity(verbosity)
            log.enable_progress_bar()


def digest_of(model: nn.Module) -> str:
    """SHA-256 of the names, shapes and values of all weights."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        state.update(tensor.contiguous().view(-1).numpy().tobytes())
    return state.hexdigest()
