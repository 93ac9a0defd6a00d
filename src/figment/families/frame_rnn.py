"""Frame RNN: a convolutional LSTM that sees a clip frame by frame, and foretells the next one.

    h_t, c_t = ConvLSTM([x_{t-1}, x_{t-1} - x_{t-2}], h_{t-1}, c_{t-1})                (Shi et al. 2015, equation 3)
    x'_t(p) = sum_d m_t(p, d) x_{t-1}(p + d) + m_t(p, new) v_t(p)                      (Finn et al. 2016, section 3.1)
    loss = mean_t 1/2 log |x'_t - x_t|^2 + KL(q(z|x) || N(0, I)) / values              (Rybkin et al. 2021, equation 5)

m and v are read off h: where a pixel comes from, shares that sum to 1, and what it is where it comes from nowhere.

Half of the clips of a batch are shown as they are, and each next frame is foretold. The other half is drawn from z, a
code of the whole clip: its first frame and how it moves are decoded from z, and then the network is shown only its own
frames. So it can continue a clip, and draw one from noise. A dataset of clips is needed: `frames`, or moving `shapes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.config import Scale, TrainConfig, check_range
from figment.core.errors import DataError
from figment.core.objective import Objective
from figment.core.types import Batch, Condition, ImageSpec, Loss
from figment.losses.kl import gaussian_kl_nats
from figment.nets.blocks import pad_to_multiple
from figment.nets.bottleneck import GridDecoder, GridEncoder
from figment.nets.conv_lstm import ConvLstm
from figment.nets.embeddings import KINDS, ConditionEmbedding, Kind, drop_condition, told_spec

TRAIN = TrainConfig(batch_size=16, lr=2e-3, beta2=0.99, clip_norm=1.0, ema_half_life=2_000)

TAKES = ("frames",)

SMALLEST_VARIANCE = (0.5 / 127.5) ** 2  # half a grey level: keeps the density of frames that stand still finite


@dataclass(frozen=True)
class Config:
    """Size of the network."""

    width: int = 32
    """Channels of a state."""
    depth: int = 1
    """Layers of the LSTM."""
    reach: int = 2
    """Pixels that a thing can move in a frame, up, down and sideways."""
    patch: int = 0
    """Pixels a side that share a place of the state; 0: 2 up to 32 pixels, 4 above."""
    latents: int = 32
    """Numbers of the code that a clip is drawn from."""
    told: tuple[Kind, ...] = KINDS
    """What the network is told of a clip that it draws, if the dataset has it."""
    condition_dropout: float = 0.1
    """Share of clips shown without their condition, so that both ways are learnt."""

    def __post_init__(self):
        check_range("family.width", self.width, 4, 1024)
        check_range("family.depth", self.depth, 1, 8)
        check_range("family.reach", self.reach, 0, 16)
        check_range("family.patch", self.patch, 0, 32)
        check_range("family.latents", self.latents, 1, 4096)
        check_range("family.condition_dropout", self.condition_dropout, 0, 1)

    @classmethod
    def preset(cls, scale: Scale) -> Config:
        base = cls(width=96, depth=2, reach=4, latents=64)
        return {"tiny": cls(width=16, latents=16), "small": cls(), "base": base}[scale]


class FrameModel(nn.Module):
    """The LSTM, and encoder and decoder of a clip's code, with the faces Generates and Continues."""

    def __init__(self, config: Config, spec: ImageSpec):
        super().__init__()
        self.spec, self.latents, self.reach = spec, config.latents, config.reach
        self.patch = config.patch or (2 if min(spec.height, spec.width) <= 32 else 4)
        grid = (-(-spec.height // self.patch), -(-spec.width // self.patch))
        area, width = self.patch**2, config.width
        self.condition = ConditionEmbedding(told_spec(spec, config.told), width)
        code = {"condition_width": width, "width": 16 * width, "depth": 1}
        clip = (spec.frames * spec.channels, spec.height, spec.width)
        self.encoder = GridEncoder(clip, 2 * config.latents, **code)
        self.start = GridDecoder((spec.channels * area + width, *grid), config.latents, **code)
        self.enter = nn.Conv2d(2 * spec.channels * area, width, 3, padding=1)
        self.layers = nn.ModuleList(ConvLstm(width, width, grid) for _ in range(config.depth))
        answers = spec.channels + 1 + (2 * config.reach + 1) ** 2
        self.leave = nn.Conv2d(config.depth * width, answers * area, 3, padding=1)

    def posterior(self, clips: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor]:
        """(B, T, C, H, W) -> mean and log variance of q(z|x), (B, latents) each"""
        answer = self.encoder(clips.flatten(1, 2), self.condition(condition, len(clips))).float()
        mean, log_variance = answer.chunk(2, dim=1)
        return mean, log_variance.clamp(-20, 10)

    def begun(self, latents: Tensor, condition: Condition | None) -> tuple[Tensor, Tensor]:
        """A clip's first frame (B, C, H, W) in [-1, 1], and how it moves (B, width, h, w), of (B, latents)."""
        answer = self.start(latents, self.condition(condition, len(latents))).float()
        frame, motion = answer.tensor_split([answer.shape[1] - self.layers[0].shape[0]], 1)  # type: ignore[index]
        return self._unfolded(frame).tanh(), motion

    def foretold(self, first: Tensor, motion: Tensor, frames: Tensor, is_free: Tensor, length: int) -> Tensor:
        """Frames 1 to `length` of a clip, each but the first from those before it: (B, length, C, H, W) in [-1, 1]

        first, motion: as of `begun`; motion 0 where nothing is known of it. frames (B, T, C, H, W): the clip as far as
        it is known. is_free (B,) bool: rows that are shown their own frames all the same.
        """
        states: list[Any] = [layer.empty(len(first)) for layer in self.layers]  # type: ignore[operator]
        found, earlier, before = [first], first, first
        for place in range(1, length):
            shown = self._seen(before, earlier) + (motion if place == 1 else 0)
            for number, layer in enumerate(self.layers):
                states[number] = layer(shown, states[number])
                shown = states[number][0]
            found.append(self._next(before, torch.cat([h for h, _ in states], 1)))
            earlier, before = before, found[-1]
            if place < frames.shape[1]:
                before = torch.where(is_free[:, None, None, None], before, frames[:, place])
        return torch.stack(found, 1)

    def _seen(self, frame: Tensor, earlier: Tensor) -> Tensor:
        """(B, C, H, W) each -> (B, width, h, w); patches are folded into channels, as in Shi et al., section 4.1."""
        both = pad_to_multiple(torch.cat([frame, frame - earlier], 1), self.patch)
        return self.enter(F.pixel_unshuffle(both, self.patch))

    def _next(self, before: Tensor, states: Tensor) -> Tensor:
        (channels, height, right), reach = self.spec.shape, self.reach
        answer = self._unfolded(self.leave(states).float())
        v, m = answer[:, :channels].tanh(), answer[:, channels:].softmax(1)
        around = F.unfold(F.pad(before, [reach] * 4, mode="replicate"), 2 * reach + 1)  # (B, C * places, H * W)
        moved = (around.view(len(before), channels, -1, height, right) * m[:, None, 1:]).sum(2)
        return moved + m[:, :1] * v

    def _unfolded(self, answer: Tensor) -> Tensor:
        """(B, N * patch^2, h, w) -> (B, N, H, W)"""
        return F.pixel_shuffle(answer, self.patch)[..., : self.spec.height, : self.spec.width]

    def noise_shape(self) -> tuple[int]:
        return (self.latents,)

    def generate(self, noise: Tensor, condition: Condition | None = None, settings: Any = None) -> Tensor:
        """(B, latents) -> clips (B, T, C, H, W), as long as those of the dataset."""
        first, motion = self.begun(noise, condition)
        is_free = torch.ones(len(noise), dtype=torch.bool, device=noise.device)
        return self.foretold(first, motion, first[:, None], is_free, self.spec.frames)

    def continue_from(self, frames: Tensor, noise: Tensor, steps: int) -> Tensor:
        """What is likeliest to follow; the noise has no say in it."""
        unknown = frames.new_zeros(len(frames), *self.layers[0].shape)  # type: ignore[misc]
        is_free = torch.zeros(len(frames), dtype=torch.bool, device=frames.device)
        return self.foretold(frames[:, 0], unknown, frames, is_free, frames.shape[1] + steps)[:, frames.shape[1] :]


class FrameObjective(Objective[FrameModel]):
    def __init__(self, model: FrameModel, config: Config):
        super().__init__(model)
        self.config = config

    def loss(self, batch: Batch) -> Loss:
        x = batch.images
        # Of an odd number of clips one half has one more, and a coin decides which: so both are halves on the mean.
        coin = torch.randint(2, (1,)).to(x.device) if len(x) % 2 else 0
        is_free = (torch.arange(len(x), device=x.device) + coin) % 2 == 0
        free, known = (2 * kind.float().mean() for kind in (is_free, ~is_free))  # what each counts: 1 in an even batch
        condition = drop_condition(batch.condition, self.config.condition_dropout, self.config.told)
        mean, log_variance = self.model.posterior(x, condition)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape).to(mean)
        (first, motion), rows = self.model.begun(z, condition), is_free[:, None, None, None]
        found = self.model.foretold(torch.where(rows, first, x[:, 0]), motion * rows, x, is_free, x.shape[1])
        squared = (found - x).square().mean((2, 3, 4))
        drawn, told = average(squared, is_free), average(squared, ~is_free)[1:]  # the first one was given
        kl = average(gaussian_kl_nats(mean, log_variance)[:, None], is_free).sum()
        copied = average((x[:, 1:] - x[:, :-1]).square().mean((2, 3, 4)), ~is_free)
        terms = {"drawn": free * value_nats(drawn), "told": known * value_nats(told), "kl": free * kl / x[0].numel()}
        stats = {"kl_nats": free * kl, "error_to_copying": known * told.sum() / copied.sum().clamp_min(1e-12)}
        return Loss(terms, stats | {"pixel_error": free * drawn.mean().sqrt()})


def average(values: Tensor, rows: Tensor) -> Tensor:
    """Mean of some rows, (B, N), (B,) bool -> (N,); 0 where there are none."""
    return (values * rows[:, None]).sum(0) / rows.sum().clamp_min(1)


def value_nats(squared: Tensor) -> Tensor:
    """-log of the density of a value under a Gaussian with the mean squared error, one a frame, for its variance."""
    return 0.5 * (2 * math.pi * math.e * squared.clamp_min(SMALLEST_VARIANCE)).log().mean()


def build(config: Config, spec: ImageSpec) -> Objective:
    """A network for clips of this spec.

    Raises DataError for single pictures, which have no next frame.
    """
    if spec.frames < 2:
        raise DataError(
            "a frame_rnn needs clips, this dataset holds single pictures; build one with "
            "'figment data build shapes:2000 --shapes.frames 8' or from frames:FOLDER"
        )
    return FrameObjective(FrameModel(config, spec), config)
