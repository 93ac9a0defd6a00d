"""r3gan, biggan and stylegan2: their losses and layers against closed forms, and what their states remember."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from figment.core.diff_augment import MOST, AdaptiveStrength, disturb
from figment.core.engine import Engine, seeded
from figment.core.errors import ConfigError
from figment.core.noise import noise
from figment.core.types import Batch, Condition, Generates, ImageSpec, Maps
from figment.families import biggan, r3gan, stylegan2
from figment.losses.pairing import pairing_critic, pairing_generator
from figment.losses.penalties import overlap, path_lengths, squared_slope
from figment.nets.biggan import BigGenerator, ProjectionCritic
from figment.nets.pyramid import level_widths, pyramid, resize
from figment.nets.spectral import raw_weights, spectral
from figment.nets.style import (
    EqualConv,
    EqualLinear,
    Mapping,
    ModulatedConv,
    StyleCritic,
    Synthesis,
    deviation,
)
from figment.train.trainer import Trainer

FAMILIES = {"r3gan": r3gan, "biggan": biggan, "stylegan2": stylegan2}
SPEC = ImageSpec(1, 8, 8, classes=("even", "odd"))


def built(family, spec=SPEC, **changes):
    with seeded(0):
        return family.build(replace(family.Config.preset("tiny"), **changes), spec)


def pictures(spec=SPEC, count=8) -> Batch:
    source = torch.Generator().manual_seed(3)
    images = torch.rand(count, *spec.shape, generator=source) * 2 - 1
    return Batch(images, Condition(labels=torch.arange(count) % 2 if spec.classes else None))


# The pairing game


def test_pairing_at_known_logits():
    real, fake = torch.tensor([[2.0], [0.0]]), torch.tensor([[-1.0], [0.0]])
    expected = (math.log1p(math.exp(-3)) + math.log(2)) / 2
    assert float(pairing_critic(real, fake)) == pytest.approx(expected)
    assert float(pairing_generator(real, fake)) == pytest.approx((math.log1p(math.exp(3)) + math.log(2)) / 2)


def test_pairing_sees_only_differences():
    real, fake = torch.randn(5, 1), torch.randn(5, 1)
    assert torch.allclose(pairing_critic(real + 7, fake + 7), pairing_critic(real, fake), atol=1e-5)


# Penalties


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_slope_of_a_linear_critic_is_its_weight(precision):
    critic = nn.Sequential(nn.Flatten(), nn.Linear(12, 1))
    with Engine(precision=precision).arithmetic():
        slope = squared_slope(critic, torch.randn(5, 3, 2, 2))
    weight = critic[1].weight
    assert slope.dtype == torch.float32
    assert torch.allclose(slope, weight.square().sum().expand(5), rtol=1e-5)
    slope.mean().backward()
    assert torch.allclose(weight.grad, 2 * weight, rtol=1e-5)


def test_path_lengths_of_a_scaled_picture():
    w = torch.randn(6, 2, 16, requires_grad=True)
    lengths = path_lengths(lambda w: 3 * w[:, 0].view(-1, 1, 4, 4), w)
    # J^T y is 3 y / sqrt(16) in one of two layers: its expected square is 9, halved by the mean over layers.
    many = torch.cat([path_lengths(lambda w: 3 * w[:, 0].view(-1, 1, 4, 4), w) for _ in range(200)])
    assert lengths.shape == (6,)
    assert float(many.square().mean()) == pytest.approx(4.5, rel=0.05)


def test_overlap_is_zero_of_orthogonal_rows_of_any_length():
    rows = 3 * torch.linalg.qr(torch.randn(6, 4))[0].T
    assert float(overlap([rows.reshape(4, 3, 2, 1)])) == pytest.approx(0, abs=1e-4)
    assert float(overlap([torch.ones(2, 5)])) == pytest.approx(2 * 5**2)


# Sizes


@pytest.mark.parametrize(
    ("size", "sizes"),
    [
        ((28, 28), [(4, 4), (7, 7), (14, 14), (28, 28)]),
        ((8, 8), [(4, 4), (8, 8)]),
        ((17, 23), [(5, 6), (9, 12), (17, 23)]),
    ],
)
def test_pyramid(size, sizes):
    assert pyramid(size) == sizes
    assert level_widths(3, 8, 16) == [16, 16, 8]


def test_resizing_by_two_is_the_filter_of_the_paper():
    line = torch.tensor([[[[0.0, 0.0, 1.0, 0.0, 0.0]]]]).expand(1, 1, 2, 5)
    assert torch.allclose(resize(line, (2, 10))[0, 0, 0, 2:8], torch.tensor([0.0, 0.25, 0.75, 0.75, 0.25, 0.0]))
    assert torch.allclose(resize(torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]]]), (1, 1)), torch.tensor(4.0))


# Layers


def test_spectral_norm_is_the_largest_singular_value():
    layer = spectral(nn.Conv2d(6, 5, 3))
    with torch.no_grad():
        layer.parametrizations.weight.original.normal_()
    largest = torch.linalg.svdvals(layer.parametrizations.weight.original.flatten(1))[0]
    for _ in range(200):
        used = layer.weight
    assert torch.allclose(used, layer.parametrizations.weight.original / largest, rtol=1e-4)
    assert "parametrizations.weight.0.direction" in layer.state_dict()


def test_spectral_layers_begin_orthogonal_and_are_found():
    network = nn.Sequential(spectral(nn.Linear(8, 4)), nn.Linear(4, 4), spectral(nn.Embedding(3, 8)))
    (weight,) = raw_weights(network)
    assert torch.allclose(weight @ weight.T, torch.eye(4), atol=1e-5)


def test_demodulation_gives_unit_variance():
    torch.manual_seed(0)
    layer = ModulatedConv(16, 32, 3, 8)
    answer = layer(torch.randn(16, 16, 20, 20), 4 * torch.randn(16, 8))[..., 1:-1, 1:-1]
    assert torch.allclose(answer.std((2, 3)).mean(0), torch.ones(32), atol=0.1)


def test_modulation_is_that_of_the_kernel():
    layer, images, w = ModulatedConv(3, 4, 3, 5), torch.randn(2, 3, 6, 6), torch.randn(2, 5)
    kernels = layer.style(w)[:, None, :, None, None] * layer.conv.weight * layer.conv.gain
    kernels = kernels / (kernels.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
    expected = torch.cat([nn.functional.conv2d(images[i : i + 1], kernels[i], padding=1) for i in range(2)])
    assert torch.allclose(layer(images, w), expected, atol=1e-5)


def test_equalised_layers_keep_the_variance():
    torch.manual_seed(0)
    for layer in (EqualLinear(400, 300), EqualLinear(400, 300, pace=0.01)):
        assert float(layer(torch.randn(200, 400)).detach().std()) == pytest.approx(1, rel=0.05)
    answer = EqualConv(20, 30, 3)(torch.randn(4, 20, 12, 12)).detach()[..., 1:-1, 1:-1]
    assert float(answer.std()) == pytest.approx(1, rel=0.05)


def test_deviation_tells_groups_apart():
    same, varied = torch.ones(4, 2, 3, 3), torch.randn(4, 2, 3, 3)
    found = deviation(torch.stack([same, varied], 1).flatten(0, 1))  # groups are rows 0, 2, 4, 6 and 1, 3, 5, 7
    assert found.shape == (8, 1, 3, 3)
    assert float(found[::2].max()) < 1e-3
    assert torch.allclose(found[1::2], varied.std(0, unbiased=False).mean().expand(4, 1, 3, 3), atol=1e-4)


# Augmentation


def test_nothing_is_disturbed_at_no_strength():
    images = pictures().images
    assert torch.equal(disturb(images, 0.0, ("flip", "translate", "cutout", "color")), images)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 16), (4, 12, 7)])
def test_gradients_pass_through_changes(shape):
    images = torch.rand(6, *shape).requires_grad_(True)
    changed = disturb(images, 1.0, ("flip", "translate", "cutout", "color"))
    assert changed.shape == images.shape
    assert not torch.allclose(changed, images)
    (gradient,) = torch.autograd.grad(changed.square().sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert images.grad.isfinite().all() and images.grad.abs().sum() > 0


def test_translation_moves_and_cutout_hides():
    torch.manual_seed(0)
    images = torch.arange(1.0, 65).view(1, 1, 8, 8).expand(40, 1, 8, 8)
    moved = disturb(images, 1.0, ("translate",))
    assert all(set(row.unique().tolist()) <= {0.0, *range(1, 65)} for row in moved)
    corners = {float(row[0, 3, 3]) for row in moved}
    assert corners == {float(1 + 8 * y + x) for y in (2, 3, 4) for x in (2, 3, 4)}
    hidden = (disturb(images, 1.0, ("cutout",)) == 0).float().mean((1, 2, 3))
    assert float(hidden.min()) > 0
    assert float(hidden.max()) <= (5 / 8) ** 2


def test_alpha_keeps_its_colour():
    images = torch.rand(5, 4, 6, 6)
    changed = disturb(images, 1.0, ("color",))
    assert torch.equal(changed[:, 3], images[:, 3])
    assert not torch.allclose(changed[:, :3], images[:, :3])


def test_strength_follows_how_sure_the_critic_is():
    strength = AdaptiveStrength(target=0.6, images=100)
    strength.note(torch.full((10, 1), 3.0))
    strength.adjust()
    assert float(strength.value) == pytest.approx(0.1)
    strength.adjust()  # nothing was noted since
    assert float(strength.value) == pytest.approx(0.1)
    strength.note(torch.tensor([[1.0]] * 3 + [[-1.0]] * 2))  # r_t = 0.2
    strength.adjust()
    assert float(strength.value) == pytest.approx(0.05)
    strength.note(torch.ones(1000, 1))
    strength.adjust()
    assert float(strength.value) == pytest.approx(MOST)


def test_strength_is_remembered():
    objective = built(stylegan2)
    objective.strength.images = 64
    trainer = Trainer(objective, stylegan2.TRAIN, steps=1)
    list(trainer.run(lambda step: Batch(10 * pictures().images, pictures().condition)))
    trainer.objective.strength.note(torch.ones(8, 1))
    trainer.objective.strength.adjust()
    fresh = Trainer(built(stylegan2), stylegan2.TRAIN, steps=2)
    fresh.load_state(1, *trainer.state())
    assert float(fresh.objective.strength.value) == float(objective.strength.value) > 0


# The families


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("spec", [SPEC, ImageSpec(4, 16, 12), ImageSpec(3, 17, 23, ("a", "b"), ("age",))], ids=str)
def test_every_phase_moves_its_own_weights_in_bfloat16_and_slices(name, spec):
    train = replace(FAMILIES[name].TRAIN, batch_size=6, slices=2, warmup=0.0)
    trainer = Trainer(built(FAMILIES[name], spec), train, steps=2, engine=Engine(precision="bfloat16"))
    batch = pictures(spec, 6)
    if spec.attributes:
        batch = replace(batch, condition=replace(batch.condition, attributes=torch.tensor([[0.5], [float("nan")]] * 3)))
    before = {key: value.clone() for key, value in trainer.objective.named_parameters()}
    for report in trainer.run(lambda step: batch):
        assert all(math.isfinite(value) for value in report.values.values())
    moved = {key for key, value in trainer.objective.named_parameters() if not torch.equal(value, before[key])}
    assert {"model", "critic"} <= {key.partition(".")[0] for key in moved}


@pytest.mark.parametrize("name", ["r3gan", "stylegan2"])
def test_penalties_in_bfloat16_and_slices_are_those_of_float32(name):
    def penalties(engine: Engine, slices: int) -> dict[str, float]:
        changes = {"augment_target": 1.0} if name == "stylegan2" else {}
        objective = built(FAMILIES[name], **changes)
        batch = replace(pictures(), condition=Condition(labels=torch.zeros(8, dtype=torch.int64)))
        phase = next(phase for phase in objective.phases() if phase.name == "penalty")
        objective.config = replace(objective.config, condition_dropout=0.0)
        with engine.arithmetic():
            parts = [phase.loss(batch[8 * i // slices : 8 * (i + 1) // slices]) for i in range(slices)]
        return {"r1": float(sum(part.terms["r1"].detach() for part in parts) / slices)}

    plain = penalties(Engine(), 1)
    # Groups of the minibatch deviation are other ones in a slice: only the batch as a whole is the same.
    slices = 1 if name == "stylegan2" else 2
    assert penalties(Engine(precision="bfloat16"), slices) == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("name", FAMILIES)
def test_labels_change_the_picture(name):
    model = built(FAMILIES[name]).model.eval()
    assert isinstance(model, Generates)
    z = noise([1, 1], model)
    drawn = model.generate(z, Condition(labels=torch.tensor([0, 1])))
    assert not torch.allclose(drawn[0], drawn[1], atol=1e-4)


def millions(*networks: nn.Module) -> float:
    return sum(parameter.numel() for network in networks for parameter in network.parameters()) / 1e6


@pytest.mark.parametrize(("width", "generator", "critic"), [(16, 25, 24), (32, 30, 29)])
def test_stylegan2_has_the_papers_parameters(width, generator, critic):
    """Karras et al. 2020, appendix B: configurations E and F at 1024x1024."""
    spec = ImageSpec(3, 1024, 1024)
    with torch.device("meta"):
        mapping, synthesis = Mapping(spec, 512, 512, 8), Synthesis(spec, width=width, most=512, style_width=512)
        judge = StyleCritic(spec, width=width, most=512)
    assert synthesis.styles == 18
    assert millions(mapping, synthesis) == pytest.approx(generator, abs=0.5)
    assert millions(judge) == pytest.approx(critic, abs=0.5)


def test_biggan_has_the_papers_parameters():
    """Brock et al. 2019, table 1: 158.3 million in both players at 128x128."""
    spec = ImageSpec(3, 128, 128, classes=tuple(map(str, range(1000))))
    with torch.device("meta"):
        generator = BigGenerator(spec, width=96, chunk=20, embedding=128, attention_below=64)
        critic = ProjectionCritic(spec, width=96, attention_below=64)
    assert generator.chunk * generator.parts == 120
    assert millions(generator, critic) == pytest.approx(158.3, rel=0.005)


def test_r3gan_blocks_begin_as_nothing():
    block = r3gan.Block(8, r3gan.Config(group_width=4, expansion=2.0), 4)
    images = torch.randn(2, 8, 5, 5)
    assert torch.equal(block(images), images)
    assert block.mix.groups == 4


def test_the_residual_players_of_r3gan_answer_every_size_that_the_small_ones_do():
    config = r3gan.Config(net="residual", width=8, group_width=4)
    for spec in (ImageSpec(1, 8, 8), ImageSpec(3, 12, 20), ImageSpec(1, 28, 28)):
        objective = r3gan.build(config, spec)
        images = objective.model.generate(noise([0, 1], objective.model))
        assert images.shape == (2, *spec.shape)
        assert objective.critic(images, Condition()).shape == (2, 1)
        assert objective.model.draw(noise([0, 1], objective.model) * 100, Condition()).abs().max() > 1, "not clamped"


def test_truncated_noise_has_the_truncated_distribution():
    z = torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    cut = biggan.truncated(z, 1.0)
    assert float(cut.abs().max()) <= 1
    # Variance of a normal truncated to [-1, 1]: 1 - 2 phi(1) / (2 Phi(1) - 1).
    assert float(cut.var()) == pytest.approx(0.2912, abs=0.005)
    assert (cut[z.argsort()].diff() >= 0).all()
    assert torch.equal(biggan.truncated(z, 0.0), z)


def test_standing_statistics_are_those_of_the_pictures_drawn():
    model = built(biggan, attention_below=0).model.eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    z = noise(range(4), model)
    settings = biggan.Sampling(truncation=1.0, standing=2)
    with torch.no_grad():
        together = model.generate(z, None, settings)
        alone = model.generate(z[2:3], None, settings)
    assert torch.allclose(together[2:3], alone, atol=1e-5)
    assert not torch.allclose(together, model.generate(z, None, biggan.Sampling(truncation=1.0)), atol=1e-3)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert not any(module.training for module in model.modules())


def test_truncation_zero_is_the_average_picture():
    model = built(stylegan2).model.eval()
    assert isinstance(model, Maps)
    model.average.normal_()
    with torch.no_grad():
        drawn = model.generate(noise(range(3), model), None, stylegan2.Sampling(truncation=0.0))
        average = model.synthesize(model.average.expand(1, model.synthesis.styles, -1))
    # The loudness of the layers' noise begins at 0, so nothing else is in the way.
    assert torch.allclose(drawn, average.expand_as(drawn), atol=1e-5)


def test_grain_belongs_to_its_row():
    model = built(stylegan2).model.eval()
    grains, alone = model._grain(noise(range(3), model)), model._grain(noise([2], model))
    for together, single in zip(grains, alone, strict=True):
        assert torch.equal(together[2:], single)
        assert not torch.equal(together[0], together[1])
    assert [grain.shape[2:] for grain in grains] == model.synthesis.noise_sizes


def test_styles_are_mixed_at_a_layer():
    objective = built(stylegan2, mixing=1.0)
    torch.manual_seed(0)
    w = objective._styles(16, Condition())
    changes = (w[:, 1:] != w[:, :-1]).any(2).sum(1)
    assert changes.tolist() == [1] * 16
    plain = built(stylegan2, mixing=0.0)._styles(4, Condition())
    assert torch.equal(plain, plain[:, :1].expand_as(plain))


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda: r3gan.Config(augment=0.9), "family.augment"),
        (lambda: biggan.Config(critic_steps=0), "family.critic-steps"),
        (lambda: stylegan2.Sampling(truncation=3.0), "sampling.truncation"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, flag):
    with pytest.raises(ConfigError, match=f"--{flag} .*: give a number between"):
        make()
