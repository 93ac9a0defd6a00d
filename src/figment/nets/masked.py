"""Gated convolutions that see only what comes before a value: rows above, pixels to the left, channels before its own.

    y = tanh(W_f * x + V_f c) . sigmoid(W_g * x + V_g c)             (van den Oord et al. 2016b, equation 4)

Two stacks, so that nothing above is hidden: one looks at the rows above, over their whole width, and tells the other,
which looks to the left. Values are ordered by row, column, channel. Features come in as many groups as the picture has
channels, and a group never sees those of later channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

# (row, column, channel, parameters (B, outputs)) -> the value that is put there, (B,)
Choose = Callable[[int, int, int, Tensor], Tensor]


class GroupedConv(nn.Conv2d):
    """A convolution over one row, without padding, whose last tap hides later channels of the same pixel.

    strict: a group does not see its own channel either, as the first layer must not. halves: the outputs are two sets
    of groups, for gates.
    """

    mask: Tensor

    def __init__(self, before: int, after: int, taps: int, groups: int, *, strict: bool = False, halves: int = 1):
        super().__init__(before, after, (1, taps))
        source = torch.arange(before) * groups // before
        target = (torch.arange(after // halves) * groups * halves // after).repeat(halves)
        mask = torch.ones(after, before, 1, taps)
        sees = target[:, None] > source[None, :] if strict else target[:, None] >= source[None, :]
        mask[..., 0, -1] = sees.float()
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        weight = self.weight * self.mask
        if input.shape[2:] == self.kernel_size:  # one pixel: a product is several times quicker than a convolution
            return F.linear(input.flatten(1), weight.flatten(1), self.bias)[..., None, None]
        return F.conv2d(input, weight, self.bias)


class GatedLayer(nn.Module):
    """One layer of both stacks. Its caller pads, so that a whole picture and a single row or pixel pass alike."""

    def __init__(self, before: int, width: int, kernel: int, groups: int, condition_width: int):
        super().__init__()
        self.residual = before == width
        reach = (kernel + 1) // 2
        self.vertical = nn.Conv2d(before, 2 * width, (reach, kernel))
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = GroupedConv(before, 2 * width, reach, groups, strict=not self.residual, halves=2)
        self.leave = GroupedConv(width, width, 1, groups)
        self.condition = nn.Linear(condition_width, 4 * width)

    def above(self, rows: Tensor, down: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """What rows above say to this row, (B, 2 D, H, W), and the vertical stack's own answer, (B, D, H, W).

        rows: padded by reach - 1 rows and, on both sides, kernel // 2 columns. down: the same without padding.
        """
        mine, yours = bias[:, :, None, None].chunk(2, 1)
        seen = self.vertical(rows) + mine
        answer = gate(seen)
        return self.link(seen) + yours, down + answer if self.residual else answer

    def before(self, row: Tensor, along: Tensor, told: Tensor) -> Tensor:
        """The horizontal stack's answer, (B, D, H, W). row: `along` padded by reach - 1 columns on the left."""
        answer = self.leave(gate(self.horizontal(row) + told))
        return along + answer if self.residual else answer


def gate(features: Tensor) -> Tensor:
    value, openness = features.chunk(2, 1)
    return value.tanh() * openness.sigmoid()


class GatedPixelCnn(nn.Module):
    """`outputs` numbers for every value of a picture, each a function of the values before it and the condition.

    shape: (C, H, W). width: features of a layer, rounded up to a multiple of C. kernel: odd.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        condition_width: int,
        *,
        width: int,
        depth: int,
        kernel: int,
    ):
        super().__init__()
        self.shape, self.outputs, self.reach, self.sides = shape, outputs, (kernel + 1) // 2, kernel // 2
        channels = shape[0]
        width = -(-width // channels) * channels + (channels if width == channels else 0)
        sizes = [channels, *[width] * depth]
        gated = (GatedLayer(before, width, kernel, channels, condition_width) for before in sizes[:-1])
        self.layers = nn.ModuleList(gated)
        head = 2 * width
        self.head = nn.Sequential(
            nn.SiLU(),
            GroupedConv(width, head, 1, channels),
            nn.SiLU(),
            GroupedConv(head, channels * outputs, 1, channels),
        )

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W), (B, condition_width) -> (B, C, H, W, outputs)"""
        down, along = F.pad(images, (0, 0, 1, -1)), images  # the vertical stack sees the rows above alone
        for layer in self._gated():
            rows = F.pad(down, (self.sides, self.sides, self.reach - 1, 0))
            told, down = layer.above(rows, down, layer.condition(condition))
            along = layer.before(F.pad(along, (self.reach - 1, 0)), along, told)
        return self._answers(along)

    def _gated(self) -> list[GatedLayer]:
        return cast(list[GatedLayer], list(self.layers))

    def _answers(self, along: Tensor) -> Tensor:
        """(B, D, H, W) -> (B, C, H, W, outputs)"""
        return self.head(along).unflatten(1, (self.shape[0], self.outputs)).movedim(2, -1)

    @torch.no_grad()
    def fill(self, condition: Tensor, choose: Choose) -> Tensor:
        """A picture value by value, (B, C, H, W), at the price of about one pass: what was seen before is kept."""
        channels, height, right = self.shape
        x = torch.zeros(len(condition), channels, height, right, device=condition.device)
        biases = [layer.condition(condition) for layer in self._gated()]
        kept: list[Tensor | None] = [None] * len(self.layers)  # of each layer the rows above that it will need
        for row in range(height):
            down = x[:, :, row - 1 : row] if row else torch.zeros_like(x[:, :, :1])
            told = []
            for index, layer in enumerate(self._gated()):
                padded = F.pad(down, (self.sides, self.sides))
                above = kept[index]
                rows = F.pad(padded, (0, 0, self.reach - 1, 0)) if above is None else torch.cat([above, padded], 2)
                kept[index] = rows[:, :, 1:]
                link, down = layer.above(rows, down, biases[index])
                told.append(link)
            self._fill_row(x, row, told, choose)
        return x

    def _fill_row(self, x: Tensor, row: int, told: list[Tensor], choose: Choose) -> None:
        """Decide one row of x, in place, from left to right."""
        windows: list[Tensor] = [torch.empty(0)] * len(self.layers)
        for column in range(x.shape[3]):
            lefts = [window[..., 1:] for window in windows]
            for channel in range(x.shape[1]):
                along = x[:, :, row : row + 1, column : column + 1]
                for index, layer in enumerate(self._gated()):
                    if column:
                        windows[index] = torch.cat([lefts[index], along], 3)
                    else:
                        windows[index] = F.pad(along, (self.reach - 1, 0))
                    along = layer.before(windows[index], along, told[index][..., column : column + 1])
                x[:, channel, row, column] = choose(row, column, channel, self._answers(along)[:, channel, 0, 0])
            # The last channel was decided after its pixel was looked at; later layers cannot have seen it.
            windows[0][..., -1] = x[:, :, row, column].unsqueeze(2)
