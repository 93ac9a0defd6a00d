"""One file per way from noise to picture: sample(denoise, noise, sigmas, *, noise_at=None) -> Iterator[Tensor].

`denoise(noisy, sigma)` takes (B, C, H, W) and (B,) and returns its estimate of the clean picture; `sigmas` is a falling
sequence of noise levels that ends in 0; the first thing yielded is the state after the first step, the last one the
picture. A sampler that adds fresh noise asks `noise_at(step)` for it, and one with settings of its own has them as
further keywords: those that have a namesake in `Sampling` can be set by whoever draws.

Here is what every family that denoises draws with: the settings, and `draw` or `states` of them.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor

from figment.core import plugins
from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.noise import following
from figment.core.types import Condition, Denoises
from figment.samplers._guidance import Denoiser, guided
from figment.samplers._schedules import flow_sigmas, karras_sigmas, log_snr_sigmas, step_of

__all__ = [
    "Denoiser",
    "Sampling",
    "draw",
    "flow_sigmas",
    "guided",
    "karras_sigmas",
    "last",
    "log_snr_sigmas",
    "states",
    "step_of",
]

SCHEDULES = {"karras": karras_sigmas, "log_snr": log_snr_sigmas, "flow": flow_sigmas}

# The settings that belong to single samplers, where None stands for the sampler's own default.
OF_SAMPLERS = ("eta", "order", "churn", "churn_low", "churn_high", "churn_noise")

RANGES = {
    "steps": (1, 1000),
    "shift": (0.01, 100),
    "guidance": (0, 20),
    "guidance_low": (0, 1e6),
    "guidance_high": (0, 1e6),
    "judge_scale": (0, 1000),
    "threshold": (0.5, 1),
    "eta": (0, 1),
    "order": (1, 3),
    "churn": (0, 1000),
    "churn_low": (0, 1e6),
    "churn_high": (0, 1e6),
    "churn_noise": (0, 2),
}


@dataclass(frozen=True)
class Sampling:
    """How pictures are drawn from a denoiser. A family may extend it with other defaults."""

    sampler: str = "dpmpp_2m"
    """Way from noise to picture: figment list samplers."""
    steps: int = 18
    """Steps from noise to picture; heun evaluates the network 2 * steps - 1 times, the others once a step."""
    schedule: Literal["karras", "log_snr", "flow"] = "karras"
    """Where the steps lie: karras dwells on low noise, log_snr more so, flow on the middle."""
    shift: float | None = None
    """schedule flow: above 1 dwells on higher noise, as larger pictures need; sqrt(pixels / pixels it suits at 1)."""
    guidance: float = 1.5
    """How strongly the condition is followed; 1 is the plain model."""
    guidance_low: float | None = None
    """Lowest sigma at which guidance acts."""
    guidance_high: float | None = None
    """Highest sigma at which guidance acts: a limit of about 1 to 5 keeps variety under strong guidance."""
    guide: str = ""
    """A smaller or less trained run on the same data: guidance leads away from it, not from the unconditional model."""
    judge: str = ""
    """A classifier run on the same data, which leads towards pictures that it takes for their label."""
    judge_scale: float | None = None
    """How strongly the judge leads; 1 where it is not given."""
    threshold: float | None = None
    """Share of a picture's values, such as 0.995, to hold in [-1, 1] at every step, for strong guidance."""
    eta: float | None = None
    """ddim, dpmpp_2m_sde: fresh noise at every step, from 0 (none) to 1."""
    order: int | None = None
    """unipc: order of the predictor, 1 to 3."""
    churn: float | None = None
    """heun: noise stirred in along the way, in all; a step takes at most 41% of sigma."""
    churn_low: float | None = None
    """heun: lowest sigma at which noise is stirred in."""
    churn_high: float | None = None
    """heun: highest sigma at which noise is stirred in."""
    churn_noise: float | None = None
    """heun: standard deviation of what is stirred in; a little above 1 makes up for lost detail."""

    CHOICES: ClassVar[Mapping[str, tuple[Any, ...]]] = {  # what 'figment tune' tries, in this order
        "sampler": ("dpmpp_2m", "unipc", "heun", "euler"),
        "schedule": ("karras", "log_snr", "flow"),
        "guidance": (1.0, 1.25, 1.5, 2.0, 3.0),
        "steps": (2, 3, 4, 6, 8, 12, 18, 27, 40),
    }

    def __post_init__(self):
        _check_ranges(self)
        plugins.require("samplers", self.sampler)
        _refuse_without_effect(self)

    def sigmas(self, model: Denoises) -> Tensor:
        """The noise levels to visit: (steps + 1,), float32, falling from the model's sigma_max, the last one 0."""
        options = {} if self.shift is None else {"shift": self.shift}
        return SCHEDULES[self.schedule](self.steps, model.sigma_min, model.sigma_max, **options)

    def of_sampler(self) -> dict[str, Any]:
        """The settings that the sampler takes by keyword and that were given."""
        values = {name: getattr(self, name, None) for name in keywords(self.sampler)}
        return {name: value for name, value in values.items() if value is not None}


