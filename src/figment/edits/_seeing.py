"""What a judge sees of a picture: the activations of each of its stages, from edges to whole shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from figment.core import plugins
from figment.core.errors import CapabilityError, ConfigError

Look = Callable[[Tensor], list[Tensor]]


def eyes_of(run: str, channels: int) -> Look:
    """The function that gives a judge's activations of pictures (B, C, H, W): (B, D, h, w) of each stage.

    Raises CapabilityError or ConfigError where the run has none, or sees pictures of other channels.
    """
    judge = plugins.load("features", "judge")
    extractor = judge.load(judge.Config(run), None)
    trunk: Any = getattr(extractor.model, "trunk", None)
    if not hasattr(trunk, "stages_of"):
        raise CapabilityError(
            f"--edit.judge {run}: a '{extractor.family}' shows no stages; give a classifier or contrastive run"
        )
    if extractor.spec and extractor.spec.channels != channels:
        raise ConfigError(
            f"--edit.judge {run}: sees pictures of {extractor.spec.channels} channels, these have {channels}; "
            "give a judge that was trained on such pictures"
        )
    return trunk.stages_of


def unlikeness(seen: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """How far apart two sets of pictures look, from 0 on: (B,).

    The squared distance of each stage, as a share of the wanted picture's own, averaged over stages.
    """
    shares = [
        (mine - theirs).square().flatten(1).mean(1) / theirs.square().flatten(1).mean(1).clamp_min(1e-8)
        for mine, theirs in zip(seen, wanted, strict=True)
    ]
    return sum(shares[1:], shares[0]) / len(shares)
