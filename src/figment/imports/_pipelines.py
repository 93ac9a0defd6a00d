"""The parts of a pipeline of diffusers as a model: its network, what it is asked, and its schedule seen as sigma.

A schedule says how noisy a picture is at which time. Of any of them

    clean = c_skip noisy + c_out network(c_in noisy, time)

where, in the schedules that keep the variance (Ho et al. 2020, equation 4), c_in = 1 / sqrt(1 + sigma^2) with
sigma^2 = 1 / abar_t - 1, and in a flow (Liu et al. 2022, equation 1), c_in = 1 - t = 1 / (1 + sigma).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from figment.core.errors import CapabilityError, ConfigError
from figment.core.types import Condition, ImageSpec
from figment.data.captions import decode_captions
from figment.losses.denoising import rows
from figment.samplers import Sampling, draw, step_of

HIGHEST = 80.0  # sigma that drawing begins at, where the schedule goes that far
LOWEST_OF_FLOWS = 0.02
REMEMBERED = 256  # texts

# (c_skip, c_out) by what the network answers; c: c_in.
TARGETS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "epsilon": lambda sigma, c: (torch.ones_like(c), -sigma),
    "v_prediction": lambda sigma, c: (c**2, -sigma * c),  # Salimans and Ho 2022, appendix D
    "sample": lambda sigma, c: (torch.zeros_like(c), torch.ones_like(c)),
    "flow": lambda sigma, c: (c, -sigma * c),
}


class Schedule(nn.Module):
    """What a scheduler of diffusers says of sigmas and times.

    limit: what clean values are held in at every step, None for no limit. Raises CapabilityError for one that is
    neither of the two kinds.
    """

    log_sigmas: Tensor

    def __init__(self, scheduler: Any):
        super().__init__()
        config = scheduler.config
        is_flow = type(scheduler).__name__.startswith("FlowMatch") or config.get("use_flow_sigmas", False)
        self.target = "flow" if is_flow else config.get("prediction_type", "epsilon")
        self.limit = config.get("clip_sample_range", 1.0) if config.get("clip_sample") else None
        self.times = config.get("num_train_timesteps", 0)
        betas = getattr(scheduler, "betas", None)
        if self.target not in TARGETS or (betas is None and not is_flow):
            raise CapabilityError(
                f"its scheduler, {type(scheduler).__name__}, is none that figment can follow; give one of DDPM's kind, "
                "such as DDIM or DPM-Solver, or of a flow"
            )
        if is_flow:
            self.register_buffer("log_sigmas", torch.zeros(0), persistent=False)
            self.sigma_min, self.sigma_max = LOWEST_OF_FLOWS, HIGHEST
            return
        assert betas is not None
        sigmas = (1 / (1 - betas.double()).cumprod(0) - 1).sqrt()
        self.register_buffer("log_sigmas", sigmas[sigmas.isfinite()].log().float(), persistent=False)
        self.sigma_min = float(self.log_sigmas[0].exp())
        self.sigma_max = min(HIGHEST, float(self.log_sigmas[-1].exp()))

    def at(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(time, c_in, c_skip, c_out) of noise levels, (B,) each."""
        if self.target == "flow":
            time, c_in = sigma / (1 + sigma) * self.times, 1 / (1 + sigma)
        else:
            time, c_in = step_of(self.log_sigmas, sigma), (1 + sigma**2).rsqrt()
        return time, c_in, *TARGETS[self.target](sigma, c_in)


class Asked(nn.Module):
    """A network that is told nothing but the time, or a class: UNet2DModel and DiTTransformer2DModel.

    unknown: the number that stands for no class in particular; None where there is none.
    """

    def __init__(self, net: Any, classes: int = 0, unknown: int | None = None):
        super().__init__()
        self.net, self.classes, self.unknown = net, classes, unknown

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition | None) -> Tensor:
        if not self.classes:
            return self.net(noisy, time).sample
        labels = None if condition is None else condition.labels
        labels = torch.full((len(noisy),), -1, device=noisy.device) if labels is None else labels
        if self.unknown is None and (labels < 0).any():
            raise ConfigError("this pipeline draws no picture without a class; give --label, and --sampling.guidance 1")
        return self.net(noisy, time, class_labels=labels.where(labels >= 0, self.unknown or 0)).sample


class AskedInWords(nn.Module):
    """A network that attends to the words of a caption: UNet2DConditionModel with its tokenizer and text encoder.

    tokens: as many as a text is filled up or cut to.
    """

    def __init__(self, net: Any, tokenizer: Any, encoder: Any, tokens: int):
        super().__init__()
        self.net, self.tokenizer, self.encoder, self.tokens = net, tokenizer, encoder, tokens
        self.known: dict[str, Tensor] = {}  # every step asks for the same texts

    def forward(self, noisy: Tensor, time: Tensor, condition: Condition | None) -> Tensor:
        captions = None if condition is None else condition.captions
        texts = [""] * len(noisy) if captions is None else decode_captions(captions.cpu().numpy())
        return self.net(noisy, time, encoder_hidden_states=self.words(texts).to(noisy)).sample

    def words(self, texts: list[str]) -> Tensor:
        """(B, tokens, D)"""
        if len(self.known) > REMEMBERED:
            self.known.clear()
        for text in set(texts) - self.known.keys():  # each alone, so that it means the same in any batch
            whole = {"padding": "max_length", "max_length": self.tokens, "truncation": True, "return_tensors": "pt"}
            numbers = self.tokenizer(text, **whole).input_ids
            self.known[text] = self.encoder(numbers.to(self.encoder.device))[0]
        return torch.cat([self.known[text] for text in texts])


class PipelineModel(nn.Module):
    """A pipeline that works on pictures, with the faces Generates and Denoises."""

    def __init__(self, asked: nn.Module, schedule: Schedule, spec: ImageSpec):
        super().__init__()
        self.asked, self.schedule, self.spec = asked, schedule, spec
        self.sigma_min, self.sigma_max = schedule.sigma_min, schedule.sigma_max

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        time, c_in, c_skip, c_out = self.schedule.at(sigma)
        answer = self.asked(rows(c_in, noisy) * noisy, time, condition)[:, : noisy.shape[1]]  # what follows: variances
        clean = rows(c_skip, noisy) * noisy + rows(c_out, noisy) * answer
        limit = self.schedule.limit
        return clean if limit is None else clean.clamp(-limit, limit)

    def noise_shape(self) -> tuple[int, ...]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return draw(self, noise, condition, settings or Sampling()).clamp(-1, 1)


class LatentPipelineModel(PipelineModel):
    """A pipeline that works on the latents of an AutoencoderKL: Generates, Denoises (latents) and Encodes."""

    def __init__(self, asked: nn.Module, schedule: Schedule, spec: ImageSpec, vae: Any, latent: tuple[int, ...]):
        super().__init__(asked, schedule, spec)
        self.vae, self.latent = vae, latent
        self.scale, self.shift = vae.config.scaling_factor, vae.config.get("shift_factor") or 0.0

    def encode(self, images: Tensor) -> Tensor:
        return (self.vae.encode(images).latent_dist.mode() - self.shift) * self.scale

    def decode(self, latents: Tensor) -> Tensor:
        return self.vae.decode(latents / self.scale + self.shift).sample.clamp(-1, 1)

    def noise_shape(self) -> tuple[int, ...]:
        return self.latent

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return self.decode(draw(self, noise, condition, settings or Sampling()))