def _check_ranges(settings: Sampling) -> None:
    for name, (low, high) in RANGES.items():
        if getattr(settings, name) is not None:
            check_range(f"sampling.{name}", getattr(settings, name), low, high)
    for name in ("guidance", "churn"):
        low, high = getattr(settings, f"{name}_low"), getattr(settings, f"{name}_high")
        if high is not None and high <= (low or 0.0):
            raise ConfigError(f"--sampling.{name}-high {high:g}: give a number above --sampling.{name}-low")


def _refuse_without_effect(settings: Sampling) -> None:
    """Raise ConfigError for a setting that the others leave without any effect."""
    own, unguided = keywords(settings.sampler), "needs --sampling.guidance other than 1"
    reasons = {name: f"'{settings.sampler}' has no such setting" for name in OF_SAMPLERS if name not in own}
    reasons |= {} if settings.schedule == "flow" else {"shift": "needs --sampling.schedule flow"}
    reasons |= {} if settings.guidance != 1 else dict.fromkeys(("guidance_low", "guidance_high", "guide"), unguided)
    reasons |= {} if settings.judge else {"judge_scale": "needs --sampling.judge RUN"}
    if "churn" in own and not settings.churn:
        reasons |= dict.fromkeys(("churn_low", "churn_high", "churn_noise"), "needs --sampling.churn above 0")
    for name, reason in reasons.items():
        if getattr(settings, name) not in (None, ""):
            flag = f"--sampling.{name.replace('_', '-')}"
            raise ConfigError(f"{flag} {getattr(settings, name)}: has no effect here, it {reason}; leave it out")


def keywords(sampler: str) -> list[str]:
    """The settings of a sampler's own: the keywords of its `sample` beside `noise_at`."""
    parameters = inspect.signature(plugins.load("samplers", sampler).sample).parameters.values()
    return [one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.name != "noise_at"]


def states(model: Denoises, noise: Tensor, condition: Condition | None, settings: Sampling) -> Iterator[Tensor]:
    """The noisy pictures on the way: after step i at sigma settings.sigmas(model)[i + 1], the last one clean.

    noise: (B, C, H, W), standard normal. Row i of every state depends on row i of the arguments only.
    """
    sampler = plugins.load("samplers", settings.sampler)
    denoise, sigmas = guided(model, condition, settings), settings.sigmas(model)
    return sampler.sample(denoise, noise, sigmas, noise_at=following(noise), **settings.of_sampler())


def draw(model: Denoises, noise: Tensor, condition: Condition | None, settings: Sampling) -> Tensor:
    """The pictures, or the latents of a model that denoises those: (B, C, H, W), not clamped."""
    return last(states(model, noise, condition, settings))


def last(states: Iterator[Tensor]) -> Tensor:
    """The final state of a sampler: the picture."""
    return deque(states, maxlen=1).pop()
