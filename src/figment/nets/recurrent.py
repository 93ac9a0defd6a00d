"""Recurrent networks along a picture: one state that is carried from value to value, or from row to row.

Values are ordered by row, column, channel. Every step is shown the values just before it, as far back as the pixel
above and its neighbour to the left.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.masked import Choose

Cell = Literal["lstm", "gru", "rnn"]
Order = Literal["rows", "pixels"]

CELLS: dict[Cell, Callable[..., nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}


class PixelRecurrence(nn.Module):
    """`outputs` numbers for every value of a picture, each a function of the values before it and the condition.

    shape: (C, H, W). order: `pixels` carries one state through all values. `rows` carries one from row to row; another
    starts anew in each row, is told of the first, and goes from value to value: far fewer steps follow each other.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        outputs: int,
        condition_width: int,
        *,
        cell: Cell,
        order: Order,
        width: int,
        depth: int,
    ):
        super().__init__()
        channels, height, right = shape
        self.shape, self.row_size = shape, right * channels
        self.window = self.row_size + channels
        self.enter = nn.Linear(self.window, width)
        self.condition = nn.Linear(condition_width, width)
        self.places = nn.Parameter(0.1 * torch.randn(self.row_size, width))
        self.rows = nn.Parameter(0.1 * torch.randn(height, width))
        self.outer = CELLS[cell](self.row_size, width, depth, batch_first=True) if order == "rows" else None
        self.inner = CELLS[cell](width, width, depth, batch_first=True)
        self.leave = nn.Sequential(nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, outputs))

    def forward(self, images: Tensor, condition: Tensor) -> Tensor:
        """(B, C, H, W), (B, condition_width) -> (B, C, H, W, outputs)"""
        channels, height, right = self.shape
        values = images.permute(0, 2, 3, 1).reshape(len(images), height, self.row_size)
        windows = F.pad(values.flatten(1), (self.window, 0))[:, :-1].unfold(1, self.window, 1)
        steps = self.enter(windows).unflatten(1, (height, self.row_size)) + self._place(condition)
        if self.outer is not None:
            context, _ = self.outer(F.pad(values, (0, 0, 1, -1)))
            steps = steps + context[:, :, None]
        runs = steps.flatten(0, 1) if self.outer is not None else steps.flatten(1, 2)
        states, _ = self.inner(runs)
        answers = self.leave(torch.cat([states, runs], -1))
        return answers.view(len(images), height, right, channels, -1).permute(0, 3, 1, 2, 4)

    def _place(self, condition: Tensor) -> Tensor:
        """What a step knows beside values: its row and column and the condition, (B, H, W * C, width)."""
        return self.rows[:, None] + self.places + self.condition(condition)[:, None, None]

    @torch.no_grad()
    def fill(self, condition: Tensor, choose: Choose) -> Tensor:
        """A picture value by value, (B, C, H, W): the states are carried along."""
        channels, height, right = self.shape
        values = torch.zeros(len(condition), self.window + height * self.row_size, device=condition.device)
        places = self._place(condition)
        outer: Any = None
        inner: Any = None
        for row in range(height):
            told = torch.zeros(())
            if self.outer is not None:
                start = self.window + (row - 1) * self.row_size
                row_above = values[:, start : start + self.row_size]
                above = row_above if row else torch.zeros_like(values[:, : self.row_size])
                context, outer = self.outer(above[:, None], outer)
                told, inner = context[:, 0], None
            for place in range(self.row_size):
                now = row * self.row_size + place
                step = self.enter(values[:, now : now + self.window]) + places[:, row, place] + told
                state, inner = self.inner(step[:, None], inner)
                parameters = self.leave(torch.cat([state[:, 0], step], -1))
                column, channel = divmod(place, channels)
                values[:, self.window + now] = choose(row, column, channel, parameters)
        return values[:, self.window :].view(-1, height, right, channels).permute(0, 3, 1, 2).contiguous()
