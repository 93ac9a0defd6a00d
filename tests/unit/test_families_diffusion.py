"""What is particular to ddpm, edm, meanflow and consistency, against closed forms; and likelihoods."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace

import pytest
import torch

from figment.core.checkpoint import load_model, write_model
from figment.core.config import Privacy, TrainConfig
from figment.core.engine import Engine, seeded
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Batch, Condition, ImageSpec
from figment.families import classifier, consistency, ddpm, edm, flow, meanflow
from figment.losses.denoising import adaptive, log_normal_sigmas, pseudo_huber
from figment.losses.likelihood import GREY_LEVEL, grey_level_nats, normal_kl_nats, ode_bits_per_dim, ode_log_density
from figment.samplers._exact import Gaussian
from figment.train.fit import fit
from figment.train.private import Private
from figment.train.run import DataPin, RunConfig, open_run
from figment.train.slices import Slice

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))
GREY = ImageSpec(1, 4, 4)


def grey_levels(count=6, spec=GREY, seed=0):
    levels = torch.randint(256, (count, *spec.shape), generator=torch.Generator().manual_seed(seed))
    return levels / 127.5 - 1


def batch(size=16, spec=DIGITS):
    labels = torch.arange(size) % spec.num_classes if spec.classes else None
    return Batch(grey_levels(size, spec), Condition(labels=labels))


def wake(model, std=0.1):
    """Weights that start at 0 would hide what is asked."""
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=std, generator=torch.Generator().manual_seed(1))
    return model.eval()


class Known(torch.nn.Module):
    """A function in a network's place."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


# Likelihood


@pytest.mark.parametrize(("mean", "spread"), [(0.3, 0.5), (-0.2, 0.1), (0.5, 1.5)])
def test_the_ode_gives_a_gaussian_its_own_density(mean, spread):
    data = Gaussian(mean, spread)
    pictures = mean + spread * torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    probe = torch.ones_like(pictures)
    nats = ode_log_density(data.denoise, pictures, probe, sigma_min=0.002, sigma_max=80.0)
    exact = torch.distributions.Normal(mean, spread).log_prob(pictures).flatten(1).sum(1)
    assert torch.allclose(nats, exact, rtol=0.01, atol=0.3)


def test_bits_of_a_gaussian_are_its_entropy_in_grey_levels():
    """For a density that is smooth over one grey level: log2(deviation sqrt(2 pi e) / width of a level)."""
    data = Gaussian(0.0, 0.25)
    values = 0.25 * torch.randn(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    pictures = ((values + 1) * 127.5).round() / 127.5 - 1
    bits = ode_bits_per_dim(data.denoise, pictures, sigma_min=0.002, sigma_max=80.0)
    entropy = math.log2(0.25 * math.sqrt(2 * math.pi * math.e) / GREY_LEVEL)
    assert float(bits.mean()) == pytest.approx(entropy, rel=0.01)


def test_a_random_probe_has_the_right_trace_on_average():
    """A denoiser whose Jacobian is far from diagonal: each value becomes the mean of all."""
    pictures = torch.zeros(4000, 1, 2, 2)
    probe = torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0)).sign()

    def denoise(noisy, sigma):
        return noisy.mean((2, 3), keepdim=True).expand_as(noisy) / (1 + sigma.view(-1, 1, 1, 1) ** 2)

    def exact(noisy, sigma):  # the same trace, on the diagonal
        return noisy / 4 / (1 + sigma.view(-1, 1, 1, 1) ** 2)

    estimated, true = (
        float(ode_log_density(one, pictures, probe, sigma_min=0.01, sigma_max=50.0, steps=8).mean())
        for one in (denoise, exact)
    )
    assert estimated == pytest.approx(true, abs=0.1)


def test_grey_levels_are_a_distribution():
    levels = torch.arange(256) / 127.5 - 1
    for mean, deviation in ((0.2, 0.05), (-1.1, 0.5), (0.999, 0.003)):
        log_variance = torch.full_like(levels, 2 * math.log(deviation))
        nats = grey_level_nats(levels, torch.full_like(levels, mean), log_variance)
        assert float((-nats).exp().sum()) == pytest.approx(1.0, abs=1e-5)


