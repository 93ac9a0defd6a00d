"""DDPM: a thousand small steps into noise, and a network that takes each of them back.

    x_t = sqrt(abar_t) x + sqrt(1 - abar_t) n         t = 1 ... T              (Ho et al. 2020, equation 4)
    loss = |target(x, n) - f(x_t, t)|^2               target n in the paper    (equation 14)

With the options that came later: the cosine schedule and learnt variances (Nichol and Dhariwal 2021), velocity or the
picture as target (Salimans and Ho 2022), and the min-SNR weight (Hang et al. 2023). Its likelihood is the variational
bound. Seen from outside the model is a denoiser: noisy = x + sigma n is x_t / sqrt(abar_t), sigma^2 = 1 / abar_t - 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.noise import following
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.denoising import rows
from figment.losses.likelihood import grey_level_nats, normal_kl_nats
from figment.nets.backbone import Backbone, BackboneConfig, complete
from figment.nets.embeddings import drop_condition
from figment.samplers import Sampling, draw, step_of

TRAIN = TrainConfig(batch_size=64, lr=1e-3, beta2=0.99)

BOUND_TERMS = 64


@dataclass(frozen=True)
class Config(BackboneConfig):
    """How big the network is, and how it is trained."""

    steps: int = 1000
    """Steps from the picture to pure noise, of which every one is learnt; drawing may take fewer."""
    schedule: Literal["linear", "cosine"] = "cosine"
    """How noise grows: linear is the first one, cosine destroys small pictures more evenly."""
    target: Literal["noise", "velocity", "image"] = "velocity"
    """What the network is asked for."""
    min_snr: float = 0.0
    """Weights steps by at most this signal-to-noise ratio, so that the easy ones do not take over: 5; 0 is off."""
    learn_variance: bool = False
    """Learn how uncertain each step back is: a better likelihood, and the same pictures."""

    def __post_init__(self):
        super().__post_init__()
        check_range("family.steps", self.steps, 10, 10_000)
        check_range("family.min_snr", self.min_snr, 0, 1000)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        return {"tiny": cls(width=16), "small": cls(), "base": cls(width=96, depth=2)}[scale]


def betas(schedule: str, steps: int) -> Tensor:
    """Variance added at each step: (steps,) float64."""
    if schedule == "linear":  # Ho et al. 2020, section 4, for a thousand steps
        return torch.linspace(0.1 / steps, 20 / steps, steps, dtype=torch.float64).clamp_max(0.999)
    time = torch.linspace(0, 1, steps + 1, dtype=torch.float64)
    alpha_bar = ((time + 0.008) / 1.008 * math.pi / 2).cos().square()  # Nichol and Dhariwal 2021, equation 17
    return (1 - alpha_bar[1:] / alpha_bar[:-1]).clamp_max(0.999)


def posterior(beta: Tensor) -> Tensor:
    """What q(x_t-1 | x_t, x) is made of, (4, steps): the weights of x and x_t in its mean, and the logarithms of beta_t
    and of its own variance, between which a learnt one lies. Ho et al. 2020, equation 7."""
    alpha_bar = (1 - beta).cumprod(0)
    before = torch.cat([torch.ones_like(beta[:1]), alpha_bar[:-1]])
    of_clean, of_noisy = beta * before.sqrt() / (1 - alpha_bar), (1 - beta).sqrt() * (1 - before) / (1 - alpha_bar)
    variance = beta * (1 - before) / (1 - alpha_bar)
    variance[0] = variance[1]  # the first one is 0, which has no logarithm
    return torch.stack([of_clean, of_noisy, beta.log(), variance.log()])


class DdpmModel(nn.Module):
    """The network f(x_t, t) with the faces Generates, Denoises and Scores. Steps count from 0 here."""

    sigma_max = 80.0
    log_sigmas: Tensor
    posterior: Tensor

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        self.spec, self.steps, self.target = spec, config.steps, config.target
        self.learns_variance = config.learn_variance
        self.net = Backbone(config, spec, channels_out=spec.channels * (2 if config.learn_variance else 1))
        beta = betas(config.schedule, config.steps)
        alpha_bar = (1 - beta).cumprod(0)
        self.register_buffer("log_sigmas", (0.5 * (1 / alpha_bar - 1).log()).float(), persistent=False)
        self.register_buffer("posterior", posterior(beta).float(), persistent=False)
        self.sigma_min = float(self.log_sigmas[0].exp())

    def predict(
        self, x_t: Tensor, t: Tensor, sigma: Tensor, condition: Condition | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """What the network says at step t (B,) and noise level sigma (B,) of x_t (B, C, H, W).

        The answer itself, the clean picture that it means, and where between its limits the variance of the step lies.
        """
        answer, share = self.net(x_t, condition, t / self.steps), None
        if self.learns_variance:
            answer, share = answer.chunk(2, dim=1)
        signal, noise = (rows(part, x_t) for part in _amplitudes(sigma))
        if self.target == "noise":
            return answer, (x_t - noise * answer) / signal, share
        if self.target == "velocity":  # Salimans and Ho 2022, appendix D
            return answer, signal * x_t - noise * answer, share
        return answer, answer, share

    def denoise(self, noisy: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """Between two steps, the time lies where log(sigma) does. Held in [-1, 1], as in the paper's own sampler: at
        high noise a small error in the noise is a large one in the picture, and one in ten would fall apart."""
        t = step_of(self.log_sigmas, sigma)
        signal, _ = _amplitudes(sigma)
        return self.predict(noisy * rows(signal, noisy), t, sigma, condition)[1].clamp(-1, 1)

    def noise_shape(self) -> tuple[int, int, int]:
        return self.spec.shape

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Sampling | None = None) -> Tensor:
        return draw(self, noise, condition, settings or Sampling()).clamp(-1, 1)

    def step_nats(self, x: Tensor, x_t: Tensor, t: Tensor, clean: Tensor, share: Tensor | None) -> Tensor:
        """What one step back costs, of every value: KL(q(x_t-1 | x_t, x) || p(x_t-1 | x_t)), (B, C, H, W).

        The first step is paid in grey levels instead. Ho et al. 2020, equations 5 to 7.
        """
        of_clean, of_noisy, log_beta, log_least = (rows(part, x) for part in self.posterior[:, t])
        log_variance = log_beta.expand_as(x)
        if share is not None:  # Nichol and Dhariwal 2021, equation 15
            log_variance = torch.lerp(log_least.expand_as(x), log_beta.expand_as(x), (share + 1) / 2)
        true_mean, mean = of_clean * x + of_noisy * x_t, of_clean * clean + of_noisy * x_t
        kl = normal_kl_nats(true_mean, log_least, mean, log_variance)
        return torch.where(rows(t, x) == 0, grey_level_nats(x, mean, log_variance), kl)

    def bits_per_dim(self, images: Tensor, condition: Condition | None = None) -> Tensor:
        """The variational bound, its terms in groups of which each is estimated by one: early steps cost most, and
        are counted almost singly. With up to BOUND_TERMS / 2 steps nothing is estimated."""
        noise_at = following(images)
        edges = (torch.linspace(0, 1, BOUND_TERMS + 1, dtype=torch.float64) ** 2 * self.steps).round().long().unique()
        signal, noise = _amplitudes(self.log_sigmas[-1].exp())
        zero = torch.zeros_like(images)
        nats = normal_kl_nats(signal * images, 2 * noise.log() + zero, zero, zero)
        for group, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
            n = noise_at(2 * group)
            chance = torch.special.ndtr(noise_at(2 * group + 1)[:, 0, 0, 0])
            t = low + (chance * (high - low)).long().clamp_max(high - low - 1)
            sigma = self.log_sigmas[t].exp()
            signal, noise = (rows(part, images) for part in _amplitudes(sigma))
            x_t = signal * images + noise * n
            _, clean, share = self.predict(x_t, t, sigma, condition)
            nats = nats + (high - low) * self.step_nats(images, x_t, t, clean.clamp(-1, 1), share)
        return nats.flatten(1).mean(1) / math.log(2)


def _amplitudes(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """sqrt(abar) and sqrt(1 - abar) of a noise level."""
    radius = (1 + sigma**2).sqrt()
    return 1 / radius, sigma / radius


class DdpmObjective(Objective[DdpmModel]):
    def __init__(self, model: DdpmModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x, model = batch.images, self.model
        n = torch.randn(x.shape).to(x)
        t = torch.randint(model.steps, (len(x),)).to(x.device)
        sigma = model.log_sigmas[t].exp()
        signal, noise = (rows(part, x) for part in _amplitudes(sigma))
        x_t = signal * x + noise * n
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        answer, clean, share = model.predict(x_t, t, sigma, condition)
        truth = {"noise": n, "velocity": signal * n - noise * x, "image": x}[model.target]
        error = (answer - truth).square() * rows(self._weight(sigma), x)
        terms = {"denoise": error.mean()}
        if share is not None:
            # A thousandth of the whole bound, in which the mean is taken as given (Nichol and Dhariwal 2021, 3.1).
            bits = model.step_nats(x, x_t, t, clean.detach().clamp(-1, 1), share) / math.log(2)
            terms["variance"] = 0.001 * model.steps * bits.mean()
        return Loss(terms)

    def _weight(self, sigma: Tensor) -> Tensor:
        """Hang et al. 2023, equation 8: min(SNR, gamma) of the picture's error, for each target: (B,)."""
        if not self.config.min_snr:
            return torch.ones_like(sigma)
        snr = sigma**-2
        of_picture = {"noise": snr, "velocity": snr + 1, "image": torch.ones_like(snr)}[self.model.target]
        return snr.clamp_max(self.config.min_snr) / of_picture


def build(config: Config, spec: ImageSpec) -> Objective:
    """A network that takes steps of noise back, for pictures of this spec."""
    config = complete(config, spec)
    return DdpmObjective(DdpmModel(config, spec), config)
