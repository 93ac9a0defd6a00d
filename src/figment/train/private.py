"""Differentially private gradients: DP-SGD, with noise that nobody outside the run can know.

    g = 1/B (sum_i g_i min(1, C / |g_i|) + N(0, sigma^2 C^2 I))          (Abadi et al. 2016, algorithm 1)

The sum goes over a Poisson sample: each picture is in it with the chance B / N, by a coin of its own. g_i is the
gradient of picture i alone, so a loss cannot mix pictures even if it wants to; whatever would remember one in a buffer
is refused by torch.func itself.

Coins and noise come from a secret of the run, drawn from the system when it begins and never from --seed: who knows
the seed could take the noise away again. A resumed run draws the same from it, to the last bit.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from figment.core import ranks
from figment.core.config import TrainConfig
from figment.core.engine import Engine, slice_of
from figment.core.errors import ConfigError, is_out_of_memory
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, Loss, Phase
from figment.data.batches import Batches
from figment.train.accountant import noise_multiplier
from figment.train.gradients import total
from figment.train.run import SECRET, RunConfig
from figment.train.slices import Rows, Slice

FLAG = "--train.privacy.epsilon"


class Private:
    """Gradients of single pictures, clipped, summed and noised.

    noise: standard deviation, in clipping norms. secret: what the noise is drawn from.

    Raises ConfigError where a gradient of one picture alone is not what the objective trains by.
    """

    def __init__(self, objective: Objective, train: TrainConfig, noise: float, secret: bytes):
        phase, *others = objective.phases()
        if others:
            raise ConfigError(
                f"{FLAG}: this family trains in {1 + len(others)} phases, against a critic; give one with a single "
                "phase, such as flow"
            )
        assert phase.every == 1
        for name, module in objective.named_modules():
            if isinstance(module, _BatchNorm):
                raise ConfigError(
                    f"{FLAG}: '{name}' is a batch norm, which mixes pictures; give --family.norm group where the "
                    "family has it, or another family"
                )
        self.called, self.noise, self.secret = _Called(objective, phase), noise, secret
        self.clip, self.batch_size = train.privacy.clip, train.batch_size

    def add(self, phase: Phase, part: Slice, engine: Engine) -> Loss:
        """The sum of the slice's clipped gradients, over the mean size of a batch; logs the share that was clipped.

        Raises ConfigError where the loss cannot be taken of one picture at a time.
        """
        each, terms, stats = self._single(part.batch, replace(engine, attention="math"))  # others take one by one
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in each.values()]).norm(dim=0)
        keep = (self.clip / norms.clamp_min(1e-30)).clamp_max(1) / self.batch_size
        for name, gradients in each.items():
            parameter, share = self.called.get_parameter(name), torch.tensordot(keep, gradients, 1)
            parameter.grad = share if parameter.grad is None else parameter.grad + share
        clipped = (norms > self.clip).float().mean()
        return Loss(_means(terms), _means(stats) | {"clipped": clipped})

    def _single(self, batch: Batch, engine: Engine) -> tuple[_Tensors, _Tensors, _Tensors]:
        """Gradients, terms and stats of every picture by itself, with B in front of each."""
        weights = {name: one.detach() for name, one in self.called.named_parameters() if one.requires_grad}
        buffers = dict(self.called.named_buffers())

        def loss_of(weights: _Tensors, buffers: _Tensors, picture: _Tensors) -> tuple[Tensor, tuple]:
            after = {name: one.clone() for name, one in buffers.items()}
            with engine.arithmetic(), slice_of(1 / self.batch_size):
                loss = functional_call(self.called, weights | after, (_batch(picture),))
            return total(loss), (dict(loss.terms), dict(loss.stats), after)

        # A buffer that comes out without B is the same whatever the picture, such as a count; any other is refused.
        out_dims: Any = (0, (0, 0, None))  # which vmap takes, and its annotation does not
        of_each = vmap(grad(loss_of, has_aux=True), (None, None, 0), out_dims, randomness="different")
        try:
            each, (terms, stats, after) = of_each(weights, buffers, _tensors(batch))
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            raise ConfigError(
                f"{FLAG}: with these settings the loss cannot be taken of one picture at a time, or keeps statistics "
                "of them; docs/privacy.md lists the families that can"
            ) from error
        for name, buffer in buffers.items():
            buffer.copy_(after[name])
        return each, terms, stats

    def settle(self, parameters: Sequence[nn.Parameter], step: int) -> None:
        """Add the step's noise, also where no picture was drawn."""
        deviation = self.noise * self.clip / self.batch_size
        for index, parameter in enumerate(parameters):
            fresh = normal(self.secret, step, index, parameter.shape).mul_(deviation).to(parameter)
            parameter.grad = fresh if parameter.grad is None else parameter.grad + fresh

    def count(self, batch: Rows) -> int:
        """The mean size of a batch: the real ones would tell of the coins."""
        return self.batch_size


