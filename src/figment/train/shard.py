"""Weights in parts: of every weight, its moments and its averages each rank keeps some rows (FSDP2).

torch's fully_shard cuts the tensors. They are whole while a slice is computed, and while the model is looked at or
saved; gradients are summed and cut again as they come. The numbers are those of a run that is not sharded, but for the
order in which floats are added up, and so are the checkpoints.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from figment.core import ranks
from figment.core.engine import Engine
from figment.core.errors import ConfigError
from figment.core.objective import Objective
from figment.core.types import Batch, Loss, Phase
from figment.train.gradients import Whole, total
from figment.train.slices import Slice

FLAG = "--train.shard"


def refuse_phases(family: str, objective: Objective) -> None:
    """Raise ConfigError where an objective cannot be trained in parts.

    In every phase all is made whole that a loss may look at: with two players that is no saving any more.
    """
    phases = len(objective.phases())
    if phases > 1:
        raise ConfigError(
            f"{FLAG}: a '{family}' trains in {phases} phases; only a family with a single one, such as flow, can be "
            "sharded: leave it out"
        )
    for name, parameter in objective.named_parameters():
        if parameter.ndim == 0:
            raise ConfigError(f"{FLAG}: '{name}' of a '{family}' is a single number, which has no rows; leave it out")


class Sharded(Whole):
    """The gradient of the mean loss, of an objective and averages of its model that are cut from now on."""

    def __init__(self, objective: Objective, averages: Sequence[nn.Module]):
        self.called = _cut(_Called(objective))
        self.cut = [self.called, *map(_cut, averages)]
        # Shares of slices are weights already: gradients are added up, not averaged. A weight that only some ranks use
        # moves on all.
        self.called.set_gradient_divide_factor(1.0)
        self.called.set_force_sum_reduction_for_comms(True)  # gloo knows no other
        self.called.set_reduce_scatter_unused_params(True)

    def add(self, phase: Phase, part: Slice, engine: Engine) -> Loss:
        with engine.arithmetic():
            loss = Loss(*self.called(phase, part.batch))
        (total(loss) * (part.share * phase.gain)).backward()
        return loss

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Inside, weights and averages are whole on every rank, to be looked at."""
        for module in self.cut:
            module.unshard()
        try:
            yield
        finally:
            for module in self.cut:
                module.reshard()


def kept_state(module: nn.Module) -> dict[str, Tensor]:
    """A module's tensors for the first rank, which writes them, whole; all ranks ask for them together."""
    return {name: ranks.kept(tensor) for name, tensor in module.state_dict().items()}


def load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a module, be it cut or not, the tensors that `kept_state` made.

    Raises RuntimeError where they do not fit.
    """
    own = module.state_dict()
    module.load_state_dict({name: ranks.cut_like(tensor, own.get(name, tensor)) for name, tensor in tensors.items()})


class _Called(nn.Module):
    """A loss as the forward of a module, with tensors in its answer where the hooks of fully_shard look for them."""

    def __init__(self, objective: Objective):
        super().__init__()
        self.objective = objective

    def forward(self, phase: Phase, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        loss = phase.loss(batch)
        return dict(loss.terms), dict(loss.stats)


def _cut(module: nn.Module) -> Any:
    """The module, of whose parameters each rank keeps some rows: as one group, made whole at once."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    for parameter in module.parameters():
        parameter.data = parameter.data.contiguous()  # channels_last has no rows to cut
    device = next(module.parameters()).device.type
    return fully_shard(module, mesh=init_device_mesh(device, (ranks.count(),)))
