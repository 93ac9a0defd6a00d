"""The one base class of the project: what you train with. What you ship is its `.model`."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar, runtime_checkable

from torch import nn

from figment.core.types import Batch, Loss, Phase

M = TypeVar("M", bound=nn.Module)


@runtime_checkable
class Begins(Protocol):
    """A part of a model whose first weights lie elsewhere."""

    def begin(self) -> None:
        """Read them; called once, when a run starts from nothing."""
        ...


class Objective(nn.Module, Generic[M]):
    """A model together with all that is needed to train it: critics, teachers, statistics.

    Only `.model` is averaged, shipped, sampled and served. A family with one loss overrides `loss`; an adversarial one
    overrides `phases`. Whatever a later step depends on (averages, strengths, codebooks) must be a parameter or a
    buffer, changed in place, because those are what a checkpoint holds. A loss may see a slice of the step's batch:
    `core.engine.whole_batch` says how many images all slices have together. A part with `frozen = True` is never
    trained, whatever a phase updates; one with `compiles = True` may be run through torch.compile.
    """

    model: M

    def __init__(self, model: M):
        super().__init__()
        self.model = model

    def loss(self, batch: Batch) -> Loss:
        """Terms to minimise on `batch`; noise is drawn from torch's generator, which the trainer seeds every slice."""
        raise NotImplementedError

    def begin(self) -> None:
        """Called once, when a run starts from nothing: the place to read the weights of another run.

        A run that goes on, or a model that is loaded, has them already.
        """
        for part in self.model.modules():
            if isinstance(part, Begins):
                part.begin()

    def stages(self) -> tuple[int, ...]:
        """Images seen when a step begins to cost more than before, 0 first: several for families that grow."""
        return (0,)

    def skip_to(self, images: int) -> None:
        """Called on one that is thrown away, before its steps are timed: be as after so many images."""

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("main", updates=("model",), loss=self.loss),)

    @property
    def has_validation(self) -> bool:
        """Whether `loss` may be measured on held-out pictures: true of families that do not play against a critic."""
        return type(self).loss is not Objective.loss
