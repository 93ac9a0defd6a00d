"""figment: from a pile of pictures to a trained, measured, served image generator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from figment.version import VERSION

__all__ = ["from_pretrained", "load", "save_pretrained"]

__version__ = VERSION


def load(path: str | Path) -> Any:
    """The trained model in `path` (a run folder, its `model/`, or diffusers:FOLDER), in evaluation mode.

    >>> from figment.core.noise import noise
    >>> model = figment.load("runs/digits")                       # doctest: +SKIP
    >>> images = model.generate(noise([0, 1], model))     # doctest: +SKIP
    """
    from figment.core.checkpoint import load_model

    return load_model(Path(path)).model


def from_pretrained(name: str | Path) -> Any:
    """The trained model in a folder, or under that name on the Hugging Face hub, from where its `model/` is fetched.

    >>> model = figment.from_pretrained("someone/digits")         # doctest: +SKIP
    """
    if Path(name).exists() or ":" in str(name):  # which no name on the hub has
        return load(name)
    from figment.core.errors import CheckpointError, MissingExtra

    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError:
        raise MissingExtra(f"from_pretrained('{name}')", "hub") from None
    try:
        return load(snapshot_download(str(name), allow_patterns=["model/*"]))
    except (OSError, ValueError) as error:
        said = str(error).partition("\n")[0]
        raise CheckpointError(f"{name}: is no folder here, and the hub does not give it ({said})") from None


def save_pretrained(run: str | Path, folder: str | Path) -> None:
    """Copy the shippable half of a run to `folder`, where `from_pretrained` finds it.

    Raises CheckpointError where the run has no whole model.
    """
    import shutil

    from figment.core.checkpoint import load_model, shippable

    load_model(Path(run))
    shutil.copytree(shippable(Path(run)), Path(folder) / "model", dirs_exist_ok=True)
