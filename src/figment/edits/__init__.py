"""One file an edit: change a picture that is there, or walk among the pictures that a model can draw.

An edit is a module with

    NEEDS      alternatives of capabilities, of which a model must have one: (("Denoises",), ("Generates", "Encodes"));
               () where it needs no model at all
    INPUTS     what must be given, out of "image" (exactly one), "images" (two or more, in order), "mask", "style";
               a name that ends in "?" may be given; "clip?": the images may come as files that move
    CHANNELS   of the pictures that it is for, where it is for no others
    Config     its settings, a frozen dataclass
    edit(model, request, config) -> Answer

It is a function of its arguments: noise comes from the request's seeds, one answer each, and row i of the answer
depends on seed i alone. The command line and the studio offer an edit for exactly the runs that `fits` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from figment.core import plugins
from figment.core.errors import CapabilityError, ConfigError
from figment.core.types import Condition, ImageSpec, Progress, capabilities, silent


@dataclass(frozen=True)
class Request:
    """What is given to an edit.

    spec: of the model's pictures; None without a model.
    images: one (1, C, H, W) for each given picture, in [-1, 1], in the model's channels, at its own size, which need
        not be the model's.
    mask: (1, 1, H, W) at the first image's size, 1 where the picture is to be made new, 0 where it is known.
    style: (1, C, H', W').
    condition: what each answer is asked to show, a row a seed. seeds: one an answer.
    settings: the family's Sampling, or None for its defaults.
    progress: told of (done, total) units of work.
    """

    spec: ImageSpec | None
    images: tuple[Tensor, ...] = ()
    mask: Tensor | None = None
    style: Tensor | None = None
    condition: Condition | None = None
    seeds: tuple[int, ...] = (0,)
    settings: Any = None
    progress: Progress = silent


@dataclass(frozen=True)
class Answer:
    """What an edit gives.

    images: (N, C, H, W) in [-1, 1], or (N, T, C, H, W) where they move.
    extras: further pictures worth a look, by name, such as "disagreement" of the answers, each (M, C, H, W) in [-1, 1].
    figures: numbers worth telling, by name with its unit, such as "bits_per_pixel".
    file: bytes of a file of its own, for an edit that writes one; `suffix` is that file's, such as ".mp4".
    place: where in them the given picture lies: top, left, height, width in pixels; None where it fills them.
    """

    images: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)
    file: bytes | None = None
    suffix: str = ""
    place: tuple[int, int, int, int] | None = None


def needs(edit: str) -> tuple[tuple[str, ...], ...]:
    """The alternatives of capabilities that an edit asks a model for, read without importing it."""
    return plugins.constant("edits", edit, "NEEDS", ())  # type: ignore[return-value]


def inputs(edit: str) -> tuple[str, ...]:
    """What an edit must be given, and what it may ("mask?"), read without importing it."""
    return plugins.constant("edits", edit, "INPUTS", ())  # type: ignore[return-value]


def fits(edit: str, model: object, spec: ImageSpec | None = None) -> bool:
    """Whether a model can do an edit. spec: of what it draws; clips are for those edits alone that ask for them."""
    has = set(capabilities(model))
    if not needs(edit):
        return True
    return any(has.issuperset(alternative) for alternative in needs(edit)) and (spec is None or _suits(edit, spec))


def _suits(edit: str, spec: ImageSpec) -> bool:
    return (spec.frames == 1 or _takes_clips(edit)) and _channels(edit) in (None, spec.channels)


def _channels(edit: str) -> int | None:
    return plugins.constant("edits", edit, "CHANNELS", None)  # type: ignore[return-value]


def _takes_clips(edit: str) -> bool:
    return any("Continues" in alternative for alternative in needs(edit))


def require(edit: str, model: object, request: Request) -> None:
    """Raise where a model cannot do an edit (CapabilityError), or where an input is missing or idle (ConfigError)."""
    if not fits(edit, model):
        asked = " or ".join(" and ".join(alternative) for alternative in needs(edit))
        raise CapabilityError(f"'{edit}' needs a model that {asked}; 'figment list families' shows what there is")
    if request.spec and _channels(edit) not in (None, request.spec.channels):
        raise CapabilityError(
            f"'{edit}' is for pictures of {_channels(edit)} channels, this run draws {request.spec}; give another run"
        )
    if not fits(edit, model, request.spec):
        raise CapabilityError(
            f"'{edit}' is for single pictures, this run draws {request.spec}; "
            "'figment edit continue' goes on with a clip"
        )
    wanted = inputs(edit)
    given = {"mask": request.mask is not None, "style": request.style is not None}
    for name, is_given in given.items():
        if name in wanted and not is_given:
            raise ConfigError(f"'{edit}' needs a {name}: give --{name} FILE")
        if is_given and name not in wanted and f"{name}?" not in wanted:
            raise ConfigError(f"--{name}: '{edit}' takes none; leave it out")
    _require_images(edit, wanted, len(request.images))


def _require_images(edit: str, wanted: tuple[str, ...], count: int) -> None:
    if "image" in wanted and count != 1:
        raise ConfigError(f"'{edit}' takes one picture at a time, {count} were given; give an image file")
    if "images" in wanted and count < 2:
        moving = ", or a GIF" if "clip?" in wanted else ""
        raise ConfigError(f"'{edit}' goes from picture to picture, {count} were given; give two or more{moving}")
    if count and not any(name.startswith("image") for name in wanted):
        raise ConfigError(f"'{edit}' takes no picture, {count} were given; leave them out")
