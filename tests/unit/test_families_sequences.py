"""What is particular to draw and frame_rnn, and to a vqvae with judge and critic, against closed forms."""

from __future__ import annotations

import io
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from figment.core.checkpoint import load_model, write_model
from figment.core.engine import seeded
from figment.core.errors import CapabilityError, ConfigError, DataError
from figment.core.images import to_uint8
from figment.core.noise import noise
from figment.core.types import Batch, Condition, Continues, Encodes, Generates, ImageSpec, Scores
from figment.families import autoencoder, classifier, draw, frame_rnn, vqvae
from figment.losses.perceptual import feature_distance
from figment.nets.conv_lstm import ConvLstm
from figment.nets.read_write import Aim, Reader, Window, Writer, filters
from figment.train.trainer import Trainer
from figment.train.watch import sample_grid
from tests.commands import QUICK, done, figment, log

DIGITS = ImageSpec(1, 8, 8, classes=tuple("0123456789"))
CLIPS = ImageSpec(3, 16, 16, classes=("circle", "square"), frames=4)


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def built(family, spec, **settings):
    with seeded(0):
        return family.build(replace(family.Config.preset("tiny"), **settings), spec)


# DRAW: filters


def test_filters_are_the_gaussians_of_the_paper():
    """Equations 19 and 25, place by place."""
    g, delta, variance = torch.tensor([4.5]), torch.tensor([2.0]), torch.tensor([0.7])
    found = filters(g, delta, variance, 3, 8)[0]
    for i, mu in enumerate((2.5, 4.5, 6.5)):  # 4.5 + (i - 3/2 - 1/2) * 2 with i from 1
        raw = torch.tensor([math.exp(-((a - mu) ** 2) / 1.4) for a in range(1, 9)])
        assert torch.allclose(found[i], raw / raw.sum(), atol=1e-6)


def test_a_filter_beyond_the_border_reads_what_is_nearest():
    found = filters(torch.tensor([-500.0]), torch.tensor([1.0]), torch.tensor([0.5]), 2, 8)[0]
    assert torch.allclose(found, F.one_hot(torch.tensor([0, 0]), 8).float())


def test_sharp_filters_on_every_pixel_read_and_write_the_picture_itself():
    """N = A filters of no width, a pixel apart: F is the identity, and gamma scales."""
    x = torch.randn(2, 3, 6, 6, generator=source())
    eye = filters(torch.tensor([3.5, 3.5]), torch.ones(2), torch.full((2,), 1e-3), 6, 6)[:, None]
    window = Window(eye, eye, torch.tensor([2.0, 0.5]).view(2, 1, 1, 1))
    assert torch.allclose(window.read(x), x * window.gamma, atol=1e-5)
    assert torch.allclose(window.write(window.read(x)), x, atol=1e-5)


def test_an_aim_of_zeros_spans_the_picture():
    """Equations 22 to 24 at 0: the middle, and a stride from the first pixel to the last of the longer side."""
    aim = Aim((1, 9, 17), width=4, count=5)
    nn.init.zeros_(aim.linear.weight), nn.init.zeros_(aim.linear.bias)
    window = aim(torch.randn(1, 4))
    assert torch.equal(window.columns[0, 0].argmax(1), torch.tensor([0, 4, 8, 12, 16]))
    assert int(window.rows[0, 0, 2].argmax()) == 4
    assert torch.equal(window.gamma, torch.ones(1, 1, 1, 1))


def test_an_aim_begins_with_the_whole_picture():
    """Reading a flat picture gives it back, and a patch of ones is painted as ones, about, away from the border."""
    reads, paints = Aim((1, 29, 29), 4, 8), Aim((1, 29, 29), 4, 8, paints=True)
    hidden = torch.zeros(1, 4)
    assert torch.allclose(reads(hidden).read(torch.full((1, 1, 29, 29), 0.7)), torch.tensor(0.7), atol=1e-5)
    painted = paints(hidden).write(torch.ones(1, 1, 8, 8))[..., 6:-6, 6:-6]
    assert (painted - 1).abs().max() < 0.1


@pytest.mark.parametrize(("count", "size"), [(0, 2 * 3 * 5 * 7), (2, 2 * 3 * 4)])
def test_reading_and_writing_have_their_shapes(count, size):
    x, hidden = torch.randn(4, 3, 5, 7), torch.randn(4, 6)
    reader, writer = Reader((3, 5, 7), 6, count), Writer((3, 5, 7), 6, count)
    assert reader(x, x, hidden).shape == (4, size) and reader.size == size
    assert writer(hidden).shape == x.shape


