"""What is particular to a family; what all share is in tests/conformance."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from figment.core.engine import seeded
from figment.core.errors import ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Batch, Condition, ImageSpec
from figment.families import classifier, contrastive, flow, gan, vae

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))


def batch(size=6, spec=DIGITS):
    labels = torch.arange(size) % spec.num_classes if spec.classes else None
    return Batch(torch.rand(size, *spec.shape) * 2 - 1, Condition(labels=labels))


@pytest.mark.parametrize(
    ("size", "net"), [((8, 8), "ModulatedMlp"), ((10, 10), "ModulatedMlp"), ((11, 11), "UNet"), ((28, 28), "UNet")]
)
def test_flow_takes_the_mlp_for_tiny_pictures(size, net):
    assert type(flow.build(flow.Config.preset("tiny"), ImageSpec(1, *size)).model.net.net).__name__ == net


class Velocity(torch.nn.Module):
    """The exact velocity for data that is one grey level."""

    def __init__(self, level: float):
        super().__init__()
        self.level = level

    def forward(self, x_t, condition, t):  # v = n - x, with n read off x_t = (1 - t) x + t n
        t = t.view(-1, 1, 1, 1).clamp_min(1e-6)
        return (x_t - (1 - t) * self.level) / t - self.level


@pytest.mark.parametrize("sampler", ["euler", "heun", "dpmpp_2m"])
@pytest.mark.parametrize("steps", [1, 3, 10])
def test_flow_generates_a_single_picture_exactly(sampler, steps):
    model = flow.build(flow.Config.preset("tiny"), DIGITS).model
    model.net = Velocity(0.4)
    settings = flow.Sampling(sampler=sampler, steps=steps, guidance=1.0)
    assert torch.allclose(model.generate(noise([0, 1], model), None, settings), torch.tensor(0.4), atol=1e-4)


def test_flow_denoises_at_every_noise_level():
    model = flow.build(flow.Config.preset("tiny"), DIGITS).model
    model.net = Velocity(-0.2)
    for sigma in (model.sigma_min, 1.0, model.sigma_max):
        noisy = -0.2 + sigma * torch.randn(3, 1, 8, 8)
        clean = model.denoise(noisy, torch.full((3,), sigma))
        assert torch.allclose(clean, torch.tensor(-0.2), atol=4e-3)


def test_flow_learns_with_and_without_labels():
    """With every label dropped the loss must not depend on labels at all."""
    objective = flow.build(replace(flow.Config.preset("tiny"), condition_dropout=1.0), DIGITS)
    torch.nn.init.normal_(objective.model.net.condition.labels.weight)
    images, losses = torch.rand(4, 1, 8, 8), []
    for labels in (torch.zeros(4, dtype=torch.long), torch.full((4,), 7)):
        with seeded(0):
            losses.append(float(objective.loss(Batch(images, Condition(labels=labels))).terms["velocity"].detach()))
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    "wrong", [{"steps": 0}, {"guidance": -1.0}, {"sampler": "hoin"}], ids=["steps", "guidance", "sampler"]
)
def test_flow_refuses_sampling_that_cannot_work(wrong):
    with pytest.raises(ConfigError):
        flow.Sampling(**wrong)


def test_vae_loss_is_the_elbo():
    """Against torch.distributions, with the same noise."""
    objective = vae.build(replace(vae.Config.preset("tiny"), condition_dropout=0.0), DIGITS)
    data = batch()
    with seeded(3):
        loss = objective.loss(data)
    with seeded(3):
        mean, log_variance = objective.model.posterior(data.images, data.condition)
        posterior = torch.distributions.Normal(mean, (log_variance / 2).exp())
        z = mean + posterior.stddev * torch.randn(mean.shape)
    decoded = objective.model.decode(z, data.condition)
    std = (decoded - data.images).square().mean().sqrt()
    log_p = torch.distributions.Normal(decoded, std).log_prob(data.images).flatten(1).sum(1)
    kl = torch.distributions.kl_divergence(posterior, torch.distributions.Normal(0.0, 1.0)).sum(1)
    elbo = (log_p - kl).mean() / 64
    assert float(sum(loss.terms.values()).detach()) == pytest.approx(-float(elbo.detach()), rel=1e-5)


def test_vae_survives_a_constant_dataset():
    objective = vae.build(vae.Config.preset("tiny"), ImageSpec(1, 8, 8))
    loss = objective.loss(Batch(torch.zeros(4, 1, 8, 8)))
    assert all(math.isfinite(float(term.detach())) for term in loss.terms.values())


def test_gan_ships_the_generator_alone():
    objective = gan.build(gan.Config.preset("tiny"), DIGITS)
    assert not any("critic" in name for name in objective.model.state_dict())
    assert not objective.has_validation


def test_gan_phases_are_a_game():
    """What lowers the critic's loss on fakes raises the generator's."""
    objective = gan.build(replace(gan.Config.preset("tiny"), critic_dropout=0.0), DIGITS)
    critic, generator = objective.phases()
    assert (critic.updates, generator.updates) == (("critic",), ("model",))
    data = batch()
    with seeded(0):
        before = float(generator.loss(data).terms["adversarial"].detach())
    optimizer = torch.optim.SGD(objective.critic.parameters(), 0.5)
    for _ in range(20):
        optimizer.zero_grad()
        critic.loss(data).terms["adversarial"].backward()
        optimizer.step()
    with seeded(0):
        assert float(generator.loss(data).terms["adversarial"].detach()) > before


def test_classifier_leaves_unlabelled_pictures_out():
    objective = classifier.build(classifier.Config.preset("tiny"), DIGITS).eval()
    images = torch.rand(4, 1, 8, 8)
    labels = torch.tensor([3, -1, 5, -1])
    half = objective.loss(Batch(images, Condition(labels=labels))).terms["cross_entropy"]
    known = objective.loss(Batch(images[[0, 2]], Condition(labels=labels[[0, 2]]))).terms["cross_entropy"]
    assert float(half.detach()) == pytest.approx(float(known.detach()) / 2, rel=1e-5)
    none = objective.loss(Batch(images, Condition(labels=torch.full((4,), -1)))).terms["cross_entropy"]
    assert float(none.detach()) == 0.0


@pytest.mark.parametrize("cuts", [(4, 4), (1, 7), (2, 3, 3)])
def test_classifier_loss_is_the_same_however_a_batch_is_cut(cuts):
    objective = classifier.build(classifier.Config.preset("tiny"), DIGITS).eval()
    images, labels = torch.rand(8, 1, 8, 8), torch.tensor([0, 1, 0, 1, 1, -1, -1, -1])
    loss_of = lambda x, y: float(objective.loss(Batch(x, Condition(labels=y))).terms["cross_entropy"].detach())  # noqa: E731
    parts = zip(images.split(cuts), labels.split(cuts), strict=True)
    assert sum(loss_of(x, y) * len(x) / 8 for x, y in parts) == pytest.approx(loss_of(images, labels), rel=1e-5)


def test_classifier_needs_two_classes():
    with pytest.raises(DataError, match="needs two classes or more, this dataset has 1"):
        classifier.build(classifier.Config(), ImageSpec(1, 8, 8, classes=("only",)))


def test_classifier_does_not_mind_the_brightness_of_its_data():
    """Standardised input: a dataset ten times paler gives the same answers once its statistics are known."""
    objective = classifier.build(classifier.Config.preset("tiny"), DIGITS)
    images, answers = torch.randn(64, 1, 8, 8), []
    for scale in (1.0, 0.1):
        model = classifier.build(classifier.Config.preset("tiny"), DIGITS).model
        model.load_state_dict(objective.model.state_dict())
        with torch.no_grad():
            answers.append(model.train().classify(images * scale))
    assert torch.allclose(*answers, atol=1e-2)


def test_contrastive_views_differ_but_show_the_same():
    objective = contrastive.build(contrastive.Config.preset("tiny"), ImageSpec(3, 16, 16))
    images = torch.rand(5, 3, 16, 16) * 2 - 1
    first, second = objective.view(images), objective.view(images)
    assert first.shape == images.shape
    assert not torch.equal(first, second)
    assert first.abs().max() <= 1
