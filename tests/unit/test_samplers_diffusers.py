"""The same trajectories as diffusers' schedulers of those names, at the same sigmas and with the same fresh noise.

diffusers keeps x / sqrt(1 + sigma^2) in its variance-preserving schedulers: their states are scaled back here.
"""

from __future__ import annotations

from collections.abc import Iterator

import diffusers
import pytest
import torch

from figment.core import plugins
from figment.samplers import flow_sigmas, karras_sigmas, log_snr_sigmas
from figment.samplers._exact import Points

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs

BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
DATA = Points()
START = torch.linspace(-2, 2, 24).view(6, 1, 2, 2)


class Picture:
    """The exact denoiser of pictures whose pixels are independent and each one of `Points`."""

    def __init__(self):
        self.steps = 0

    def denoise(self, noisy, sigma):
        values = sigma.repeat_interleave(4)
        return DATA.denoise(noisy.reshape(-1, 1, 1, 1), values).view_as(noisy)

    def noise_at(self, step):
        """diffusers draws its noise from one generator, a step after the other."""
        assert step == self.steps
        self.steps += 1
        self.source = torch.Generator().manual_seed(5) if step == 0 else self.source
        return torch.randn(START.shape, generator=self.source)


def ours(name, sigmas, **settings):
    picture = Picture()
    sample = plugins.load("samplers", name).sample
    return list(sample(picture.denoise, START, sigmas, noise_at=picture.noise_at, **settings))


def theirs(scheduler, sigmas, *, scaled=False, corrected=False, noise=False) -> Iterator[torch.Tensor]:
    """States after each step. scaled: they keep x / sqrt(1 + sigma^2). corrected: what they know only a step later."""
    picture, scale = Picture(), (1 + sigmas**2).sqrt() if scaled else torch.ones_like(sigmas)
    state = START * sigmas[0] / scale[0]
    options = {"generator": torch.Generator().manual_seed(5)} if noise else {}
    for index, timestep in enumerate(scheduler.timesteps):
        clean = picture.denoise(state * scale[index], sigmas[index].expand(len(state)))
        state = scheduler.step(clean, timestep, state, return_dict=False, **options)[0]
        if corrected and index:
            yield scheduler.last_sample * scale[index]
        if not corrected or index == len(sigmas) - 2:
            yield state * scale[index + 1]


def with_sigmas(scheduler, sigmas):
    """A scheduler of diffusers at sigmas of ours, which its own constructors cannot be told."""
    scheduler.set_timesteps(len(sigmas))
    scheduler.sigmas, scheduler.num_inference_steps = sigmas, len(sigmas) - 1
    scheduler.timesteps = torch.arange(len(sigmas) - 1.0).flip(0)
    scheduler.set_begin_index(0)
    return scheduler


def assert_same(ways, others):
    others = list(others)
    assert len(ways) == len(others)
    for step, (state, other) in enumerate(zip(ways, others, strict=True)):
        scale = max(1.0, float(state.abs().max()))
        assert (state - other).abs().max() < 1e-4 * scale, f"step {step}"


SCHEDULES = pytest.mark.parametrize("schedule", [karras_sigmas, log_snr_sigmas, flow_sigmas])
STEPS = pytest.mark.parametrize("steps", [1, 2, 5, 20])


@SCHEDULES
@STEPS
def test_euler(schedule, steps):
    sigmas = schedule(steps, 0.02, 30.0)
    scheduler = with_sigmas(diffusers.EulerDiscreteScheduler(prediction_type="sample", **BETAS), sigmas)
    scheduler.is_scale_input_called = True
    assert_same(ours("euler", sigmas), theirs(scheduler, sigmas))


@SCHEDULES
@STEPS
def test_ancestral(schedule, steps):
    sigmas = schedule(steps, 0.02, 30.0)
    scheduler = diffusers.EulerAncestralDiscreteScheduler(prediction_type="epsilon", **BETAS)
    scheduler = with_sigmas(scheduler, sigmas)
    scheduler.is_scale_input_called = True
    step = scheduler.step

    def from_clean(clean, timestep, state, **options):  # it knows no prediction of the clean picture
        sigma = sigmas[scheduler.step_index or 0]
        return step((state - clean) / sigma, timestep, state, **options)

    scheduler.step = from_clean
    assert_same(ours("ancestral", sigmas), theirs(scheduler, sigmas, noise=True))


@SCHEDULES
@STEPS
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "dpmpp_2m_sde"])
def test_dpmpp_2m(sampler, schedule, steps):
    """Theirs is ours with solver_type midpoint; its last step is of first order, as ours, where it goes to sigma 0."""
    sigmas, is_sde = schedule(steps, 0.02, 30.0), sampler.endswith("sde")
    kind = {"algorithm_type": "sde-dpmsolver++" if is_sde else "dpmsolver++", "final_sigmas_type": "zero"}
    scheduler = diffusers.DPMSolverMultistepScheduler(prediction_type="sample", solver_order=2, **kind, **BETAS)
    assert_same(ours(sampler, sigmas), theirs(with_sigmas(scheduler, sigmas), sigmas, scaled=True, noise=is_sde))


@SCHEDULES
@STEPS
@pytest.mark.parametrize("order", [1, 2, 3])
def test_unipc(order, schedule, steps):
    """Theirs with bh2, all steps corrected, and lower orders at the end, which are its defaults."""
    sigmas = schedule(steps, 0.02, 30.0)
    kind = {"solver_order": order, "solver_type": "bh2", "final_sigmas_type": "zero"}
    scheduler = diffusers.UniPCMultistepScheduler(prediction_type="sample", **kind, **BETAS)
    their = theirs(with_sigmas(scheduler, sigmas), sigmas, scaled=True, corrected=True)
    assert_same(ours("unipc", sigmas, order=order), their)


@pytest.mark.parametrize("steps", [2, 5, 20])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim(eta, steps):
    """Theirs knows only the sigmas of whole timesteps: ours are given those."""
    options = {"prediction_type": "sample", "clip_sample": False, "set_alpha_to_one": True, "steps_offset": 1}
    scheduler = diffusers.DDIMScheduler(timestep_spacing="leading", **options, **BETAS)
    sigmas = of_timesteps(scheduler, steps)
    step = scheduler.step
    scheduler.step = lambda *arguments, **options: step(*arguments, eta=eta, **options)
    assert_same(ours("ddim", sigmas, eta=eta), theirs(scheduler, sigmas, scaled=True, noise=eta > 0))


@pytest.mark.parametrize("steps", [2, 5, 20])
def test_ancestral_is_ddpm(steps):
    options = {"prediction_type": "sample", "clip_sample": False, "variance_type": "fixed_small"}
    scheduler = diffusers.DDPMScheduler(timestep_spacing="leading", **options, **BETAS)
    sigmas = of_timesteps(scheduler, steps)
    assert_same(ours("ancestral", sigmas), theirs(scheduler, sigmas, scaled=True, noise=True))


def of_timesteps(scheduler, steps):
    scheduler.set_timesteps(steps)
    share = scheduler.alphas_cumprod[scheduler.timesteps]
    return torch.cat([((1 - share) / share).sqrt(), torch.zeros(1)])


@SCHEDULES
@STEPS
def test_heun(schedule, steps):
    """Theirs counts each of Heun's two evaluations as a step: every second state is ours."""
    sigmas = schedule(steps, 0.02, 30.0)
    twice = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
    scheduler = with_sigmas(diffusers.HeunDiscreteScheduler(prediction_type="sample", **BETAS), twice)
    their = list(theirs(scheduler, twice))
    assert_same(ours("heun", sigmas), their[1::2] + their[-1:])