# DRAW: the family


def test_painting_what_was_seen_is_decoding_its_latents():
    model = built(draw, DIGITS).model.eval()
    assert isinstance(model, Generates) and isinstance(model, Encodes) and isinstance(model, Scores)
    x = torch.rand(3, 1, 8, 8, generator=source()) * 2 - 1
    e = noise([1, 2, 3], model)
    look = model.looked(x, None, e)
    assert torch.allclose(model.decode(look.latents), draw.shown(look.canvas), atol=1e-6)
    assert torch.allclose(look.latents, look.mean + (look.log_variance / 2).exp() * e, atol=1e-6)
    assert model.encode(x).shape == (3, 4, 8)


def test_one_draw_bounds_like_the_negative_elbo_on_average():
    """E log w of one draw is -(nats + kl) of the loss; 10 draws are a tighter bound than 1."""
    objective = built(draw, DIGITS, likelihood="bernoulli", importance_samples=1, condition_dropout=0.0)
    x = (torch.rand(64, 1, 8, 8, generator=source()) > 0.5).float() * 2 - 1
    model = objective.model.eval()
    with torch.no_grad():
        nats = model.bits_per_dim(x).mean() * 64 * math.log(2)
        torch.manual_seed(0)
        elbo = torch.stack([objective.eval().loss(Batch(x)).stats["nats"] for _ in range(20)]).mean()
        model.config = replace(model.config, importance_samples=30)
        tighter = model.bits_per_dim(x).mean() * 64 * math.log(2)
    assert abs(nats - elbo) < 0.05 * elbo
    assert tighter < nats


def test_a_bernoulli_draw_refuses_grey():
    with pytest.raises(DataError, match="grey levels"):
        built(draw, DIGITS, likelihood="bernoulli").model.bits_per_dim(torch.zeros(1, 1, 8, 8))


def test_one_filter_is_refused():
    with pytest.raises(ConfigError, match=r"--family\.read 1: one filter has no stride"):
        draw.Config(read=1)


# frame_rnn


def test_a_convolutional_lstm_takes_the_papers_step():
    """Shi et al. 2015, equation 3, gate by gate, with peepholes."""
    with seeded(1):
        layer = ConvLstm(2, 3, (4, 5))
        nn.init.normal_(layer.peepholes)
        x, h, c = torch.randn(2, 2, 4, 5), torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    weight, bias = layer.gates.weight, layer.gates.bias

    def gate(number):
        rows = slice(3 * number, 3 * number + 3)
        seen = F.conv2d(x, weight[rows, :2], padding=1) + F.conv2d(h, weight[rows, 2:], padding=1)
        return seen + bias[rows, None, None]

    w_ci, w_cf, w_co = layer.peepholes
    i, f = torch.sigmoid(gate(0) + w_ci * c), torch.sigmoid(gate(1) + w_cf * c)
    new_c = f * c + i * torch.tanh(gate(2))
    new_h = torch.sigmoid(gate(3) + w_co * new_c) * torch.tanh(new_c)
    found_h, found_c = layer(x, (h, c))
    assert torch.allclose(found_h, new_h, atol=1e-6) and torch.allclose(found_c, new_c, atol=1e-6)


def test_a_frame_is_foretold_from_those_before_it_alone():
    model = built(frame_rnn, CLIPS).model.eval()
    x = torch.rand(1, 4, 3, 16, 16, generator=source()) * 2 - 1
    unknown, is_free = torch.zeros(1, 16, 8, 8), torch.tensor([False])
    changed = x.clone()
    changed[:, 2] = 0.3
    found, other = (model.foretold(clip[:, 0], unknown, clip, is_free, 4) for clip in (x, changed))
    assert torch.equal(found[:, :3], other[:, :3])
    assert not torch.allclose(found[:, 3], other[:, 3])


