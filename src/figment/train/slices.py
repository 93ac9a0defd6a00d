"""The slices of a step: a batch is computed in parts, on one rank or on many, and comes to the same.

Slice k is a function of (weights, state, seed, step, k) alone, so it does not matter which rank computes it, or when:
1 rank x 4 slices, 2 x 2 and 4 x 1 differ by nothing but the order in which floats are added up. Hence

- gradients are sums over slices, and then over ranks;
- every slice begins with the buffers as the phase has found them, and those of the first slice are kept. So running
  means, codebooks and counters learn from one slice, whatever else they do with it: k-means, revival of dead codes,
  power iteration. A batch norm sees a slice as its batch.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from figment.core import ranks
from figment.core.config import TrainConfig
from figment.core.engine import slice_of
from figment.core.errors import ConfigError
from figment.core.types import Batch


class Rows(Protocol):
    """A batch, or what becomes one where its rows are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Batch: ...


@dataclass(frozen=True)
class Slice:
    """A part of a step's batch; share: how much of it."""

    number: int
    share: float
    batch: Batch

    def map(self, change: Callable[[Batch], Batch]) -> Slice:
        """The slice with its batch changed."""
        return replace(self, batch=change(self.batch))


def slices_for(train: TrainConfig, before: int) -> int:
    """In how many slices a run computes its steps: as asked, in a multiple for the ranks that it begins on.

    before: what was found when it began, 0 for now; another number of slices would be another run.

    Raises ConfigError where the ranks cannot share them evenly.
    """
    count = ranks.count()
    slices = before or math.lcm(train.slices, count)
    if slices > train.batch_size:
        raise ConfigError(
            f"{count} ranks need {slices} slices, more than a batch of {train.batch_size} has pictures; "
            "start fewer ranks, or give a larger --train.batch-size"
        )
    if slices % count:
        fitting = [str(number) for number in range(1, slices + 1) if slices % number == 0]
        raise ConfigError(
            f"this run computes its steps in {slices} slices, which {count} ranks cannot share evenly; "
            f"start it on {' or '.join(fitting)}"
        )
    return slices


def own_slices(batch: Rows, slices: int) -> Iterator[Slice]:
    """The slices that this rank computes: as equal as possible, fewer where there are not enough images."""
    slices = min(slices, len(batch))
    numbers = range(slices)[ranks.share(slices)]
    for number in numbers:
        low, high = (len(batch) * edge // slices for edge in (number, number + 1))
        yield Slice(number, (high - low) / len(batch), batch[low:high])


class State:
    """The buffers of an objective in the course of one phase."""

    def __init__(self, objective: nn.Module):
        self.objective = objective
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []

    @contextlib.contextmanager
    def of(self, part: Slice) -> Iterator[None]:
        """Inside, the buffers are what they were before the phase's first slice."""
        if part.share == 1:
            yield
            return
        if self.before:
            _write(self._buffers(), self.before)
        else:
            self.before = [buffer.clone() for buffer in self._buffers()]
        with slice_of(part.share):
            yield
        if part.number == 0:
            self.after = [buffer.clone() for buffer in self._buffers()]

    def settle(self) -> None:
        """Leave the buffers as the first slice has made them, on every rank."""
        if self.after:
            _write(self._buffers(), self.after)
        if self.before:
            ranks.copy_first(self._buffers())

    def _buffers(self) -> list[Tensor]:
        """Those that a checkpoint holds; the others are constants."""
        held = self.objective.state_dict().keys()
        return [buffer for name, buffer in self.objective.named_buffers() if name in held]


@torch.no_grad()
def _write(buffers: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    for buffer, value in zip(buffers, values, strict=True):
        buffer.copy_(value)


def add_up(parameters: Sequence[nn.Parameter], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Make the parameters' gradients those of all ranks; returns the values of all ranks, added up.

    Gradients whose rows the ranks share are so already.

    A weight that no rank's loss depends on stays without a gradient: zeros would be momentum to an optimizer.
    """
    if not ranks.are_several():
        return dict(values)
    parameters = [parameter for parameter in parameters if not hasattr(parameter, "full_tensor")]
    sums = torch.stack(list(values.values()))
    used = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=sums.dtype, device=sums.device)
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    ranks.add_up([*gradients, sums, used])
    for parameter, gradient, is_used in zip(parameters, gradients, used.tolist(), strict=True):
        parameter.grad = gradient if is_used else None
    return dict(zip(values, sums.unbind(), strict=True))
