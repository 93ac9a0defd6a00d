"""The ranks of a run: the processes that torchrun, Slurm or Kubernetes has started for one and the same command.

A process by itself is the first of one rank: everything here then costs nothing and changes nothing. The ranks take
the same path through the program and meet in these functions, so what the path depends on must be the same on all:
where it is measured or read, the first rank decides.
"""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from figment.core.errors import ConfigError, FigmentError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

PATIENCE = timedelta(hours=2)  # the longest that ranks wait for one that is alive, such as the first one at its judge
BUCKET = 25_000_000  # numbers that travel at once: fewer messages than tensors, and no second copy of them all

_alone = False
_store: Any = None  # where the ranks meet


class RankLost(FigmentError):
    """Another rank has ended before its time; it, or torchrun, has said why."""

    def __init__(self):
        super().__init__("another process of this run has ended; what is saved is kept, the same command goes on")


def rank() -> int:
    """The number of this rank, from 0."""
    from torch import distributed

    return distributed.get_rank() if are_several() else 0


def count() -> int:
    """How many ranks there are."""
    from torch import distributed

    return distributed.get_world_size() if are_several() else 1


def is_first() -> bool:
    """Whether this rank is the one that decides, writes and speaks."""
    return rank() == 0


def are_several() -> bool:
    """Whether there are other ranks to meet."""
    from torch import distributed

    return not _alone and distributed.is_available() and distributed.is_initialized()


def are_announced() -> bool:
    """Whether whoever started this process has said that there are others; known without torch."""
    return "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def is_restart() -> bool:
    """Whether torchrun has started this process once more, because one of the ranks had ended."""
    return os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") != "0"


