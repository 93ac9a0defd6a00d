"""Captions: as bytes into a network, and as words on the command line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from figment.core.config import TrainConfig
from figment.core.engine import seeded
from figment.core.errors import ConfigError
from figment.core.images import read_recipe
from figment.core.types import Batch, Condition, ImageSpec
from figment.families import flow
from figment.nets.embeddings import ConditionEmbedding, drop_condition, told_spec
from figment.nets.text import TextEncoder
from figment.train.trainer import Trainer
from tests.commands import QUICK, contents, done, figment

EVERYTHING = ImageSpec(3, 8, 8, classes=("cat", "dog"), attributes=("age",), caption_bytes=32)


def rows(*texts, length=32):
    encoded = [text.encode().ljust(length, b"\0") for text in texts]
    return torch.tensor([list(row) for row in encoded], dtype=torch.uint8)


@pytest.fixture
def encoder() -> TextEncoder:
    with seeded(0):
        return TextEncoder(64)


def test_a_caption_does_not_depend_on_the_room_that_is_left(encoder):
    short, long = encoder(rows("a cat", length=8)), encoder(rows("a cat", length=61))
    assert short.tokens.shape == (1, 3, 64) and long.tokens.shape == (1, 17, 64)
    assert long.mask.sum() == 3
    assert torch.allclose(short.tokens, long.tokens[:, :3], atol=1e-5)


def test_what_is_not_given_is_one_learnt_vector(encoder):
    text = encoder(rows("", "a cat", ""))
    assert text.mask.sum(1).tolist() == [1, 3, 1]
    assert torch.allclose(text.tokens[0, 0], text.tokens[2, 0], atol=1e-6)
    text.tokens[0, 0].square().sum().backward()
    assert not encoder.spelling.weight.grad.any(), "a caption that is not given must not be spelt"
    assert encoder.whole.grad.any()


def test_the_order_of_words_and_single_letters_matter(encoder):
    whole = encoder(rows("cat on dog", "dog on cat", "cat on dot", "猫在狗上", "狗在猫上")).mean()
    assert (torch.cdist(whole, whole) + torch.eye(5)).min() > 1e-3


def test_a_missing_condition_is_a_caption_that_is_not_given():
    with seeded(0):
        embedding = ConditionEmbedding(EVERYTHING, 64)
    asked = Condition(labels=torch.tensor([-1]), attributes=torch.tensor([[float("nan")]]), captions=rows(""))
    assert torch.allclose(embedding(None, 1), embedding(asked, 1), atol=1e-6)
    assert torch.allclose(embedding(Condition(labels=torch.tensor([-1])), 1), embedding(asked, 1), atol=1e-6)


def everything(count: int) -> Condition:
    return Condition(torch.zeros(count, dtype=torch.long), torch.ones(count, 1), rows("cat").expand(count, -1))


def kept(condition: Condition) -> np.ndarray:
    """(B, 3) bool: which of labels, attributes and captions each row still has."""
    has = [condition.labels >= 0, ~condition.attributes.isnan().all(1), condition.captions.any(1)]
    return torch.stack(has, 1).numpy()


def test_dropping_leaves_all_or_one_or_nothing():
    """So that a model of several kinds of condition can be asked by one of them alone."""
    with seeded(0):
        found = kept(drop_condition(everything(8000), 0.2))
    ways, counts = np.unique(found, axis=0, return_counts=True)
    assert ways.sum(1).tolist() == [0, 1, 1, 1, 3]
    assert np.allclose(counts / 8000, 0.2, atol=0.02)


def test_dropping_everything_drops_captions_too():
    assert not kept(drop_condition(everything(5), 1.0)).any()
    alone = drop_condition(Condition(captions=rows("cat", "dog")), 1.0)
    assert not alone.captions.any() and alone.labels is None


def test_what_a_network_is_not_told_is_left_out_and_a_pair_stays():
    asked = Condition(
        torch.zeros(9, dtype=torch.long), captions=rows("cat").expand(9, -1), image=torch.ones(9, 1, 2, 2)
    )
    told = drop_condition(asked, 0.0, ("captions",))
    assert told.labels is None and torch.equal(told.captions, asked.captions)
    with seeded(1):
        dropped = drop_condition(asked, 0.5, ("captions",))
    assert 0 < dropped.captions.any(1).sum() < 9
    assert torch.equal(dropped.image, asked.image)


def test_being_told_what_there_is_not_is_refused():
    assert told_spec(EVERYTHING, ("captions",)) == ImageSpec(3, 8, 8, caption_bytes=32)
    with pytest.raises(ConfigError, match=r"--family\.told captions: this dataset has no captions; leave it out"):
        told_spec(ImageSpec(1, 8, 8, classes=("a", "b")), ("captions",))


@pytest.mark.parametrize("net", ["mlp", "unet", "dit"])
def test_every_net_learns_what_words_mean(net):
    """Bright and dark pictures, by their captions: the same noise must become what is asked for."""
    spec, words = ImageSpec(1, 8, 8, caption_bytes=16), rows("a bright one", "暗的", length=16)
    config = flow.Config(width=8, net=net, patch=4 if net == "dit" else 0)

    def batch_at(step: int) -> Batch:
        which = torch.arange(16) % 2
        images = (0.8 - 1.6 * which.float()).view(-1, 1, 1, 1).expand(-1, 1, 8, 8)
        return Batch(images.contiguous(), Condition(captions=words[which]))

    with seeded(0):
        objective = flow.build(config, spec)
    for _ in Trainer(objective, TrainConfig(batch_size=16, lr=1e-3, ema_half_life=0), steps=60).run(batch_at):
        pass
    model, noisy = objective.model.eval(), 5 * torch.randn(1, 1, 8, 8).expand(2, -1, -1, -1)
    with torch.no_grad():
        bright, dark = model.denoise(noisy, torch.full((2,), 5.0), Condition(captions=words)).mean((1, 2, 3)).tolist()
    assert bright - dark > 0.5


# On the command line.


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A flow of pictures that have labels, attributes and captions."""
    place = tmp_path_factory.mktemp("captions")
    done("data", "build", "shapes:60", "--out", place / "shapes", "--shapes.size", 16)
    done("train", "flow", "--data", place / "shapes", "--out", place / "run", *QUICK, "--steps", 2)
    return place / "run"