def test_a_pixel_is_where_the_network_says_that_it_comes_from():
    """All shares on one neighbour move the picture by that much, its border repeated; all on `new` gives tanh(v)."""
    model = built(frame_rnn, CLIPS).model
    x, nothing = torch.rand(1, 3, 16, 16, generator=source()) * 2 - 1, torch.zeros(1, 16, 8, 8)
    nn.init.zeros_(model.leave.weight)
    bias = model.leave.bias.detach().view(3 + 1 + 25, 4)  # values, new, then neighbours row by row; 4 pixels a patch
    bias[:] = 0
    bias[4 + 5 * 1 + 4] = 100  # one up and two to the right
    padded = F.pad(x, [2] * 4, mode="replicate")
    assert torch.allclose(model._next(x, nothing), padded[..., 1:17, 4:20], atol=1e-5)
    bias[4 + 5 * 1 + 4], bias[3], bias[:3] = 0, 100, 0.5
    assert torch.allclose(model._next(x, nothing), torch.full_like(x, 0.5).tanh(), atol=1e-5)


def test_a_free_row_sees_its_own_frames():
    model = built(frame_rnn, CLIPS).model.eval()
    x = torch.rand(2, 4, 3, 16, 16, generator=source()) * 2 - 1
    first, motion = model.begun(torch.randn(2, 16, generator=source()), None)
    found = model.foretold(first, motion, x, torch.tensor([True, False]), 4)
    alone = model.foretold(first, motion, x[:, :1], torch.tensor([True, True]), 4)
    assert torch.allclose(found[0], alone[0], atol=1e-6)
    assert not torch.allclose(found[1], alone[1], atol=1e-3)


def test_clips_are_drawn_and_continued():
    model = built(frame_rnn, CLIPS).model.eval()
    assert isinstance(model, Generates) and isinstance(model, Continues)
    clips = model.generate(noise([0, 1, 2], model), Condition(labels=torch.tensor([0, 1, -1])))
    assert clips.shape == (3, 4, 3, 16, 16) and clips.abs().max() <= 1
    three = model.continue_from(clips[:, :2], noise([0, 1, 2], model), 3)
    two = model.continue_from(torch.cat([clips[:, :2], three[:, :1]], 1), noise([0, 1, 2], model), 2)
    assert torch.allclose(three[:, 1:], two, atol=1e-5)  # as if the first one had been given


def test_half_of_a_batch_is_drawn_and_half_is_told():
    """The terms by hand: 1/2 log(2 pi e mean squared error), frame by frame, of the rows of each half."""
    objective = built(frame_rnn, CLIPS, condition_dropout=0.0).eval()
    x = torch.rand(4, 4, 3, 16, 16, generator=source()) * 2 - 1
    with torch.no_grad():
        torch.manual_seed(3)
        loss = objective.loss(Batch(x))
        torch.manual_seed(3)
        mean, log_variance = objective.model.posterior(x, None)
        first, motion = objective.model.begun(mean + (log_variance / 2).exp() * torch.randn(mean.shape), None)
        first[1::2], motion[1::2] = x[1::2, 0], 0
        squared = (objective.model.foretold(first, motion, x, torch.tensor([True, False] * 2), 4) - x).square()
    for name, error in (("drawn", squared[::2]), ("told", squared[1::2, 1:])):
        by_hand = 0.5 * (2 * math.pi * math.e * error.mean((0, 2, 3, 4))).log().mean()
        assert torch.allclose(loss.terms[name], by_hand, atol=1e-5)
    copied = (x[1::2, 1:] - x[1::2, :-1]).square().mean()
    assert torch.allclose(loss.stats["error_to_copying"], squared[1::2, 1:].mean() / copied, atol=1e-5)


def test_a_batch_of_one_clip_has_a_finite_loss():
    loss = built(frame_rnn, CLIPS).loss(Batch(torch.zeros(1, 4, 3, 16, 16)))
    assert all(term.isfinite() for term in loss.terms.values())


@pytest.mark.parametrize("size", [1, 3])
def test_a_slice_of_an_odd_number_of_clips_is_drawn_and_told_in_halves_on_the_mean(size):
    """A network that always errs alike has the same terms however its clips are cut; a kind without clips has none."""
    objective = built(frame_rnn, CLIPS)
    objective.model.foretold = lambda first, motion, frames, is_free, length: frames + 0.5
    x, found = torch.rand(2 * size, 4, 3, 16, 16, generator=source()) * 2 - 1, []
    torch.manual_seed(0)
    with torch.no_grad():
        whole = objective.loss(Batch(x)).terms
        for _ in range(200):
            found.append(objective.loss(Batch(x[:size])).terms)
    for name in ("drawn", "told"):
        values = torch.stack([terms[name] for terms in found])
        assert len(values.unique()) == 2, "a coin decides"
        assert float(values.mean()) == pytest.approx(float(whole[name]), abs=0.25 / size * float(whole[name].abs()))
        assert size > 1 or 0.0 in values
    both = torch.stack([terms["drawn"] + terms["told"] for terms in found])
    assert torch.allclose(both, (whole["drawn"] + whole["told"]).expand(200), atol=1e-5)


