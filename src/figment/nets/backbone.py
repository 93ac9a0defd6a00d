"""The network of a denoising family: picture, times and condition in, a tensor like the picture out.

    Backbone(config, spec)(x_t, condition, t)

Which network it is (`--family.net`) and how large, no family needs to know.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Annotated, Literal, TypeVar

import tyro
from torch import Tensor, nn

from figment.core.config import check_range
from figment.core.errors import ConfigError
from figment.core.types import Condition, ImageSpec
from figment.nets.dit import dit
from figment.nets.embeddings import KINDS, ConditionEmbedding, FourierEmbedding, Kind, told_spec
from figment.nets.mixer import mixer
from figment.nets.mlp import ModulatedMlp
from figment.nets.pretrained_text import PretrainedText, TextModel, read_text_model
from figment.nets.text import text_width
from figment.nets.unet import UNet
from figment.nets.unet2d import TimeEmbedding, UNet2d

MLP_PIXELS = 100
TOKENS_A_SIDE = 8

# Settings that not every network has, and those that have them.
OF_NETS = {"patch": ("unet", "dit", "mixer"), "attention_below": ("unet", "unet2d")}


@dataclass(frozen=True)
class BackboneConfig:
    """The settings that all denoising families share: their `Config` extends this one."""

    net: Literal["auto", "mlp", "unet", "dit", "mixer", "unet2d"] = "auto"
    """Network; auto takes the MLP for pictures of up to 10x10 pixels, else the U-Net."""
    width: int = 32
    """Channels of the U-Net's first level, later ones have twice as many; other networks are eight times as wide."""
    depth: int = 1
    """Residual blocks: on each level of the U-Net; the other networks have four times as many in all."""
    patch: int = 0
    """Pixels a side that are folded into one before the first layer; 0: 1 for the U-Net, else an eighth of the side."""
    attention_below: int = 8
    """Levels of the U-Net of at most this many pixels a side have attention; 0: only the middle."""
    told: tuple[Kind, ...] = KINDS
    """What the network is told of a picture, if the dataset has it: captions alone are learnt faster than all."""
    text: str = ""
    """Trained encoder to read captions with: hub:NAME or a folder of transformers; else a small one learns along."""
    condition_dropout: float = 0.1
    """Share of pictures shown without their condition, which guidance needs."""
    text_model: Annotated[TextModel | None, tyro.conf.Suppress] = field(default=None, metadata={"recorded": True})
    """How the text encoder is built; recorded when training starts."""

    def __post_init__(self):
        check_range("family.width", self.width, 8, 1024)
        check_range("family.depth", self.depth, 1, 12)
        check_range("family.patch", self.patch, 0, 64)
        check_range("family.attention_below", self.attention_below, 0, 1024)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)


C = TypeVar("C", bound=BackboneConfig)


def complete(config: C, spec: ImageSpec) -> C:
    """The config with its text encoder's own, where one is asked for and not recorded yet.

    Raises ConfigError where nothing would be read with it, and what `read_text_model` raises.
    """
    if not config.text or config.text_model:
        return config
    if not told_spec(spec, config.told).caption_bytes:
        raise ConfigError(
            f"--family.text {config.text}: has no effect, the network is told of no captions; leave it out, or give "
            "--data with captions and no --family.told without them"
        )
    return replace(config, text_model=read_text_model(config.text).facts)


class Backbone(nn.Module):
    """A network with the embeddings of its times and of its condition.

    times: how many times it is told (two for a flow map from one time to another). channels_out: where the answer has
    more channels than the picture, such as a learnt variance.

    Raises ConfigError for a setting that has no effect on the network of these pictures, or is told what they lack.
    """

    def __init__(self, config: BackboneConfig, spec: ImageSpec, *, times: int = 1, channels_out: int | None = None):
        super().__init__()
        condition_width, spec = 8 * config.width, told_spec(spec, config.told)
        self.net = network(config, spec, condition_width, channels_out or spec.channels)
        self.times = nn.ModuleList(_time_embedding(config, condition_width) for _ in range(times))
        facts = config.text_model
        assert facts or not config.text, "complete() has recorded it"
        text = PretrainedText(config.text, facts, text_width(condition_width)) if facts else None
        self.condition = ConditionEmbedding(spec, condition_width, text)

    def forward(self, images: Tensor, condition: Condition | None, *times: Tensor) -> Tensor:
        """images (B, C, H, W), each of times (B,) in [0, 1] or near it -> (B, channels_out, H, W) float32"""
        vector, text = self.condition.embed(condition, images.shape[0])
        for embed, time in zip(self.times, times, strict=True):
            vector = vector + embed(time)
        return self.net(images, vector, text).float()


def _time_embedding(config: BackboneConfig, condition_width: int) -> nn.Module:
    if config.net == "unet2d":
        return TimeEmbedding(config.width, condition_width)
    return nn.Sequential(FourierEmbedding(64), nn.Linear(64, condition_width))


def network(config: BackboneConfig, spec: ImageSpec, condition_width: int, channels_out: int) -> nn.Module:
    """The network that a config means for these pictures, called as net(images, vector, text).

    Raises ConfigError for a setting that has no effect on it.
    """
    name = config.net
    if name == "auto":
        name = "mlp" if spec.height * spec.width <= MLP_PIXELS else "unet"
    _refuse_without_effect(config, name)
    channels, size = (spec.channels, channels_out), (spec.height, spec.width)
    width, depth = 8 * config.width, 4 * config.depth
    patch = config.patch or -(-min(size) // TOKENS_A_SIDE)
    reads = text_width(condition_width) if spec.caption_bytes else None
    if name == "mlp":
        return ModulatedMlp(spec.shape, width, depth, condition_width, channels_out)
    if name == "mixer":
        return mixer(spec.shape, channels_out, width=width, depth=depth, condition_width=condition_width, patch=patch)
    if name == "dit":
        return dit(channels, width=width, depth=depth, condition_width=condition_width, patch=patch, text_width=reads)
    widths = _widths(min(size) // (config.patch or 1), config.width)
    if name == "unet2d":
        attends = [-(-min(size) // 2**level) <= config.attention_below for level in range(len(widths))]
        return UNet2d(channels, widths=widths, depth=config.depth, attends=attends, condition_width=condition_width)
    return UNet(
        channels,
        size,
        widths=widths,
        depth=config.depth,
        patch=config.patch or 1,
        attention_below=config.attention_below,
        condition_width=condition_width,
        text_width=reads,
    )


def _refuse_without_effect(config: BackboneConfig, net: str) -> None:
    """Raise ConfigError for a setting that differs from its default and that this network does not have."""
    defaults = {field.name: field.default for field in fields(config)}
    for name, nets in OF_NETS.items():
        value = getattr(config, name)
        if net not in nets and value != defaults[name]:
            flag = f"--family.{name.replace('_', '-')}"
            raise ConfigError(f"{flag} {value}: has no effect on the {net} that these pictures get; leave it out")


def _widths(side: int, width: int) -> list[int]:
    """Levels down to 8 pixels or fewer: 16x16 has two, 28x28 three, 64x64 four, 256x256 six."""
    widths = [width]
    while side > 8:
        side //= 2
        widths.append(2 * width)
    return widths
