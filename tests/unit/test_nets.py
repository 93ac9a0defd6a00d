"""The networks of the denoising families: any shape, any precision, and nothing that is set in vain."""

from __future__ import annotations

import pytest
import torch

from figment.core.engine import seeded
from figment.core.errors import ConfigError
from figment.core.types import Condition, ImageSpec
from figment.nets.attention import Attention, PixelAttention, Text, grid_positions, unit_rms
from figment.nets.backbone import Backbone, BackboneConfig
from figment.nets.unet import Upsample

NETS = ("mlp", "unet", "dit", "mixer", "unet2d")
LABELLED = ImageSpec(1, 8, 8, classes=("a", "b"))
CAPTIONED = ImageSpec(3, 16, 16, caption_bytes=32)


def awake(spec, seed=0, **settings):
    """A backbone whose zero weights are none any more, so that everything in it has an effect."""
    with seeded(seed):
        net = Backbone(BackboneConfig(width=8, **settings), spec)
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
    return net


def captions(*texts, length=32):
    rows = [text.encode().ljust(length, b"\0") for text in texts]
    return torch.tensor([list(row) for row in rows], dtype=torch.uint8)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 17, 23), (4, 33, 5), (2, 3, 3)], ids=str)
def test_every_net_takes_every_shape_and_starts_at_zero(net, shape):
    backbone = Backbone(BackboneConfig(width=8, net=net), ImageSpec(*shape), times=2, channels_out=2 * shape[0])
    answer = backbone(torch.randn(2, *shape), None, torch.rand(2), torch.rand(2))
    assert answer.shape == (2, 2 * shape[0], *shape[1:])
    assert answer.dtype == torch.float32
    assert not answer.any()


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("net", NETS)
def test_every_weight_is_used_and_no_gradient_is_nan(net, precision):
    """Captions too, one of which is not given."""
    backbone = awake(CAPTIONED, net=net)
    asked = Condition(captions=captions("a red circle", ""))
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        answer = backbone(torch.randn(2, 3, 16, 16), asked, torch.rand(2))
    answer.square().mean().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), f"{name} has no effect"


@pytest.mark.parametrize("net", NETS)
def test_a_row_does_not_depend_on_its_batch(net):
    backbone, images, times = awake(CAPTIONED, net=net), torch.randn(4, 3, 16, 16), torch.rand(4)
    asked = Condition(captions=captions("one", "", "a longer caption", "猫"))
    together = backbone(images, asked, times)
    apart = torch.cat([backbone(images[i : i + 1], asked[i : i + 1], times[i : i + 1]) for i in range(4)])
    assert torch.allclose(together, apart, atol=1e-4)


@pytest.mark.parametrize("net", ["unet", "dit"])
def test_pictures_know_where_they_are(net):
    """A network whose convolutions or tokens did not know their places would answer grey with grey."""
    answer = awake(ImageSpec(1, 24, 16), net=net)(torch.zeros(1, 1, 24, 16), None, torch.zeros(1))
    assert answer[..., 8:16, 4:12].std() > 1e-3


def test_attention_stays_exact_in_bfloat16_however_large_its_input_grows():
    """Without the norm of queries and keys the logits would be some 10,000, and one key would take all."""
    with seeded(0):
        attention, tokens = Attention(128), torch.randn(2, 50, 128)
        torch.nn.init.normal_(attention.qkv.weight[:256], std=3.0)
    exact = attention(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        rough = attention(tokens)
    assert (exact - rough).abs().max() < 0.02 * exact.abs().max()


def test_attention_to_a_text_leaves_masked_tokens_out():
    with seeded(0):
        attention, tokens, words = Attention(64, 32), torch.randn(2, 9, 64), torch.randn(2, 5, 32)
    mask = torch.tensor([[True, True, False, False, False], [True] * 5])
    before = attention(tokens, Text(words, mask))
    words[0, 2:] = 1e3
    assert torch.equal(before, attention(tokens, Text(words, mask)))
    assert not torch.allclose(before, attention(tokens))


def test_unit_rms_is_what_it_says():
    found = unit_rms(torch.tensor([[3.0, 4.0], [0.0, 0.0]]), torch.tensor([1.0, 2.0]))
    root = 12.5**0.5
    assert torch.allclose(found, torch.tensor([[3 / root, 8 / root], [0.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize(("height", "width", "channels"), [(5, 9, 16), (1, 30, 7), (16, 16, 64)])
def test_no_two_cells_of_a_grid_have_the_same_position(height, width, channels):
    cells = grid_positions(height, width, channels)
    assert cells.shape == (height * width, channels)
    assert (torch.cdist(cells, cells) + torch.eye(len(cells))).min() > 0.05
    row, column = cells.unflatten(0, (height, width)).split([channels // 2, channels - channels // 2], dim=2)
    assert torch.equal(row[:, 0], row[:, -1]) and torch.equal(column[0], column[-1])


@pytest.mark.parametrize(("attention_below", "levels"), [(0, 1), (8, 4), (16, 7), (64, 10)])
def test_the_unet_has_attention_where_it_is_asked_for(attention_below, levels):
    """At 32x32 there are three levels: one block down and two up on each, and one in the middle."""
    backbone = Backbone(BackboneConfig(width=8, attention_below=attention_below), ImageSpec(3, 32, 32))
    assert sum(isinstance(module, PixelAttention) for module in backbone.modules()) == levels


def test_upsampling_leaves_no_checkerboard():
    layer = Upsample(4)
    torch.nn.init.normal_(layer.conv.weight)
    large = layer(torch.randn(2, 4, 5, 7), torch.empty(0), None)
    assert torch.equal(large[..., ::2, ::2], large[..., 1::2, 1::2])
    assert large.shape == (2, 4, 10, 14)


@pytest.mark.parametrize(
    ("net", "setting", "value"),
    [
        ("mlp", "patch", 2),
        ("auto", "patch", 2),
        ("mlp", "attention_below", 16),
        ("dit", "attention_below", 0),
        ("mixer", "attention_below", 4),
    ],
)
def test_a_setting_without_effect_is_refused(net, setting, value):
    with pytest.raises(ConfigError, match=f"--family.{setting.replace('_', '-')} {value}: has no effect on the"):
        Backbone(BackboneConfig(net=net, **{setting: value}), LABELLED)


@pytest.mark.parametrize(("patch", "tokens"), [(0, 8 * 10), (2, 11 * 15), (5, 5 * 6)])
def test_a_patch_that_does_not_divide_the_sides_is_padded(patch, tokens):
    backbone = awake(ImageSpec(1, 22, 30), net="dit", patch=patch)
    seen = []
    backbone.net.blocks[0].register_forward_hook(lambda module, inputs, output: seen.append(output.shape[1]))
    assert backbone(torch.randn(1, 1, 22, 30), None, torch.rand(1)).shape == (1, 1, 22, 30)
    assert seen == [tokens]


@pytest.mark.parametrize("wrong", [{"width": 4}, {"depth": 0}, {"patch": -1}, {"condition_dropout": 2.0}], ids=str)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match="give a number between"):
        BackboneConfig(**wrong)
