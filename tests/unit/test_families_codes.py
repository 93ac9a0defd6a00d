"""What is particular to vqvae, token_prior and the autoencoder's mixture, against closed forms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from figment.core.checkpoint import write_model
from figment.core.engine import seeded
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.noise import noise
from figment.core.types import Batch, Condition, ImageSpec
from figment.families import _codebook, autoencoder, token_prior, vae, vqvae
from figment.losses import quantize
from figment.nets.mixture import Mixture
from figment.nets.transformer import CodeTransformer
from figment.train.trainer import Trainer

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))
CORNERS = torch.tensor([[4.0, 4.0], [4.0, -4.0], [-4.0, 4.0], [-4.0, -4.0]])


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def around_corners(count, seed=0):
    """Points that lie close to each corner in turn, and which one."""
    codes = torch.arange(count) % 4
    return CORNERS[codes] + 0.3 * torch.randn(count, 2, generator=source(seed)), codes


def started(codes=4, channels=2, **settings):
    """A codebook whose clustering is done, at the corners."""
    codebook = _codebook.Codebook(codes, channels, on_sphere=False, **settings)
    codebook.vectors.copy_(CORNERS), codebook.sums.copy_(CORNERS), codebook.batches.fill_(_codebook.START)
    return codebook


# Quantisation


def test_the_gradient_passes_straight_through():
    """Of (w e)^2 at the discrete e, as if e were z: 2 (w e) w."""
    z, e = torch.tensor([[0.2, 0.9]], requires_grad=True), torch.tensor([[1.0, 3.0]])
    w = torch.tensor([0.5, -2.0])
    through = quantize.straight_through(z, e)
    assert torch.equal(through, e)
    (through @ w).square().sum().backward()
    assert torch.allclose(z.grad, 2 * (e @ w) * w)


def test_the_encoder_is_pulled_to_its_codes():
    """The commitment term alone, by hand: 0.25 * 2 (z - e) / its number of values."""
    objective = vqvae.build(vqvae.Config.preset("tiny"), DIGITS)
    z = torch.randn(2 * 16, 8, generator=source()).requires_grad_()
    objective.model.rows = lambda images: z
    loss = objective.eval().loss(Batch(torch.zeros(2, 1, 8, 8)))
    (gradient,) = torch.autograd.grad(loss.terms["commitment"], z)
    e = objective.model.quantizer.vectors_of(objective.model.quantizer.codes_of(z))
    assert torch.allclose(gradient, 0.5 * (z - e).detach() / z.numel(), atol=1e-8)


def test_the_codebook_is_the_closed_form_of_its_running_means():
    codebook, keep = started(), _codebook.DECAY
    batches = [around_corners(size, seed) for seed, size in enumerate((40, 41, 42, 43, 44))]
    for points, _ in batches:
        codebook.observe(points)
    counts, sums = keep**5 * torch.ones(4), keep**5 * CORNERS
    for age, (points, codes) in enumerate(reversed(batches)):
        weight, chosen = (1 - keep) * keep**age * 4 / len(points), F.one_hot(codes).float()
        counts, sums = counts + weight * chosen.sum(0), sums + weight * chosen.T @ points
    assert torch.allclose(codebook.counts, counts, atol=1e-5)
    assert torch.allclose(codebook.vectors, sums / counts[:, None], atol=1e-5)


def test_a_code_that_nothing_is_near_begins_again():
    codebook = started()
    points = around_corners(40)[0].abs()  # all of them at the first corner
    for _ in range(400):
        codebook.observe(points)
    assert (codebook.vectors > 2).all()
    assert quantize.perplexity(codebook.codes_of(points), 4) > 1.5


def test_a_codebook_begins_with_clusters():
    codebook = _codebook.Codebook(4, 2, on_sphere=False)
    points = around_corners(400)[0]
    with seeded(1):
        for _ in range(_codebook.START):
            assert not codebook.ready
            codebook.observe(points)
    assert codebook.ready
    error = (points - codebook.vectors_of(codebook.codes_of(points))).square().mean()
    assert error < points.square().mean() / 2
    assert codebook.vectors.isfinite().all()


def test_angles_alone_count_on_the_sphere():
    codebook = _codebook.Codebook(16, 3, on_sphere=True)
    rows = torch.randn(50, 3, generator=source())
    assert torch.allclose(codebook.vectors.square().mean(1), torch.ones(16), atol=1e-4)
    by_angle = F.cosine_similarity(rows[:, None], codebook.vectors[None], dim=2).argmax(1)
    assert torch.equal(codebook.codes_of(codebook.limited(7 * rows)), by_angle)


def test_perplexity_counts_the_codes_in_use():
    assert float(quantize.perplexity(torch.tensor([0, 1, 2, 3] * 5), 8)) == pytest.approx(4)
    assert float(quantize.perplexity(torch.full((9,), 3), 8)) == pytest.approx(1)


@pytest.mark.parametrize("levels", vqvae.LEVELS.values(), ids=str)
def test_every_level_is_reached_and_every_code_is_a_point(levels):
    grid = _codebook.Grid(levels)
    sweep = torch.linspace(-12, 12, 2001)[:, None].expand(-1, len(levels))
    rounded = grid.vectors_of(grid.codes_of(grid.limited(sweep)))
    assert [len(column.unique()) for column in rounded.T] == list(levels)
    assert rounded.abs().max() <= 1
    codes = torch.arange(0, grid.vocabulary, max(1, grid.vocabulary // 1000))
    assert torch.equal(grid.codes_of(grid.vectors_of(codes)), codes)


@pytest.mark.parametrize("quantizer", ["euclidean", "cosine", "fsq"])
def test_codes_of_a_picture_say_all_that_is_decoded(quantizer):
    model = vqvae.build(replace(vqvae.Config.preset("tiny"), quantizer=quantizer), ImageSpec(3, 17, 23)).model.eval()
    pictures = torch.rand(2, 3, 17, 23, generator=source()) * 2 - 1
    with torch.no_grad():
        tokens = model.tokenize(pictures)
        assert tokens.shape == (2, math.prod(model.grid))
        assert tokens.dtype == torch.int64
        assert 0 <= int(tokens.min()) <= int(tokens.max()) < model.vocabulary
        assert torch.equal(model.decode(model.encode(pictures)), model.detokenize(tokens))


@pytest.mark.parametrize(
    "wrong",
    [{"quantizer": "fsq", "codes": 100}, {"quantizer": "fsq", "code_channels": 4}, {"downscale": 3}, {"codes": 1}],
    ids=str,
)
def test_vqvae_refuses_what_cannot_be(wrong):
    with pytest.raises(ConfigError, match=r"^--family\.[a-z-]+ \d+: [^\n]+$"):
        vqvae.Config(**wrong)


# The prior over codes


@pytest.fixture
def told():
    """A transformer that is told labels and captions, and six sequences of seven codes."""
    spec = replace(DIGITS, caption_bytes=12)
    with seeded(0):
        net = CodeTransformer(spec, 11, 7, width=128, depth=3, dropout=0.1).eval()
    captions = torch.randint(97, 123, (6, 12), generator=source(), dtype=torch.uint8)
    captions[0] = 0
    condition = Condition(labels=torch.arange(6) - 1, captions=captions)
    return net, condition, torch.randint(11, (6, 7), generator=source())


def test_remembered_keys_give_the_logits_of_the_whole(told):
    net, condition, codes = told
    with torch.no_grad():
        whole, telling = net(codes, condition), net.begin(condition, 6)
        places = [net.following(telling, None if place == 0 else codes[:, place - 1]) for place in range(7)]
    assert torch.allclose(torch.stack(places, 1), whole, atol=1e-4)
    assert whole.std() > 0.1


def test_a_place_knows_only_what_was_before_it(told):
    net, condition, codes = told
    with torch.no_grad():
        before, after = net(codes, condition), net(codes.index_fill(1, torch.tensor([4]), 3), condition)
    changed = (before - after).abs().amax((0, 2)) > 1e-6
    assert changed.tolist() == [False] * 5 + [True] * 2


def test_captions_and_labels_are_heard(told):
    net, condition, codes = told
    with torch.no_grad():
        asked, free = net(codes, condition), net(codes, None)
        no_words = net(codes, replace(condition, captions=None))
    assert ((asked - free).abs().amax((1, 2)) > 1e-4).tolist() == [False] + [True] * 5  # the first row asks for nothing
    assert ((asked - no_words).abs().amax((1, 2)) > 1e-4).tolist() == [False] + [True] * 5


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_k": 2}, [0, 0.4, 0, 0.3]),
        ({"top_k": 9}, [0.1, 0.4, 0.2, 0.3]),
        ({"top_p": 0.65}, [0, 0.4, 0, 0.3]),
        ({"top_p": 0.75}, [0, 0.4, 0.2, 0.3]),
        ({"top_p": 0.05}, [0, 0.4, 0, 0]),
        ({"top_k": 3, "top_p": 0.7}, [0, 0.4, 0, 0.3]),
    ],
    ids=str,
)
def test_likely_codes_are_the_right_ones(settings, kept):
    """Also drawn in exactly these shares by uniforms that are spread evenly."""
    logits = torch.tensor([[0.1, 0.4, 0.2, 0.3]]).log() + 5
    shares = torch.tensor(kept) / sum(kept)
    found = token_prior.likely(logits, token_prior.Sampling(**settings))
    assert torch.allclose(found.softmax(1)[0], shares, atol=1e-6)
    uniforms = (torch.arange(4200, dtype=torch.float64) + 0.5) / 4200
    drawn = torch.bincount(token_prior.picked(found.expand(4200, -1), uniforms), minlength=4)
    assert torch.allclose(drawn / 4200, shares, atol=1 / 4200)


def test_the_ends_of_the_interval_take_codes_that_may_be():
    logits = torch.tensor([[-math.inf, 0.0, 1.0, -math.inf]]).expand(2, -1)
    assert token_prior.picked(logits, torch.tensor([0.0, 1.0], dtype=torch.float64)).tolist() == [1, 2]


@pytest.fixture
def tokenizer(tmp_path):
    """A run of vqvae as it begins."""
    settings = vqvae.Config.preset("tiny")
    with seeded(0):
        model = vqvae.build(settings, DIGITS).model
    write_model(tmp_path / "codes/model", model.state_dict(), "vqvae", settings, DIGITS, {})
    return tmp_path / "codes"


def test_guidance_goes_on_from_the_free_answer_to_the_asked_one(tokenizer):
    """With the likeliest code always taken, the first code is that of the extrapolated logits."""
    model = token_prior.build(replace(token_prior.Config.preset("tiny"), tokenizer=str(tokenizer)), DIGITS).model.eval()
    condition, taken = Condition(labels=torch.arange(10)), {}
    model.tokenizer.detokenize = lambda tokens: taken.setdefault("tokens", tokens).float()
    with torch.no_grad():
        model.generate(noise(range(10), model), condition, token_prior.Sampling(top_k=1, guidance=3.0))
        asked, free = (model.net.following(model.net.begin(one, 10), None) for one in (condition, None))
    assert torch.equal(taken["tokens"][:, 0], (free + 3 * (asked - free)).argmax(1))
    assert not torch.equal(taken["tokens"][:, 0], asked.argmax(1))


def test_a_prior_takes_over_its_tokenizer_and_leaves_it_alone(tokenizer):
    objective = token_prior.build(replace(token_prior.Config.preset("tiny"), tokenizer=str(tokenizer)), DIGITS)
    objective.begin()
    objective.train()
    before = {name: value.clone() for name, value in objective.model.tokenizer.state_dict().items()}
    assert not objective.model.tokenizer.training
    loss = objective.loss(Batch(torch.rand(4, 1, 8, 8), Condition(labels=torch.arange(4))))
    assert float(loss.terms["code_nats"].detach()) == pytest.approx(
        math.log(objective.model.tokenizer.vocabulary), rel=0.2
    )
    assert all(torch.equal(value, before[name]) for name, value in objective.model.tokenizer.state_dict().items())


def test_a_wrong_tokenizer_is_refused_in_one_line(tokenizer, tmp_path):
    settings = vae.Config.preset("tiny")
    model = vae.build(settings, DIGITS).model
    write_model(tmp_path / "vae/model", model.state_dict(), "vae", settings, DIGITS, {})
    for run, spec, error, told in (
        ("", DIGITS, ConfigError, "figment train vqvae"),
        (str(tmp_path / "vae"), DIGITS, CapabilityError, "a 'vae' has no discrete codes"),
        (str(tokenizer), ImageSpec(1, 9, 8), DataError, "made for 8x8x1, 10 classes, the dataset has 9x8x1"),
    ):
        with pytest.raises(error, match=told) as caught:
            token_prior.complete(token_prior.Config(tokenizer=run), spec)
        assert "\n" not in str(caught.value)


# The mixture over an autoencoder's codes


def varied_mixture():
    """A mixture of three components that has seen some points."""
    with seeded(2):
        mixture = Mixture(6, 3, 2, floor=1e-4)
        for _ in range(3):
            mixture.observe(torch.randn(50, 6) @ torch.randn(6, 6), torch.arange(50) % 2)
    return mixture


def test_the_density_of_a_component_is_a_gaussian():
    mixture = varied_mixture()
    loadings, means, variances = mixture.parameters_now()
    covariances = loadings @ loadings.mT + variances[:, None, None] * torch.eye(6)
    points = torch.randn(20, 6, generator=source())
    exact = torch.distributions.MultivariateNormal(means, covariances).log_prob(points[:, None])
    assert torch.allclose(mixture.expectations(points)[0], exact, rtol=1e-4, atol=1e-3)


def test_draws_have_the_moments_of_the_mixture():
    mixture, count = varied_mixture(), 20_000
    drawn = mixture.draw(torch.randn(count, *mixture.noise_shape(), generator=source()), torch.zeros(count).long())
    loadings, means, _ = mixture.parameters_now()
    shares = mixture.log_shares(torch.tensor([0]), 1)[0].exp()
    assert float(shares.sum()) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(drawn.mean(0), shares @ means, atol=0.05)
    assert torch.allclose(drawn.mean(0), drawn[: count // 2].mean(0), atol=0.1)
    assert loadings.shape == (3, 6, mixture.rank)


def test_a_mixture_finds_the_clusters_and_which_class_has_which():
    """Two flat clusters, a class each; an unlabelled draw knows both."""
    middles, axis = torch.tensor([[3.0, 0, 0, 0], [-3.0, 0, 0, 0]]), torch.tensor([0, 2.0, 0, 0])
    with seeded(0):
        mixture = Mixture(4, 2, 2, floor=1e-4)
        for _ in range(400):
            labels = torch.randint(2, (64,))
            points = middles[labels] + axis * torch.randn(64, 1) + 0.2 * torch.randn(64, 4)
            mixture.observe(points, torch.where(torch.rand(64) < 0.1, -1, labels))
        for label in (0, 1):
            drawn = mixture.draw(torch.randn(5000, *mixture.noise_shape()), torch.full((5000,), label))
            assert torch.allclose(drawn.mean(0), middles[label], atol=0.2)
            assert torch.allclose(drawn.std(0), torch.tensor([0.2, 2.0, 0.2, 0.2]), atol=0.15)
        free = mixture.draw(torch.randn(5000, *mixture.noise_shape()))
    assert 0.4 < float((free[:, 0] > 0).float().mean()) < 0.6


def test_a_mixture_begins_with_a_single_vector():
    with seeded(0):
        mixture = Mixture(6, 3, 2, floor=1e-4)
        for _ in range(3):
            mixture.observe(torch.randn(1, 6))
    assert all(one.isfinite().all() for one in mixture.state_dict().values())


@pytest.mark.parametrize(("batch_size", "slices"), [(1, 1), (4, 4)])
def test_an_autoencoder_learns_from_one_picture_at_a_time(batch_size, slices):
    objective = autoencoder.build(autoencoder.Config.preset("tiny"), ImageSpec(1, 8, 8))
    train = replace(autoencoder.TRAIN, batch_size=batch_size, slices=slices)
    for _ in Trainer(objective, train, steps=3).run(lambda step: Batch(torch.randn(batch_size, 1, 8, 8).clamp(-1, 1))):
        pass
    assert all(one.isfinite().all() for one in objective.state_dict().values() if one.is_floating_point())


def test_an_autoencoder_draws_what_it_was_shown():
    """Two classes, black and white: after a short training each is drawn as asked."""
    spec = ImageSpec(1, 8, 8, classes=("black", "white"))
    with seeded(0):
        objective = autoencoder.build(replace(autoencoder.Config.preset("tiny"), width=8, components=4), spec)
        optimizer = torch.optim.Adam(objective.parameters(), 5e-3)
        for _ in range(40):
            labels = torch.arange(16) % 2
            pictures = (labels.float() * 1.6 - 0.8).view(-1, 1, 1, 1) + 0.1 * torch.randn(16, 1, 8, 8)
            optimizer.zero_grad()
            objective.loss(Batch(pictures, Condition(labels=labels))).terms["error"].backward()
            optimizer.step()
    model = objective.model.eval()
    with torch.no_grad():
        drawn = model.generate(noise(range(20), model), Condition(labels=torch.arange(20) % 2))
    assert ((drawn.mean((1, 2, 3)) > 0).long() == torch.arange(20) % 2).float().mean() >= 0.9