def test_single_pictures_are_refused():
    with pytest.raises(DataError, match="needs clips"):
        built(frame_rnn, DIGITS)


def test_training_shows_what_is_rebuilt_beside_the_picture():
    with seeded(0):
        objective = vqvae.build(vqvae.Config.preset("tiny"), DIGITS)
    images = torch.rand(5, *DIGITS.shape) * 2 - 1
    trainer = Trainer(objective, vqvae.TRAIN, steps=1)
    shown = sheet(sample_grid(trainer, DIGITS, [Batch(images)]), DIGITS)
    with torch.no_grad():
        rebuilt = trainer.model.decode(trainer.model.encode(images))
    assert np.array_equal(shown[:10:2], to_uint8(images)) and np.array_equal(shown[1:10:2], to_uint8(rebuilt))
    assert sample_grid(trainer, DIGITS) is None


def test_training_shows_clips_continued():
    spec = ImageSpec(1, 8, 8, frames=5)
    with seeded(0):
        objective = frame_rnn.build(frame_rnn.Config.preset("tiny"), spec)
    clips = torch.rand(3, 5, 1, 8, 8) * 2 - 1
    shown = sheet(sample_grid(Trainer(objective, frame_rnn.TRAIN, steps=1), spec, [Batch(clips)]), spec)
    rows = shown[:15].reshape(3, 5, 8, 8, 1)
    assert np.array_equal(rows[:, :2].reshape(6, 8, 8, 1), to_uint8(clips[:, :2].flatten(0, 1)))
    assert not np.array_equal(rows[:, 2:].reshape(9, 8, 8, 1), to_uint8(clips[:, 2:].flatten(0, 1)))