def test_pictures_are_named_by_their_captions(run, tmp_path):
    asked = ("--caption", "a red circle", "--caption", "一个红色圆形")
    answer = done("sample", run, *asked, "--num", 3, "--seed", 5, "--sampling.steps", 2, "--out", tmp_path / "out")
    names = ["a red circle/5.png", "一个红色圆形/6.png", "a red circle/7.png"]
    assert contents(tmp_path / "out").keys() == set(names)
    recipe = read_recipe(tmp_path / "out" / names[0])
    assert (recipe["captions"], recipe["label"]) == (["a red circle", "一个红色圆形"], "a red circle")
    again = tmp_path / "again.png"
    done("sample", run, "--again", tmp_path / "out" / names[2], "--out", again)
    assert again.read_bytes() == (tmp_path / "out" / names[2]).read_bytes()
    assert answer.code == 0


def test_a_caption_changes_the_picture_and_leaves_the_label_open(run, tmp_path):
    for name, asked in {"a": ("--caption", "a red circle"), "b": ("--caption", "a blue star")}.items():
        done("sample", run, *asked, "--num", 1, "--sampling.steps", 2, "--out", tmp_path / f"{name}.png")
    done("sample", run, "--label", "none", "--num", 1, "--sampling.steps", 2, "--out", tmp_path / "none.png")
    assert len(set(contents(tmp_path).values())) == 3


@pytest.mark.parametrize(
    ("caption", "told"),
    [
        ("", "--caption '': say what to draw, or leave --caption out"),
        ("x" * 200, "200 bytes of UTF-8, this model reads"),
    ],
    ids=["empty", "long"],
)
def test_a_caption_that_cannot_be_read_is_refused(run, tmp_path, caption, told):
    assert told in figment("sample", run, "--caption", caption, "--out", tmp_path / "x.png").complaint


def test_a_model_without_captions_says_so(digits, tmp_path):
    done("train", "flow", "--data", digits.path, "--out", tmp_path / "run", *QUICK, "--steps", 1)
    complaint = figment("sample", tmp_path / "run", "--caption", "a three", "--out", tmp_path / "x.png").complaint
    assert complaint == "--caption 'a three': this model was trained without captions; leave --caption out"
