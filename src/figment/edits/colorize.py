"""Colour a grey picture: colours that the model holds likely, and whose luma is the grey given.

It takes a model of RGB pictures; a picture that has colours already is made grey first. Zero-shot: any model that
denoises can do it (`_posterior`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from figment.core.errors import CapabilityError
from figment.edits import Answer, Request
from figment.edits._operators import Grey
from figment.edits._posterior import answered, restored

NEEDS = (("Denoises",),)
INPUTS = ("image",)
CHANNELS = 3


@dataclass(frozen=True)
class Config:
    """There is nothing to set."""


def edit(model: Any, request: Request, config: Config) -> Answer:
    """The picture in colours.

    Raises CapabilityError for a model of other pictures than RGB.
    """
    image, grey = request.images[0], Grey()
    if image.shape[1] != 3:
        raise CapabilityError(f"'colorize' needs a model of RGB pictures, this one's have {image.shape[1]} channels")
    return answered(restored(model, request, grey.forward(image), lambda *_: grey))
