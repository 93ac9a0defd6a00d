"""The training loop: a generator that takes every phase of an objective, one step after the other.

It knows phases, slices, optimizers and averages; it knows no family. Logging, validation, sampling and saving are the
body of the caller's `for` loop.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from figment.core import ranks
from figment.core.config import TrainConfig
from figment.core.engine import Engine, seed_slice
from figment.core.errors import CheckpointError, NumericsError
from figment.core.objective import Objective
from figment.core.types import Phase
from figment.train.compiled import compile_nets, compiling
from figment.train.ema import Ema
from figment.train.gradients import Gradients, Whole, total
from figment.train.optimizers import load_moments, make_optimizer, moments, take_step
from figment.train.posthoc import WIDTHS, PowerEma, part_name
from figment.train.schedule import Plateau, lr_factor
from figment.train.shard import Sharded, kept_state, load
from figment.train.slices import Rows, Slice, State, add_up, own_slices


@dataclass(frozen=True)
class Report:
    """What one step did. `values`: "phase/term", "phase/gradient_norm" and the losses' stats, as floats."""

    step: int
    seen_images: int
    values: Mapping[str, float]
    lr: float
    seconds: float


class Trainer:
    """Trains `objective` for `steps` steps; `run` yields a report after each.

    What a step computes is a function of (weights and state, seed, step) alone: stop anywhere, load `state()` into a
    fresh trainer, go on, and the result is the same to the last bit.
    """

    def __init__(
        self,
        objective: Objective,
        config: TrainConfig,
        *,
        steps: int,
        seed: int = 0,
        engine: Engine = Engine(),
        gradients: Gradients = Whole(),
    ):
        self.objective, self.config, self.engine, self.gradients = objective, config, engine, gradients
        self.steps, self.seed, self.step, self.seen_images = steps, seed, 0, 0
        engine.place(objective)
        self.phases = objective.phases()
        self.plateau = Plateau()
        self.ema = Ema(objective.model, config.ema_half_life)
        widths = WIDTHS if config.ema_snapshots else ()
        self.power_averages = {part_name(width): PowerEma(objective.model, width) for width in widths}
        self._find_parameters()
        if config.compile:
            compile_nets(objective)

    def _find_parameters(self) -> None:
        self.parameters = {phase.updates: _parameters(self.objective, phase.updates) for phase in self.phases}
        self.optimizers = {
            phase.updates: make_optimizer(
                self.parameters[phase.updates], self.config, phase.optimizer, self.engine.device
            )
            for phase in reversed(self.phases)  # where phases share an optimizer, the first one's settings hold
        }

    @property
    def model(self) -> nn.Module:
        """The model to use: averaged, unless averaging is off."""
        return self.ema.model if self.config.ema_half_life else self.objective.model

    def run(self, batch_at: Callable[[int], Rows]) -> Iterator[Report]:
        """Train from the current step to the last; `batch_at(step)` gives the batch of a step, whole on every rank."""
        if self.config.shard and ranks.are_several() and not isinstance(self.gradients, Sharded):
            self._shard()
        while self.step < self.steps:
            started = time.perf_counter()
            batch = batch_at(self.step)
            parts = [part.map(self.engine.put) for part in own_slices(batch, self.config.slices)]
            factor = lr_factor(self.config, self.step, self.steps) * self.plateau.state["factor"]
            self.objective.train()
            values: dict[str, float] = {}
            for index, phase in enumerate(self.phases):
                if self.step % phase.every == 0:
                    values |= self._take(phase, index, parts, factor)
            self.step += 1
            images = self.gradients.count(batch)
            self.seen_images += images
            self.ema.update(self.objective.model, self.seen_images, images)
            for average in self.power_averages.values():
                average.update(self.objective.model, self.step)
            seconds = time.perf_counter() - started
            yield Report(self.step, self.seen_images, values, self.config.lr * factor, seconds)

    def _shard(self) -> None:
        """Keep a part of everything from now on: only now, when weights and moments are what training begins with."""
        parts, facts = self.state()
        averages = (self.ema, *self.power_averages.values())
        self.gradients = Sharded(self.objective, [average.model for average in averages])
        self._find_parameters()
        self.load_state(self.step, parts, facts)

    def whole(self) -> contextlib.AbstractContextManager[None]:
        """Inside, all weights are whole, so that the model can be looked at."""
        return self.gradients.whole() if isinstance(self.gradients, Sharded) else contextlib.nullcontext()

    def _take(self, phase: Phase, index: int, parts: list[Slice], lr_factor: float) -> dict[str, float]:
        """One phase: gradients of every slice, of all ranks, summed, then one optimizer step."""
        parameters, optimizer = self.parameters[phase.updates], self.optimizers[phase.updates]
        self.objective.requires_grad_(False)
        for parameter in parameters:
            parameter.requires_grad_(True)
        optimizer.zero_grad(set_to_none=True)
        sums: dict[str, Tensor] = {}
        stats: Mapping[str, Tensor] = {}
        state = State(self.objective)
        for part in parts:
            seed_slice(self.seed, self.step * len(self.phases) + index, part.number)
            with state.of(part), compiling(self.config):
                loss = self.gradients.add(phase, part, self.engine)
            stats = loss.stats
            for name, value in {**loss.terms, "loss": total(loss), **loss.stats}.items():
                sums[name] = sums.get(name, 0) + value.detach().float() * part.share
        state.settle()
        sums = add_up(parameters, sums)
        self.gradients.settle(parameters, self.step)
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        norm = ranks.full(nn.utils.get_total_norm(gradients))
        sums["gradient_norm"] = norm
        values = {f"{phase.name}/{name}": float(value) for name, value in sums.items()}
        self._refuse_nonfinite({name: value for name, value in values.items() if name.partition("/")[2] not in stats})
        take_step(optimizer, self.config, float(norm), lr_factor)
        return values

    def _refuse_nonfinite(self, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            if not abs(value) < float("inf"):
                raise NumericsError(
                    f"step {self.step}: {name} became {value}; the last checkpoint is kept. "
                    f"Try a lower --train.lr (now {self.config.lr:g}), --train.clip-norm 1, "
                    f"or --train.precision float32"
                )

    def state(self) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
        """All that later steps depend on: (parts of tensors by name, JSON facts). The inverse is `load_state`.

        All ranks ask for it together; of weights that they share only the first one has the tensors.
        """
        parts = {
            "objective": kept_state(self.objective),
            "average": kept_state(self.ema.model),
            "optimizers": moments(self.optimizers.values()),
            **self.averages(),
        }
        return parts, {"seen_images": self.seen_images, "plateau": self.plateau.state}

    def averages(self) -> dict[str, dict[str, Tensor]]:
        """What a snapshot holds: the power-function averages by name; empty where none were asked for."""
        return {name: kept_state(average.model) for name, average in self.power_averages.items()}

    def load_state(self, step: int, parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, Any]) -> None:
        """Go on from `state()` as it was after `step` steps.

        Raises CheckpointError where the tensors do not fit the objective.
        """
        try:
            load(self.objective, parts["objective"])
            load(self.ema.model, parts["average"])
            for name, average in self.power_averages.items():
                load(average.model, parts[name])
        except RuntimeError as error:
            raise CheckpointError(f"the checkpoint of step {step} does not fit this family: {error}") from None
        load_moments(self.optimizers.values(), parts["optimizers"])
        self.step, self.seen_images = step, int(facts["seen_images"])
        self.plateau.state = dict(facts["plateau"])


def _parameters(objective: Objective, updates: tuple[str, ...]) -> list[nn.Parameter]:
    """The weights of some submodules that may move, each once, in a fixed order."""
    frozen = {id(p) for part in objective.modules() if getattr(part, "frozen", False) for p in part.parameters()}
    found = {id(p): p for name in updates for p in objective.get_submodule(name).parameters() if id(p) not in frozen}
    return list(found.values())
