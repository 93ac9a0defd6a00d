"""Guidance as a change of the denoiser: by the condition, by a worse run, by a judge; in an interval; held in range."""

from __future__ import annotations

import pytest
import torch

from figment.core import plugins
from figment.core.checkpoint import load_model, write_model
from figment.core.engine import seeded
from figment.core.errors import CapabilityError, ConfigError
from figment.core.types import Condition, ImageSpec
from figment.samplers import Sampling, draw, guided
from figment.samplers._exact import Gaussian

SPEC = ImageSpec(1, 8, 8, classes=("a", "b", "c"))


def randn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Labelled:
    """Its picture is its label; -1 where none is given."""

    sigma_min, sigma_max, calls = 0.02, 1.0, 0

    def denoise(self, noisy, sigma, condition=None):
        self.calls += 1
        return condition.labels.float().view(-1, 1, 1, 1).expand_as(noisy)


def answer(model, condition, sigma=(1.0, 1.0), **settings):
    sigma = torch.tensor(sigma)
    return guided(model, condition, Sampling(**settings))(torch.zeros(len(sigma), 1, 2, 2), sigma)


@pytest.mark.parametrize(("guidance", "expected"), [(0.0, -1.0), (1.0, 3.0), (2.0, 7.0)])
def test_guidance_goes_from_the_free_answer_through_the_asked_one(guidance, expected):
    model = Labelled()
    found = answer(model, Condition(labels=torch.tensor([3, 3])), guidance=guidance)
    assert found.unique().tolist() == [expected]
    assert model.calls == 1


class Remembering:
    """Answers 0, and remembers what it was asked."""

    sigma_min, sigma_max = 0.02, 1.0

    def denoise(self, noisy, sigma, condition=None):
        self.condition = condition
        return torch.zeros_like(noisy)


def test_every_part_of_a_condition_is_asked_and_left_open():
    model = Remembering()
    asked = Condition(
        labels=torch.tensor([3, 0]),
        attributes=torch.tensor([[0.5, 1.0], [0.0, 2.0]]),
        captions=torch.tensor([[99, 97, 116], [100, 111, 103]], dtype=torch.uint8),
        image=torch.ones(2, 1, 2, 2),
    )
    answer(model, asked, guidance=3.0)
    for name, part in vars(model.condition).items():
        assert torch.equal(part[:2], getattr(asked, name))
        assert part.dtype == getattr(asked, name).dtype
    free = model.condition[2:]
    assert free.labels.tolist() == [-1, -1] and free.captions.sum() == 0
    assert free.attributes.isnan().all() and free.image.isnan().all()


@pytest.mark.parametrize("condition", [None, Condition()])
def test_without_a_condition_it_is_asked_once(condition):
    model = Remembering()
    answer(model, condition, guidance=3.0)
    assert model.condition is condition


def test_guidance_acts_within_its_interval_row_by_row():
    model, condition = Labelled(), Condition(labels=torch.tensor([3, 3, 3, 3]))
    interval = {"guidance": 2.0, "guidance_low": 0.5, "guidance_high": 4.0}
    found = answer(model, condition, sigma=(0.5, 0.6, 4.0, 4.1), **interval)
    assert found[:, 0, 0, 0].tolist() == [3, 7, 7, 3]


def test_outside_the_interval_the_free_answer_is_not_asked_for():
    model = Remembering()
    answer(model, Condition(labels=torch.tensor([3, 3])), sigma=(5.0, 5.0), guidance=2.0, guidance_high=4.0)
    assert len(model.condition.labels) == 2


