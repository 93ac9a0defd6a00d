"""Go on with a clip: its frames are given, as one file that moves or as pictures in order; the model adds the next."""

# ruff: noqa: N999  a word of Python's, but what a person types: plugins are loaded by name

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from figment.core.config import check_range
from figment.core.noise import noise
from figment.edits import Answer, Request
from figment.edits._resized import resized

NEEDS = (("Continues", "Generates"),)
INPUTS = ("images", "clip?")


@dataclass(frozen=True)
class Config:
    """How far."""

    frames: int = 8
    """Frames to add."""

    def __post_init__(self):
        check_range("edit.frames", self.frames, 1, 10_000)


@torch.no_grad()
def edit(model: Any, request: Request, config: Config) -> Answer:
    """The given frames at the model's size and those that follow, (N, T + frames, C, H, W)."""
    assert request.spec
    start = noise(request.seeds, model)
    given = torch.cat([resized(image, request.spec) for image in request.images])
    clips = given.expand(len(start), *given.shape)
    added = model.continue_from(clips, start, config.frames).clamp(-1, 1)
    request.progress(config.frames, config.frames)
    return Answer(torch.cat([clips, added], 1))