_Tensors = dict[str, Tensor]


class _Called(nn.Module):
    """A phase's loss as a module's forward, which `functional_call` needs."""

    def __init__(self, objective: Objective, phase: Phase):
        super().__init__()
        self.objective, self.phase = objective, phase

    def forward(self, batch: Batch) -> Loss:
        return self.phase.loss(batch)


def _means(values: _Tensors) -> _Tensors:
    return {name: value.float().mean() for name, value in values.items()}


def _tensors(batch: Batch) -> _Tensors:
    """A batch as what vmap can walk through."""
    return {"images": batch.images, **{name: part for name, part in vars(batch.condition).items() if part is not None}}


def _batch(picture: _Tensors) -> Batch:
    """One picture, without B, as a batch of one."""
    condition = {name: part for name, part in picture.items() if name != "images"}
    return Batch(picture["images"], Condition(**condition)).map(lambda part: part[None])


class PoissonBatches:
    """Batches for which each picture of a split is chosen, or not, by a coin of its own: their sizes vary."""

    def __init__(self, batches: Batches, secret: bytes):
        self.batches, self.secret, self.rate = batches, secret, batches.batch_size / len(batches)

    def at(self, step: int) -> Rows:
        """The batch of a training step."""
        return _Drawn(self.batches, step, chosen(self.secret, step, len(self.batches), self.rate))


@dataclass(frozen=True)
class _Drawn:
    batches: Batches
    step: int
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> Batch:
        rows = self.rows[part]
        return self.batches.shown(np.full_like(rows, self.step), rows)  # a picture is seen at most once a step


def chosen(secret: bytes, step: int, count: int, rate: float) -> np.ndarray:
    """Which of `count` pictures are in a step's batch: their rows, in order."""
    return np.flatnonzero(_uniform(secret, f"coins {step}", count) < rate)


def normal(secret: bytes, step: int, index: int, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers of this shape, float64, for one tensor of one step."""
    uniform = _uniform(secret, f"noise {step} {index}", int(np.prod(shape, dtype=np.int64)))
    return torch.special.ndtri(torch.from_numpy(uniform)).view(tuple(shape))


def _uniform(secret: bytes, place: str, count: int) -> np.ndarray:
    """float64 in (0, 1), (count,): as hard to foretell without the secret as SHAKE-256 is to break."""
    stream = hashlib.shake_256(secret + place.encode()).digest(8 * count)
    return ((np.frombuffer(stream, "<u8") >> np.uint64(12)) + 0.5) / 2**52


def with_noise(run: RunConfig, objective: Objective, batches: Batches) -> RunConfig:
    """The run with the noise that its epsilon demands.

    objective: one to try the gradients of single pictures on.

    Raises ConfigError where the run could not be private.
    """
    train = run.train
    if ranks.are_several():
        raise ConfigError(f"{FLAG}: a private run is computed by one process; start it without torchrun")
    if train.score_every:
        raise ConfigError(f"{FLAG}: the judge of --train.score-every has seen the pictures openly; leave that out")
    if not run.steps:
        raise ConfigError(
            f"{FLAG}: the noise that it takes depends on the number of steps; give --steps, not --minutes"
        )
    if train.batch_size > len(batches):
        raise ConfigError(
            f"{FLAG}: a batch of {train.batch_size} is more than the {len(batches)} training pictures; "
            "give a smaller --train.batch-size"
        )
    if train.privacy.delta >= 1 / len(batches):
        raise ConfigError(
            f"--train.privacy.delta {train.privacy.delta:g}: would allow giving away a picture as it is; "
            f"give less than {1 / len(batches):.1g}, one over the number of training pictures"
        )
    first = Slice(0, 1.0, batches.take(np.arange(min(2, len(batches)))))
    objective.train()
    Private(objective, train, 0.0, b"").add(objective.phases()[0], first, Engine())
    noise = noise_multiplier(train.privacy.epsilon, train.privacy.delta, train.batch_size / len(batches), run.steps)
    return replace(run, noise=noise)


def secret_of(folder: Path, *, fresh: bool) -> bytes:
    """The secret of the run in `folder`, or a new one where there is none yet. 256 bits."""
    path = folder / SECRET
    return path.read_bytes() if path.exists() and not fresh else os.urandom(32)


def keep_secret(folder: Path, secret: bytes) -> None:
    """Store a run's secret, for its owner alone, whole or not at all."""
    new = folder / (SECRET + ".tmp")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(secret)
        file.flush()
        os.fsync(file.fileno())
    new.replace(folder / SECRET)
