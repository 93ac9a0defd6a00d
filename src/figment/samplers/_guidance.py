"""Guidance changes the denoiser, not the sampler, so that each kind works with every sampler.

    towards the condition   D = D_free + w (D_asked - D_free)      (Ho and Salimans 2022, equation 6)
    away from a worse run   D = D_worse + w (D_asked - D_worse)    (Karras et al. 2024, section 4)
    by a judge              D = D + s sigma^2 grad log p(y | D)    (Dhariwal and Nichol 2021, algorithm 2)

The first two may be kept to an interval of sigma; what comes out may be held in range.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from figment.core.checkpoint import LoadedModel, load_model
from figment.core.errors import CapabilityError, ConfigError
from figment.core.types import Condition, Denoises, Encodes, capabilities

if TYPE_CHECKING:
    from figment.samplers import Sampling

Denoiser = Callable[[Tensor, Tensor], Tensor]


def guided(model: Denoises, condition: Condition | None, settings: Sampling) -> Denoiser:
    """The denoiser that a sampler is given: (noisy (B, C, H, W), sigma (B,)) -> estimate of the clean picture.

    Raises ConfigError or CapabilityError where a setting asks for what this model or condition does not have.
    """
    denoise = _steered(model, condition, settings)
    if settings.judge:
        denoise = _judged(denoise, model, condition, settings)
    if settings.threshold is not None:
        if isinstance(model, Encodes):
            raise ConfigError(
                f"--sampling.threshold {settings.threshold:g}: this run denoises latents, which have no range to be "
                "held in; leave it out"
            )
        denoise = _held_in_range(denoise, settings.threshold)
    return denoise


def _steered(model: Denoises, condition: Condition | None, settings: Sampling) -> Denoiser:
    """Guidance by a second answer: that of another run, or the model's own without the condition."""

    def plain(noisy: Tensor, sigma: Tensor) -> Tensor:
        return model.denoise(noisy, sigma, condition)

    is_open = condition is None or all(part is None for part in vars(condition).values())
    if settings.guidance == 1.0 or (is_open and not settings.guide):
        return plain
    answers = _with_a_worse_run(model, condition, settings.guide) if settings.guide else _with_free(model, condition)

    def denoise(noisy: Tensor, sigma: Tensor) -> Tensor:
        asked, other = answers(noisy, sigma)
        return torch.lerp(other, asked, settings.guidance)

    if settings.guidance_low is None and settings.guidance_high is None:
        return denoise
    low, high = settings.guidance_low or 0.0, settings.guidance_high or float("inf")

    def within(noisy: Tensor, sigma: Tensor) -> Tensor:
        """Kynkäänniemi et al. 2024, section 3: outside the interval w is 1."""
        inside = (sigma > low) & (sigma <= high)
        if not inside.any():
            return plain(noisy, sigma)
        asked, other = answers(noisy, sigma)
        return torch.lerp(other, asked, _rows(torch.where(inside, settings.guidance, 1.0), noisy))

    return within


Answers = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def _with_free(model: Denoises, condition: Condition | None) -> Answers:
    """What the model says when asked and when left free, as one batch."""
    assert condition is not None
    both = condition.map(lambda part: torch.cat([part, _not_given(part)]))

    def answers(noisy: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        asked, free = model.denoise(torch.cat([noisy, noisy]), torch.cat([sigma, sigma]), both).chunk(2)
        return asked, free

    return answers


def _not_given(part: Tensor) -> Tensor:
    """A part of a condition with every row left open: labels -1, attributes and images NaN, captions 0."""
    value = float("nan") if part.is_floating_point() else 0 if part.dtype == torch.uint8 else -1
    return torch.full_like(part, value)


def _with_a_worse_run(model: Denoises, condition: Condition | None, run: str) -> Answers:
    """What the model and a smaller or less trained one say to the same question."""
    worse: Any = _of_same_data("guide", run, model).model
    if "Denoises" not in capabilities(worse):
        raise CapabilityError(f"--sampling.guide {run}: does not denoise; give a run of a family that does, as flow")

    def answers(noisy: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return model.denoise(noisy, sigma, condition), worse.to(noisy.device).denoise(noisy, sigma, condition)

    return answers


def _judged(denoise: Denoiser, model: Denoises, condition: Condition | None, settings: Sampling) -> Denoiser:
    """Towards pictures that a classifier takes for their label; rows without a label are left alone.

    The gradient goes through the denoised estimate, so that a judge trained on clean pictures will do (Bansal et al.
    2023). sigma^2 dD/dx is the covariance of the clean picture, so the step stays bounded at high sigma.
    """
    judge: Any = _of_same_data("judge", settings.judge, model).model
    if "Classifies" not in capabilities(judge):
        raise CapabilityError(f"--sampling.judge {settings.judge}: does not classify; give a run of 'classifier'")
    labels = None if condition is None else condition.labels
    if labels is None:
        raise ConfigError(f"--sampling.judge {settings.judge}: judges by labels, and none are asked for; leave it out")
    decode = model.decode if isinstance(model, Encodes) else lambda clean: clean
    scale = 1.0 if settings.judge_scale is None else settings.judge_scale

    def judged(noisy: Tensor, sigma: Tensor) -> Tensor:
        with torch.enable_grad():
            noisy = noisy.detach().requires_grad_()
            clean = denoise(noisy, sigma)
            logits = judge.to(noisy.device).classify(decode(clean)).float()
            log_p = logits.log_softmax(1).gather(1, labels.clamp(min=0)[:, None])[:, 0] * (labels >= 0)
            slope = torch.autograd.grad(log_p.sum(), noisy)[0]
        return clean.detach() + scale * _rows(sigma**2, slope) * slope

    return judged


def _held_in_range(denoise: Denoiser, share: float) -> Denoiser:
    """Dynamic thresholding: what strong guidance drives out of [-1, 1] is scaled back in (Saharia et al. 2022, 2.3).

    s is the `share` quantile of a picture's absolute values, at least 1; D becomes clip(D, -s, s) / s.
    """

    def held(noisy: Tensor, sigma: Tensor) -> Tensor:
        clean = denoise(noisy, sigma)
        largest = _rows(clean.flatten(1).abs().quantile(share, dim=1).clamp(min=1.0), clean)
        return clean.clamp(-largest, largest) / largest

    return held


def _of_same_data(flag: str, run: str, model: Denoises) -> LoadedModel:
    """The run named by --sampling.FLAG, if it was trained on pictures and classes like the model's own."""
    folder = Path(run) / "model"
    config = (folder if folder.is_dir() else Path(run)) / "config.json"
    loaded = _loaded(run, config.stat().st_mtime_ns if config.exists() else 0)
    mine, theirs = getattr(model, "spec", loaded.spec), loaded.spec
    if (mine.shape, mine.classes) != (theirs.shape, theirs.classes):
        raise ConfigError(
            f"--sampling.{flag} {run}: was trained on {theirs}, the model on {mine}; give a run of the same dataset"
        )
    return loaded


@lru_cache(maxsize=2)
def _loaded(run: str, changed: int) -> LoadedModel:
    """Read once for all batches; a run that was trained anew has another time of change."""
    return load_model(Path(run))


def _rows(values: Tensor, like: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1), in the dtype of `like`."""
    return values.to(like.dtype).view(-1, *[1] * (like.ndim - 1))