def sheet(png, spec):
    """The pictures of a grid, uint8 (N, H, W, C), row by row."""
    pixels, zoom = np.asarray(Image.open(io.BytesIO(png))), 48 // spec.height
    size = zoom * (spec.height + 1)
    rows, columns = (length // size for length in pixels.shape[:2])
    cells = [pixels[zoom + row * size :, zoom + column * size :] for row in range(rows) for column in range(columns)]
    return np.stack([cell[: zoom * spec.height : zoom, : zoom * spec.width : zoom] for cell in cells]).reshape(
        -1, spec.height, spec.width, spec.channels
    )


def test_clips_are_written_as_gif_strip_and_moving_pictures(tmp_path):
    write_model(tmp_path / "run/model", built(frame_rnn, CLIPS).model.state_dict(), "frame_rnn",
                frame_rnn.Config.preset("tiny"), CLIPS, {})  # fmt: skip
    for out in ("clips.gif", "strip.png", "folder"):
        done("sample", tmp_path / "run", "--num", "4", "--out", tmp_path / out)
    with Image.open(tmp_path / "clips.gif") as moving:
        assert moving.n_frames == 4 and moving.info["duration"] == 100
    with Image.open(tmp_path / "strip.png") as strip:
        assert strip.size == (4 * 51 + 3, 4 * 51 + 3)  # 4 clips of 4 frames, three times enlarged
        assert getattr(strip, "n_frames", 1) == 1
    with Image.open(tmp_path / "folder/circle/0.png") as clip:
        assert clip.n_frames == 4 and clip.size == (16, 16)
    done("sample", tmp_path / "run", "--again", tmp_path / "strip.png", "--out", tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "strip.png").read_bytes()
    still = figment("sample", tmp_path / "run", "--num", "1", "--out", tmp_path / "clip.webp")
    assert "give a .png file or a folder" in still.complaint


# vqvae: judge and critic


@pytest.fixture
def judge(tmp_path):
    """A run of an untrained classifier; its statistics have seen something."""
    objective = built(classifier, DIGITS)
    objective.loss(Batch(torch.randn(16, 1, 8, 8, generator=source()), Condition(labels=torch.arange(16) % 10)))
    folder = tmp_path / "judge"
    settings = classifier.Config.preset("tiny")
    write_model(folder / "model", objective.model.state_dict(), "classifier", settings, DIGITS, {})
    return str(folder)


def test_a_distance_of_features_is_that_of_directions():
    first, second = torch.tensor([[3.0, 4.0], [1.0, 0.0]]), torch.tensor([[6.0, 8.0], [0.0, 2.0]])
    assert torch.allclose(feature_distance(lambda rows: rows, first, second), torch.tensor(1.0))  # of 0 and 2


def test_a_judge_stays_as_it_is_and_its_eyes_count(judge):
    config = replace(vqvae.Config.preset("tiny"), perceptual=0.5, judge=judge)
    objective = vqvae.build(vqvae.complete(config, DIGITS), DIGITS)
    objective.begin()
    before = {key: value.clone() for key, value in objective.judge.state_dict().items()}
    x = torch.rand(8, 1, 8, 8, generator=source()) * 2 - 1
    objective.train()
    loss = objective.loss(Batch(x))
    rebuilt = objective.model.pictures(objective.model.rows(x))  # not quantised yet
    assert torch.allclose(loss.terms["perceptual"], 0.5 * feature_distance(objective.judge.features, rebuilt, x))
    assert all(torch.equal(before[key], value) for key, value in objective.judge.state_dict().items())
    assert not any(key.startswith("judge") for key in objective.model.state_dict())
    assert objective.has_validation


def test_a_critic_pulls_as_strongly_as_the_rest(judge):
    """Esser et al. 2021, equation 7: in the decoder's last layer, both gradients are of one length."""
    objective = built(vqvae, DIGITS, adversarial=1.0).eval()
    assert [phase.name for phase in objective.phases()] == ["main", "critic"]
    assert not objective.has_validation
    x = torch.rand(8, 1, 8, 8, generator=source()) * 2 - 1
    terms, last = objective.loss(Batch(x)).terms, objective.model.decoder.layers[-1].weight
    pulls = [torch.autograd.grad(terms[name], last, retain_graph=True)[0].norm() for name in ("error", "adversarial")]
    assert torch.allclose(pulls[0], pulls[1], rtol=1e-3)
    objective.critic_loss(Batch(x)).terms["adversarial"].backward()
    assert all(parameter.grad is not None for parameter in objective.critic.parameters())
    assert last.grad is None


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"perceptual": 0.5}, ConfigError, "give --family.judge RUN"),
        ({"perceptual": 0.5, "judge": "code"}, CapabilityError, "a 'autoencoder' has no features"),
        ({"perceptual": 0.5, "judge": "judge"}, DataError, "made for 8x8x1"),
        ({"judge": "judge"}, ConfigError, "has no effect without --family.perceptual"),
    ],
)
def test_a_judge_that_will_not_do_is_refused(settings, error, text, judge, tmp_path):
    write_model(tmp_path / "code/model", built(autoencoder, DIGITS).model.state_dict(), "autoencoder",
                autoencoder.Config.preset("tiny"), DIGITS, {})  # fmt: skip
    if "judge" in settings:
        settings = settings | {"judge": str(tmp_path / settings["judge"])}
    with pytest.raises(error, match=text):
        vqvae.complete(replace(vqvae.Config.preset("tiny"), **settings), replace(DIGITS, height=16))


def test_a_run_with_judge_and_critic_resumes_and_ships_the_model_alone(digits, judge, tmp_path):
    run, words = (
        tmp_path / "run",
        ("--family.perceptual", "0.5", "--family.judge", judge, "--family.adversarial", "0.5"),
    )
    command = ("train", "vqvae", "--data", digits.path, "--out", run, *QUICK, *words)
    done(*command, "--steps", "24", "--train.save-every", "22")
    assert {"main/perceptual", "main/adversarial", "critic/real_logit"} <= log(run, "train")[-1].keys()
    shipped = (run / "model/model.safetensors").read_bytes()
    assert len(shipped) < 1.1 * sum(4 * weight.numel() for weight in load_model(run).model.state_dict().values()) + 9000
    shutil.rmtree(run / "model"), shutil.rmtree(run / "checkpoints/00000024")  # as if killed after step 22
    done(*command, "--steps", "24", "--train.save-every", "22")
    assert (run / "model/model.safetensors").read_bytes() == shipped