def test_kl_of_normals_against_torch():
    first = torch.distributions.Normal(torch.randn(5), torch.rand(5) + 0.1)
    second = torch.distributions.Normal(torch.randn(5), torch.rand(5) + 0.1)
    nats = normal_kl_nats(first.mean, 2 * first.stddev.log(), second.mean, 2 * second.stddev.log())
    assert torch.allclose(nats, torch.distributions.kl_divergence(first, second), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", [ddpm, edm, flow], ids=lambda family: family.__name__.rpartition(".")[2])
def test_bits_of_a_row_are_its_own_and_always_the_same(family):
    model = wake(family.build(family.Config.preset("tiny"), DIGITS).model)
    pictures, labels = grey_levels(3, DIGITS), torch.tensor([1, 2, 3])
    with torch.no_grad():
        together = model.bits_per_dim(pictures, Condition(labels=labels))
        torch.manual_seed(5)
        alone = torch.cat([model.bits_per_dim(pictures[[i]], Condition(labels=labels[[i]])) for i in range(3)])
    assert together.shape == (3,)
    assert torch.allclose(together, alone, rtol=1e-3)
    assert together.std() > 0


# ddpm


def test_ddpm_schedules_are_those_of_the_papers():
    linear = ddpm.betas("linear", 1000)
    assert (float(linear[0]), float(linear[-1])) == pytest.approx((1e-4, 0.02))
    assert float((1 - linear).prod()) == pytest.approx(4.04e-5, rel=0.01)  # improved-diffusion, section 3.2
    alpha_bar = (1 - ddpm.betas("cosine", 1000)).cumprod(0)
    by_hand = math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert float(alpha_bar[499]) == pytest.approx(by_hand, rel=1e-6)


@pytest.mark.parametrize("target", ["noise", "velocity", "image"])
def test_ddpm_finds_the_picture_behind_its_target(target):
    """With the true answer in place of the network's, denoise gives the clean picture at every noise level."""
    model = ddpm.build(replace(ddpm.Config.preset("tiny"), target=target), GREY).model
    x, n = grey_levels(), torch.randn(6, *GREY.shape)
    for sigma in (model.sigma_min, 0.5, 20.0):
        radius = math.sqrt(1 + sigma**2)
        answer = {"noise": n, "velocity": (n - sigma * x) / radius, "image": x}[target]
        model.net = Known(lambda x_t, condition, t, answer=answer: answer)
        clean = model.denoise(x + sigma * n, torch.full((6,), sigma))
        assert torch.allclose(clean, x, atol=1e-4)


def test_ddpm_time_is_the_step_of_the_noise_level():
    model = ddpm.build(ddpm.Config.preset("tiny"), GREY).model
    asked = []
    model.net = Known(lambda x_t, condition, t: asked.append(t * model.steps) or x_t)
    steps = torch.tensor([0, 1, 17, 500, 998])
    model.denoise(torch.zeros(5, *GREY.shape), model.log_sigmas[steps].exp())
    between = (model.log_sigmas[17] + model.log_sigmas[18]) / 2
    model.denoise(torch.zeros(1, *GREY.shape), between.exp()[None])
    assert torch.allclose(asked[0], steps.float(), atol=1e-2)
    assert float(asked[1]) == pytest.approx(17.5, abs=0.01)


@pytest.mark.parametrize("target", ["noise", "velocity", "image"])
def test_min_snr_weights_are_equal_for_every_target(target):
    """min(SNR, 5) times the error of the picture, whatever the network is asked for."""
    config = replace(ddpm.Config.preset("tiny"), target=target, min_snr=5.0)
    objective = ddpm.build(config, GREY)
    wrong = 0.1 * torch.randn(GREY.shape)
    for sigma in (0.1, 1.0, 4.0):
        of_answer = {"noise": 1 / sigma, "velocity": math.sqrt(1 + 1 / sigma**2), "image": 1.0}[target] * wrong
        weight = float(objective._weight(torch.tensor([sigma])))
        expected = min(sigma**-2, 5.0) * wrong.square().mean()
        assert weight * float(of_answer.square().mean()) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("learn_variance", [False, True])
def test_ddpm_bound_is_the_sum_of_its_terms(learn_variance):
    """A chain so short that nothing is estimated, against torch.distributions and the definition of the posterior."""
    steps = 12
    config = replace(ddpm.Config.preset("tiny"), steps=steps, schedule="linear", learn_variance=learn_variance)
    model = wake(ddpm.build(config, GREY).model, std=0.05)
    pictures = grey_levels(1000)
    with torch.no_grad(), seeded(0):
        bits = model.bits_per_dim(pictures)
        expected = brute_force_bound(model, pictures, ddpm.betas("linear", steps).float())
    error = float((bits.var() + expected.var()).sqrt()) / 1000**0.5
    assert float(bits.mean()) == pytest.approx(float(expected.mean()), abs=3 * error)
    assert error < 0.02 * float(bits.mean())


def brute_force_bound(model, x, beta):
    """Ho et al. 2020, equation 5, one step after the other; Bayes' rule for Gaussians in place of equation 7."""
    normal, alpha_bar = torch.distributions.Normal, (1 - beta).cumprod(0)
    nats = torch.distributions.kl_divergence(
        normal(alpha_bar[-1].sqrt() * x, (1 - alpha_bar[-1]).sqrt()), normal(0.0, 1.0)
    )
    for t in range(len(beta)):
        x_t = alpha_bar[t].sqrt() * x + (1 - alpha_bar[t]).sqrt() * torch.randn(x.shape)
        sigma = (1 / alpha_bar[t] - 1).sqrt().expand(len(x))
        _, clean, share = model.predict(x_t, torch.full((len(x),), t), sigma, None)
        # p(x_t-1 | x) is N(sqrt(before) x, 1 - before), p(x_t | x_t-1) is N(sqrt(1 - beta) x_t-1, beta)
        before = alpha_bar[max(t, 1) - 1]
        precision = (1 - beta[max(t, 1)]) / beta[max(t, 1)] + 1 / (1 - before)
        least = 1 / precision

        def mean(picture, t=t, before=before, precision=precision, x_t=x_t):
            if t == 0:
                return picture
            return ((1 - beta[t]).sqrt() * x_t / beta[t] + before.sqrt() * picture / (1 - before)) / precision

        log_variance = beta[t].log().expand_as(x)
        if share is not None:
            log_variance = (share + 1) / 2 * beta[t].log() + (1 - share) / 2 * least.log()
        reverse = normal(mean(clean.clamp(-1, 1)), (log_variance / 2).exp())
        if t:
            nats = nats + torch.distributions.kl_divergence(normal(mean(x), least.sqrt()), reverse)
        else:
            above = torch.where(x > 0.999, 1.0, reverse.cdf(x + 1 / 255))
            below = torch.where(x < -0.999, 0.0, reverse.cdf(x - 1 / 255))
            nats = nats - (above - below).clamp_min(1e-12).log()
    return nats.flatten(1).mean(1) / math.log(2)


def test_ddpm_estimates_a_long_bound_without_bias():
    """Groups of steps, each estimated by one, against all thousand steps."""
    model = wake(ddpm.build(replace(ddpm.Config.preset("tiny"), schedule="linear"), GREY).model)
    pictures = grey_levels(100)
    with torch.no_grad(), seeded(0):
        bits = model.bits_per_dim(pictures)
        expected = brute_force_bound(model, pictures, ddpm.betas("linear", 1000).float())
    error = float((bits.var() + expected.var()).sqrt()) / 100**0.5
    assert float(bits.mean()) == pytest.approx(float(expected.mean()), abs=3 * error)
    assert error < 0.1 * float(bits.mean())


# edm


def test_edm_starts_with_unit_loss_at_every_noise_level():
    """The network's task has unit variance: its zero answer costs 1 where the data has the deviation sigma_data."""
    objective = edm.build(edm.Config.preset("tiny"), ImageSpec(1, 16, 16))
    x = 0.5 * torch.randn(512, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    for mean in (-3.0, 0.0, 3.0):
        objective.config = replace(objective.config, sigma_log_mean=mean, sigma_log_std=0.01)
        with torch.no_grad():
            assert float(objective.loss(Batch(x)).terms["denoise"]) == pytest.approx(1.0, abs=0.05)


def test_edm_leaves_the_picture_alone_where_there_is_no_noise():
    model = wake(edm.build(edm.Config.preset("tiny"), DIGITS).model)
    x = grey_levels(4, DIGITS)
    assert torch.allclose(model.denoise(x, torch.full((4,), 1e-5)), x, atol=1e-3)


def test_noise_levels_are_log_normal():
    torch.manual_seed(0)
    logs = log_normal_sigmas(20_000, mean=-1.2, std=1.2).log()
    assert (float(logs.mean()), float(logs.std())) == pytest.approx((-1.2, 1.2), abs=0.05)


def test_augmentation_tells_what_it_did():
    """A picture moved by known numbers: mirrored ones are mirrored, untouched ones are told so, by zeros."""
    x = grey_levels(64, ImageSpec(3, 12, 8))
    torch.manual_seed(0)
    moved, changes = edm.augmented(x, 0.1)
    untouched = (changes == 0).all(1)
    assert untouched.any() and not untouched.all()
    assert torch.allclose(moved[untouched], x[untouched], atol=1e-4)
    assert not torch.allclose(moved[~untouched], x[~untouched], atol=1e-2)
    mirrored = (changes[:, 0] == 1) & (changes[:, 1:] == 0).all(1)
    assert mirrored.any()
    assert torch.allclose(moved[mirrored], x[mirrored].flip(-1), atol=1e-4)


def test_the_network_is_told_what_was_done_and_draws_as_if_nothing_was():
    config = replace(edm.Config.preset("tiny"), augment=0.5)
    objective = edm.build(config, GREY)
    assert len(objective.model.net.times) == 1 + edm.CHANGES
    model = wake(objective.model)
    noisy, sigma = torch.randn(2, *GREY.shape), torch.ones(2)
    told = model.denoise(noisy, sigma, None, torch.ones(2, edm.CHANGES))
    assert torch.equal(model.denoise(noisy, sigma), model.denoise(noisy, sigma, None, torch.zeros(2, edm.CHANGES)))
    assert not torch.allclose(model.denoise(noisy, sigma), told)


# meanflow


def test_meanflow_change_along_the_path_is_the_derivative():
    """Forward-mode differentiation against a difference quotient, through a U-Net with attention."""
    config = replace(meanflow.Config.preset("tiny"), net="unet", width=8)
    objective = meanflow.build(config, ImageSpec(1, 8, 8))
    model = wake(objective.model).double()
    z, v = (torch.randn(3, 1, 8, 8, dtype=torch.float64) for _ in range(2))
    r, t = torch.tensor([0.1, 0.3, 0.2]).double(), torch.tensor([0.5, 0.9, 0.2]).double()
    with torch.no_grad():
        change = objective._change(z, r, t, Condition(), v)
        h = 1e-3
        after, before = (model.velocity(z + s * v, r, t + s, None) for s in (h, -h))
    assert torch.allclose(change, (after - before) / (2 * h), rtol=0.02, atol=2e-3 * float(change.abs().max()))


def test_meanflow_target_of_an_exact_average_is_itself():
    """Data that is one grey level: v = (z - x) / t is constant along a path, so u = v, and the identity holds."""
    objective = meanflow.build(meanflow.Config.preset("tiny"), GREY)
    level = 0.4
    objective.model.velocity = lambda z, r, t, condition: (z - level) / t.view(-1, 1, 1, 1)
    x = torch.full((32, *GREY.shape), level)
    loss = objective.loss(Batch(x))
    assert float(loss.stats["error"]) < 1e-8


@pytest.mark.parametrize(("share", "size"), [(0.25, 1), (0.25, 2), (0.01, 1), (0.3, 5), (1.0, 1)])
def test_meanflow_share_holds_on_the_mean_however_small_a_slice_is(share, size):
    objective = meanflow.build(replace(meanflow.Config.preset("tiny"), share_apart=share), GREY)
    apart = []

    def target(v, z, r, t, condition, most):
        apart.append(int((r < t).sum()))
        assert not (r < t)[most:].any()
        return v

    objective._target = target
    torch.manual_seed(0)
    with torch.no_grad():
        for _ in range(400):
            objective.loss(batch(size, GREY))
    wanted = share * size
    assert sum(apart) / 400 == pytest.approx(wanted, abs=4 * math.sqrt((wanted % 1) * (1 - wanted % 1) / 400) + 1e-9)
    assert set(apart) <= {math.floor(wanted), math.ceil(wanted)}


def test_private_meanflow_learns_averages_of_a_share_of_its_pictures():
    """Of one picture at a time, each has a coin of its own."""
    seen = []
    for share in (0.01, 0.5, 1.0):
        objective = meanflow.build(replace(meanflow.Config.preset("tiny"), share_apart=share), GREY).train()
        wake(objective.model).train()
        gradients = Private(objective, replace(meanflow.TRAIN, privacy=Privacy(epsilon=3.0)), 1.0, b"x")
        torch.manual_seed(5)
        gradients.add(objective.phases()[0], Slice(0, 1.0, batch(32, GREY)), Engine())
        seen.append(torch.cat([one.grad.flatten() for one in objective.parameters() if one.grad is not None]))
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_meanflow_generates_a_single_picture_exactly(steps):
    model = meanflow.build(meanflow.Config.preset("tiny"), GREY).model
    model.velocity = lambda z, r, t, condition: (z - 0.4) / t.view(-1, 1, 1, 1)
    pictures = model.generate(noise([0, 1], model), None, meanflow.Sampling(steps=steps))
    assert torch.allclose(pictures, torch.tensor(0.4), atol=1e-5)


def test_meanflow_guidance_is_learnt():
    """Where asked and free velocities are known, the target's mean is w v_asked + (1 - w) v_free."""
    objective = meanflow.build(replace(meanflow.Config.preset("tiny"), guidance=2.0), DIGITS)
    asked, free, w = 1.0, 0.25, 2.0
    learnt = w * asked + (1 - w) * free

    def velocity(z, r, t, condition):
        given = (condition.labels >= 0).view(-1, 1, 1, 1)
        return torch.where(given, learnt, free) + 0 * z

    objective.model.velocity = velocity
    labels, t = torch.tensor([3, -1]), torch.tensor([0.5, 0.5])
    v = torch.tensor([asked, free]).view(2, 1, 1, 1).expand(2, *DIGITS.shape)
    target = objective._target(v, torch.zeros(2, *DIGITS.shape), t, t, Condition(labels=labels), 1)
    assert torch.allclose(target[0], torch.tensor(learnt))
    assert torch.allclose(target[1], torch.tensor(free))


def test_adaptive_errors_keep_their_direction_and_lose_their_size():
    error = torch.tensor([0.01, 100.0], requires_grad=True)
    adaptive(error, 1.0).sum().backward()
    assert torch.allclose(error.grad * error.detach(), torch.ones(2), atol=0.1)
    assert torch.equal(adaptive(error.detach(), 0.0), error.detach())


def test_pseudo_huber_is_square_then_straight():
    zero = torch.zeros(2, 1, 10, 10)
    c = 0.00054 * 10
    near, far = pseudo_huber(torch.full_like(zero, 1e-5), zero)[0], pseudo_huber(torch.full_like(zero, 3.0), zero)[0]
    assert float(near) == pytest.approx(1e-8 / (2 * c), rel=0.05)
    assert float(far) == pytest.approx(30.0, rel=0.01)


# consistency


@pytest.fixture
def teacher(tmp_path):
    """A flow of the digits with random weights, as a run folder."""
    return written(tmp_path / "teacher", "flow", flow, DIGITS)


def written(path, name, family, spec):
    config = family.Config.preset("tiny")
    model = wake(family.build(config, spec).model)
    write_model(path / "model", model.state_dict(), name, config, spec, {})
    return path


def config_of(teacher, **settings):
    return replace(consistency.Config.preset("tiny"), teacher=str(teacher), **settings)


def test_the_student_begins_as_its_teacher(teacher):
    objective = consistency.build(config_of(teacher), DIGITS)
    objective.begin()
    model, noisy = load_model(teacher).model, torch.randn(2, *DIGITS.shape)
    expected = model.denoise(noisy, torch.ones(2), None)
    assert torch.equal(objective.model.end(noisy, torch.ones(2), None), expected)
    assert not any("teacher" in name for name in objective.model.state_dict())


def test_a_consistent_student_has_nothing_to_learn(teacher):
    """A Gaussian's exact teacher, and the student that knows where its paths end: the loss is the solver's error."""
    objective = consistency.build(config_of(teacher, levels=60, guidance=1.0), DIGITS)
    data = Gaussian(0.1, 0.4)

    class Exact(torch.nn.Module):
        def denoise(self, noisy, sigma, condition=None):
            return data.denoise(noisy, sigma)

    class Ends(torch.nn.Module):
        def denoise(self, noisy, sigma, condition=None):
            return 0.1 + (noisy - 0.1) * (0.16 / (0.16 + sigma.view(-1, 1, 1, 1) ** 2)).sqrt()

    objective.teacher, objective.model.student = Exact(), Exact()
    wrong = float(objective.loss(batch()).terms["consistency"])
    objective.model.student = Ends()
    assert float(objective.loss(batch()).terms["consistency"]) < 0.05 * wrong


def test_a_run_outlives_its_teacher(digits, teacher, tmp_path):
    """Stopped, its teacher deleted, it goes on to the very weights that it would have had, and they can be loaded."""
    train = TrainConfig(batch_size=8, sample_every=0, validate_every=0)

    def train_run(folder, stop_after=0):
        pin = DataPin(str(digits.path), digits.pixel_digest, digits.label_digest)
        asked = RunConfig("consistency", config_of(teacher), digits.spec, pin, train, steps=6, engine=Engine())
        taken = 0

        def stopping():
            return taken == stop_after > 0

        for _ in fit(folder, open_run(folder, asked), digits, warn=pytest.fail, stopping=stopping):
            taken += 1

    train_run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_run(tmp_path / "parts", stop_after=2)
    shutil.rmtree(teacher)
    train_run(tmp_path / "parts")
    whole, parts = (load_model(tmp_path / name).model.state_dict() for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_consistency_refuses_teachers_that_cannot_teach(teacher, tmp_path):
    with pytest.raises(ConfigError, match=r"--family\.teacher: give a run that denoises"):
        consistency.build(consistency.Config(), DIGITS)
    with pytest.raises(DataError, match="give a run of the same dataset"):
        consistency.build(config_of(teacher), ImageSpec(1, 8, 8))
    judge = written(tmp_path / "judge", "classifier", classifier, DIGITS)
    with pytest.raises(CapabilityError, match="a 'classifier' does not denoise pictures"):
        consistency.build(config_of(judge), DIGITS)


def test_later_steps_of_consistency_sampling_have_noise_of_their_own(teacher):
    model = wake(consistency.build(config_of(teacher), DIGITS).model)
    seeds = noise(range(3), model)
    with torch.no_grad(), seeded(0):
        one, four = (model.generate(seeds, None, consistency.Sampling(steps=steps)) for steps in (1, 4))
        again = model.generate(seeds[1:2], None, consistency.Sampling(steps=4))
    assert not torch.allclose(one, four, atol=1e-2)
    assert torch.allclose(again, four[1:2], atol=1e-4)
