"""Models of the transformers library as eyes: read from a folder or the local hub cache, never run as foreign code."""

from __future__ import annotations

import hashlib
import importlib
from typing import Any

from torch import nn

from figment.core.errors import CheckpointError, MissingExtra


def pretrained(feature: str, kind: str, place: str, *, download: bool) -> nn.Module:
    """The model of class `kind` in `place`, a folder or a name on the hub, from safetensors, ready to look.

    Raises MissingExtra without transformers, CheckpointError where there is no such model or it may not be fetched.
    """
    try:
        transformers = importlib.import_module("transformers")
    except ModuleNotFoundError:
        raise MissingExtra(f"--features {feature}", "hub") from None
    try:
        model: Any = getattr(transformers, kind).from_pretrained(
            place, local_files_only=not download, trust_remote_code=False, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        said = str(error).partition("\n")[0].rstrip(".")
        more = "" if download else ", or have it fetched: --features.download"
        raise CheckpointError(f"{feature}: no model in '{place}' ({said}); give {feature}:FOLDER{more}") from None
    return model.float().eval().requires_grad_(False)


def digest_of(model: nn.Module) -> str:
    """SHA-256 of the names, shapes and values of all weights."""
    state = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        state.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        state.update(tensor.contiguous().view(-1).numpy().tobytes())
    return state.hexdigest()
