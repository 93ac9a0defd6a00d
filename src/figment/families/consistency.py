"""Consistency model: a trained denoiser, taught to name in one step the picture at which its way from noise ends.

    f(x_i+1, sigma_i+1) = f(x_i, sigma_i)        x_i: one step of the teacher back from x_i+1
    loss = lambda_i d(f(x_i+1, sigma_i+1), stop_gradient f(x_i, sigma_i))          (Song et al. 2023, equation 7)

The student begins as a copy of its teacher, any run that denoises, so both are of one size. d is the pseudo-Huber
distance, and the second f has no average of its own (Song and Dhariwal 2023). Guidance is the teacher's, learnt for
good.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
import tyro
from torch import Tensor, nn

from figment.core.checkpoint import Inner, load_model
from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.noise import following
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, Denoises, Encodes, ImageSpec, Loss
from figment.losses.denoising import pseudo_huber, rows
from figment.nets.embeddings import drop_condition
from figment.samplers import Denoiser, guided, karras_sigmas
from figment.samplers import Sampling as TeacherSampling

TRAIN = TrainConfig(batch_size=64, lr=3e-4, beta2=0.99)

RUNS = {"teacher": "flow"}  # settings that name a run, each with a family that will do

SIGMA_MIN, SIGMA_MAX = 0.02, 80.0


@dataclass(frozen=True)
class Config:
    """Who teaches, and how."""

    teacher: str = ""
    """Run of a family that denoises, such as flow or edm, on the same dataset; the student is of its size."""
    guidance: float = 1.5
    """How strongly the teacher follows the condition, learnt for good; 1 is the plain teacher."""
    levels: int = 18
    """Noise levels between picture and noise, from each of which the teacher takes one step to the next."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their condition, so that it may be left open."""
    inner: Annotated[Inner | None, tyro.conf.Suppress] = field(default=None, metadata={"recorded": True})
    """How the teacher is built, and so the student; recorded when training starts."""

    def __post_init__(self):
        check_range("family.guidance", self.guidance, 0, 20)
        check_range("family.levels", self.levels, 2, 1000)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return cls()  # the size is the teacher's


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn."""

    steps: int = 1
    """Steps from noise to picture; each later one adds noise again, less than before, and takes it back."""

    CHOICES: ClassVar[Mapping[str, tuple[Any, ...]]] = {"steps": (1, 2, 4)}

    def __post_init__(self):
        check_range("sampling.steps", self.steps, 1, 100)


def complete(config: Config, spec: ImageSpec) -> Config:
    """The config with the teacher's own.

    Raises ConfigError, CapabilityError or DataError for a run that is none, does not denoise pictures or does not fit.
    """
    if not config.teacher:
        raise ConfigError("--family.teacher: give a run that denoises; train one with 'figment train flow'")
    loaded = load_model(Path(config.teacher))
    if not isinstance(loaded.model, Denoises) or isinstance(loaded.model, Encodes):
        raise CapabilityError(
            f"--family.teacher {config.teacher}: a '{loaded.family}' does not denoise pictures; give a run of flow"
        )
    if loaded.spec != spec:
        raise DataError(
            f"--family.teacher {config.teacher}: was trained on {loaded.spec}, the dataset has {spec}; "
            "give a run of the same dataset"
        )
    return replace(config, inner=Inner.of(loaded))


class ConsistencyModel(nn.Module):
    """The student f with the faces Generates and Jumps."""

    sigma_max = SIGMA_MAX

    def __init__(self, student: Any, spec: ImageSpec):
        super().__init__()
        self.spec, self.student = spec, student

    def end(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        # No `denoise` beside it: samplers need the mean of all pictures behind the noise, which is not known here.
        return self.student.denoise(noisy, sigma, condition)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        """Song et al. 2023, algorithm 1."""
        steps, noise_at = (settings or Sampling()).steps, following(noise)
        images = torch.zeros_like(noise)
        for step, sigma in enumerate(karras_sigmas(steps + 1, SIGMA_MIN, SIGMA_MAX)[:steps]):
            fresh = noise_at(step) if step else noise
            images = self.end(images + sigma * fresh, sigma.to(noise).expand(len(noise)), condition)
        return images.clamp(-1, 1)


class ConsistencyObjective(Objective[ConsistencyModel]):
    """The teacher is part of the objective: checkpoints hold it, the shipped model does not."""

    sigmas: Tensor
    weights: Tensor

    def __init__(self, model: ConsistencyModel, teacher: Any, config: Config):
        super().__init__(model)
        self.teacher, self.config = teacher, config
        self.register_buffer("sigmas", karras_sigmas(config.levels, SIGMA_MIN, SIGMA_MAX), persistent=False)
        # All levels rest on the low ones, which high ones would shake if all weighed the same. The root, because
        # Song and Dhariwal's own 1 / (sigma_i+1 - sigma_i) spans a factor of a thousand.
        weights = (self.sigmas[:-1] - self.sigmas[1:]) ** -0.5
        self.register_buffer("weights", weights / weights.mean(), persistent=False)

    def begin(self) -> None:
        assert self.config.inner, "complete() has recorded it"
        weights = self.config.inner.weights(Path(self.config.teacher))
        self.teacher.load_state_dict(weights)
        self.model.student.load_state_dict(weights)

    def train(self, mode: bool = True) -> ConsistencyObjective:
        super().train(mode)
        self.teacher.eval()
        return self

    def loss(self, batch: Batch) -> Loss:
        x = batch.images
        level = torch.randint(self.config.levels, (len(x),)).to(x.device)
        sigma, after = self.sigmas[level], self.sigmas[level + 1]
        condition = drop_condition(batch.condition, self.config.condition_dropout)
        noisy = x + rows(sigma, x) * torch.randn(x.shape).to(x)
        with torch.no_grad():
            denoise = guided(self.teacher, condition, TeacherSampling(guidance=self.config.guidance))
            state = heun_step(denoise, noisy, sigma, after)
            end = self.model.end(state, after.clamp_min(SIGMA_MIN), condition)
            target = torch.where(rows(after, x) > 0, end, state)
        distance = pseudo_huber(self.model.end(noisy, sigma, condition), target)
        return Loss({"consistency": (self.weights[level] * distance).mean()})


def heun_step(denoise: Denoiser, state: Tensor, sigma: Tensor, after: Tensor) -> Tensor:
    """One step of the teacher from sigma to after, (B,) each: Karras et al. 2022, algorithm 1, lines 4 to 8."""
    step, low = rows(after - sigma, state), after.clamp_min(SIGMA_MIN)
    slope = (state - denoise(state, sigma)) / rows(sigma, state)
    guess = state + step * slope
    slope_after = (guess - denoise(guess, low)) / rows(low, state)
    return torch.where(rows(after, state) > 0, state + step * (slope + slope_after) / 2, guess)


def build(config: Config, spec: ImageSpec) -> Objective:
    """Teacher and student, as `complete` has recorded them.

    Raises ConfigError where there is no teacher.
    """
    if config.inner is None:
        config = complete(config, spec)
    assert config.inner
    return ConsistencyObjective(ConsistencyModel(config.inner.build(), spec), config.inner.build(), config)