def share(length: int) -> slice:
    """This rank's part of so many things: all ranks' parts, in order, are all of them."""
    return slice(length * rank() // count(), length * (rank() + 1) // count())


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Together with the other ranks inside, where there are any; threads and devices are divided among neighbours."""
    if not are_announced():
        yield
        return
    if "MASTER_ADDR" not in os.environ:
        raise ConfigError("RANK and WORLD_SIZE are set, MASTER_ADDR is not: start the command with torchrun")
    import torch
    from torch import distributed
    from torch.distributed.rendezvous import rendezvous

    local, neighbours = (int(os.environ.get(name, one)) for name, one in (("LOCAL_RANK", 0), ("LOCAL_WORLD_SIZE", 1)))
    if os.environ.get("OMP_NUM_THREADS", "1") == "1":  # torchrun's own choice, where nobody has made another
        torch.set_num_threads(max(1, _cores() // neighbours))
    if torch.cuda.is_available():
        torch.cuda.set_device(local)
    global _store  # noqa: PLW0603
    with _talking():
        store, place, number = next(rendezvous("env://", timeout=PATIENCE))
        _store = _of_this_life(store, place, number)
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=_store, rank=place, world_size=number, timeout=PATIENCE)
    try:
        yield
        with _talking():
            distributed.barrier()  # outside torchrun the first rank is where all meet: it leaves last
    finally:
        distributed.destroy_process_group()


def speaks_first() -> bool:
    """Whether this rank is the first of all to ask this: of what goes wrong on all of them, one is to tell."""
    if not are_several():
        return True
    try:
        is_mine = _store.add("spoken", 1) == 1
        soon = time.monotonic() + 1
        while is_first() and _store.add("spoken", 0) < count() and time.monotonic() < soon:
            time.sleep(0.01)  # outside torchrun this rank keeps the store, and the others may be about to ask
        return is_mine
    except RuntimeError:  # the store has gone with the rank that kept it
        return is_first()


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Work that this rank does by itself: inside, there are no others."""
    global _alone  # noqa: PLW0603  a process has one place among the ranks
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def decided(make: Callable[[], T]) -> T:
    """What the first rank makes by itself, on every rank. Where it fails, the others raise RankLost."""
    if not are_several():
        return make()
    from torch import distributed

    box: list[Any] = [False, None]
    try:
        if is_first():
            with alone():
                box = [True, make()]
    finally:
        with _talking():
            distributed.broadcast_object_list(box, src=0)
    if not box[0]:
        raise RankLost
    return box[1]


def after_first(make: Callable[[], T]) -> T:
    """What every rank makes by itself, the first one first: what it leaves on the disk is not made twice."""
    made: list[T] = []
    decided(lambda: made.append(make()))
    if not made:
        with alone():
            made.append(make())
    return made[0]


def gathered(things: Sequence[T]) -> list[T]:
    """The things of all ranks, in the order of the ranks, on every rank."""
    if not are_several():
        return list(things)
    from torch import distributed

    parts: list[Any] = [None] * count()
    with _talking():
        distributed.all_gather_object(parts, list(things))
    return [thing for part in parts for thing in part]


def is_any(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    import torch

    return bool(total(torch.tensor(float(flag))))


def total(part: Tensor) -> Tensor:
    """The sum of every rank's `part`, which must have the same shape on all."""
    if not are_several():
        return part
    summed = part.clone()
    add_up([summed])
    return summed


def own(tensor: Tensor) -> Tensor:
    """This rank's rows of a tensor whose rows the ranks share; any other as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # type: ignore[operator]


def full(tensor: Tensor) -> Tensor:
    """All of a tensor whose rows the ranks share, on every rank; any other as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # type: ignore[operator]


def kept(tensor: Tensor) -> Tensor:
    """The same on the first rank, which writes, and in its processor's memory; the others get an empty one."""
    if not hasattr(tensor, "full_tensor"):
        return tensor
    return full(tensor).cpu() if is_first() else full(tensor).new_empty(0)


def cut_like(tensor: Tensor, other: Tensor) -> Tensor:
    """This rank's rows of a tensor where those of `other` are shared; any other as it is."""
    if not hasattr(other, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = other.device_mesh, other.placements  # type: ignore[attr-defined]
    return distribute_tensor(tensor.to(other.device), mesh, placements, src_data_rank=None)


def add_up(tensors: Sequence[Tensor]) -> None:
    """Replace tensors, of the same kinds and shapes on all ranks, by their sums over the ranks."""
    from torch import distributed

    _exchange(tensors, distributed.all_reduce)


def copy_first(tensors: Sequence[Tensor]) -> None:
    """Replace tensors, of the same kinds and shapes on all ranks, by those of the first rank."""
    from torch import distributed

    _exchange(tensors, lambda flat: distributed.broadcast(flat, src=0))


def _exchange(tensors: Sequence[Tensor], meet: Callable[[Tensor], Any]) -> None:
    """Let all ranks meet in flat copies of the tensors, many at a time, and take back what comes of it."""
    import torch

    if not are_several():
        return
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in bucket])
        with _talking():
            meet(flat)
        for tensor, part in zip(bucket, flat.split([tensor.numel() for tensor in bucket]), strict=True):
            tensor.detach().copy_(part.view(tensor.shape))


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """The tensors in groups of one kind and device, each of about BUCKET numbers."""
    kinds = dict.fromkeys((tensor.dtype, tensor.device) for tensor in tensors)
    for kind in kinds:
        bucket: list[Tensor] = []
        for tensor in tensors:
            if (tensor.dtype, tensor.device) == kind:
                bucket.append(tensor)
                if sum(one.numel() for one in bucket) >= BUCKET:
                    yield bucket
                    bucket = []
        if bucket:
            yield bucket


def _of_this_life(store: Any, place: int, number: int) -> Any:
    """The store without what ranks have written that are dead: torchrun keeps one for all lives of a run.

    The first rank names this life. Each other one answers with a name of its own, and goes on when that was heard.
    """
    from torch import distributed

    name = uuid.uuid4().hex
    if place == 0:
        store.set("life", name)
        for other in range(1, number):
            while not (answer := store.get(f"answer/{other}").decode()).startswith(name):
                time.sleep(0.01)
            store.set(f"heard/{answer}", "")
        return distributed.PrefixStore(name, store)
    while True:
        life = store.get("life").decode()
        store.set(f"answer/{place}", f"{life}-{name}")
        time.sleep(0.01)
        if store.check([f"heard/{life}-{name}"]):
            return distributed.PrefixStore(life, store)


@contextlib.contextmanager
def _talking() -> Iterator[None]:
    """Raise RankLost where the others cannot be reached."""
    try:
        yield
    except RuntimeError as error:
        raise RankLost from error


def _cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
