"""How the loss of a slice becomes gradients: of the whole slice at once, unless a run asks for something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from figment.core.engine import Engine
from figment.core.types import Loss, Phase
from figment.train.slices import Rows, Slice


class Gradients(Protocol):
    """What a trainer asks for in every phase of a step: `add` for each slice, then once `settle`."""

    def add(self, phase: Phase, part: Slice, engine: Engine) -> Loss:
        """Add the slice's share of the step's gradient to that of the parameters which require one."""
        ...

    def settle(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Finish the step's gradient, which by now is the sum over the slices of all ranks."""
        ...

    def count(self, batch: Rows) -> int:
        """Images that a step counts as seen."""
        ...


class Whole:
    """The gradient of the mean loss."""

    def add(self, phase: Phase, part: Slice, engine: Engine) -> Loss:
        with engine.arithmetic():
            loss = phase.loss(part.batch)
        (total(loss) * (part.share * phase.gain)).backward()
        return loss

    def settle(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        pass

    def count(self, batch: Rows) -> int:
        return len(batch)


def total(loss: Loss) -> Tensor:
    """What training minimises: the sum of a loss's terms, ()."""
    return torch.stack([term.float() for term in loss.terms.values()]).sum()
