"""Statistics that all ranks of a distributed run share; on one machine alone each is what it was."""

from __future__ import annotations

from torch import Tensor


def total(part: Tensor) -> Tensor:
    """The sum of every rank's `part`, which must have the same shape on all."""
    if not are_several():
        return part
    from torch import distributed

    summed = part.clone()
    distributed.all_reduce(summed)
    return summed


def from_first(value: Tensor) -> Tensor:
    """The first rank's `value`, on every rank."""
    if not are_several():
        return value
    from torch import distributed

    received = value.clone()
    distributed.broadcast(received, src=0)
    return received


def are_several() -> bool:
    """Whether there are other ranks at all."""
    from torch import distributed

    return distributed.is_available() and distributed.is_initialized()