def test_dynamic_thresholding_scales_each_picture_back_by_its_own_quantile():
    class Loud(Remembering):
        def denoise(self, noisy, sigma, condition=None):
            return torch.tensor([[-4.0, 1.0, 2.0, 0.5], [0.2, -0.9, 0.1, 0.3]]).view(2, 1, 2, 2)

    found = answer(Loud(), None, threshold=1.0)
    assert found[0].flatten().tolist() == [-1, 0.25, 0.5, 0.125]
    assert torch.equal(found[1], Loud().denoise(None, None)[1])  # within [-1, 1]: left alone
    half = answer(Loud(), None, threshold=0.5)[0].flatten()  # the median of 4, 1, 2, 0.5 is 1.5
    assert torch.allclose(half, torch.tensor([-1.0, 1 / 1.5, 1.0, 0.5 / 1.5]))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with shipped models, their weights drawn at random: flow, classifier, and a flow of other pictures."""
    folder = tmp_path_factory.mktemp("runs")
    for name, family, spec in (
        ("flow", "flow", SPEC),
        ("judge", "classifier", SPEC),
        ("other", "flow", ImageSpec(1, 9, 9, classes=SPEC.classes)),
    ):
        module = plugins.load("families", family)
        config = module.Config.preset("tiny")
        with seeded(1):
            model = module.build(config, spec).model
            for weight in model.parameters():
                weight.data.normal_(std=0.3)
        write_model(folder / name / "model", model.state_dict(), family, config, spec, {})
    return folder


class Exact(Gaussian):
    spec = SPEC


@pytest.mark.parametrize("condition", [None, Condition(labels=torch.tensor([2, 0]))])
def test_autoguidance_leads_away_from_another_runs_answer(runs, condition):
    noisy, sigma = randn(2, 1, 8, 8), torch.tensor([0.5, 2.0])
    asked = Exact().denoise(noisy, sigma)
    worse = load_model(runs / "flow").model.denoise(noisy, sigma, condition)
    settings = Sampling(guidance=3.0, guide=str(runs / "flow"))
    found = guided(Exact(), condition, settings)(noisy, sigma)
    assert torch.allclose(found, worse + 3 * (asked - worse), atol=1e-5)


def test_a_judge_leads_by_its_gradient_through_the_denoised_estimate(runs):
    """For a Gaussian dD/dx = s^2 / (s^2 + sigma^2), so the gradient is known without going through D."""
    noisy, sigma, labels = randn(3, 1, 8, 8), torch.tensor([0.5, 2.0, 1.0]), torch.tensor([2, 0, -1])
    settings = Sampling(guidance=1.0, judge=str(runs / "judge"), judge_scale=2.0)
    with torch.no_grad():
        found = guided(Exact(), Condition(labels=labels), settings)(noisy, sigma)
    clean = Exact().denoise(noisy, sigma).requires_grad_()
    judge = load_model(runs / "judge").model
    log_p = judge.classify(clean).log_softmax(1)
    (slope,) = torch.autograd.grad(log_p[0, 2] + log_p[1, 0], clean)
    gain = (sigma**2 * 0.5**2 / (0.5**2 + sigma**2)).view(-1, 1, 1, 1)
    assert not found.requires_grad
    assert torch.allclose(found, clean + 2 * gain * slope, atol=1e-5)
    assert not torch.allclose(found[:2], clean[:2], atol=1e-3)
    assert torch.equal(found[2], clean[2])  # a row without a label


def test_pictures_drawn_with_a_judge_are_likelier_to_be_of_their_label(runs):
    start, labels = randn(12, 1, 8, 8), torch.arange(12) % 3
    judge = load_model(runs / "judge").model
    log_p = []
    for scale in (0.0, 5.0):
        settings = Sampling(steps=10, guidance=1.0, judge=str(runs / "judge"), judge_scale=scale)
        pictures = draw(Exact(), start, Condition(labels=labels), settings)
        log_p.append(judge.classify(pictures).log_softmax(1)[range(12), labels])
    assert (log_p[1] > log_p[0]).all()


@pytest.mark.parametrize(
    ("settings", "condition", "error", "told"),
    [
        ({"guide": "judge"}, None, CapabilityError, "does not denoise"),
        ({"judge": "flow"}, Condition(labels=torch.zeros(2, dtype=torch.int64)), CapabilityError, "does not classify"),
        ({"judge": "judge"}, None, ConfigError, "judges by labels, and none are asked for"),
        ({"guide": "other"}, None, ConfigError, "was trained on 9x9x1, 3 classes, the model on 8x8x1, 3 classes"),
    ],
)
def test_runs_that_cannot_guide_are_refused(runs, settings, condition, error, told):
    asked = Sampling(**{name: str(runs / run) for name, run in settings.items()})
    with pytest.raises(error, match=told):
        guided(Exact(), condition, asked)


def test_latents_have_no_range_to_be_held_in():
    class Latent(Remembering):
        def encode(self, images):
            return images

        def decode(self, latents):
            return latents

    with pytest.raises(ConfigError, match=r"--sampling\.threshold 0\.99: this run denoises latents"):
        guided(Latent(), None, Sampling(threshold=0.99))
