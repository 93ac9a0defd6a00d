"""A convolutional LSTM: a state that has places, each of which sees its neighbourhood alone.

    i = s(W_xi * x + W_hi * h + w_ci . c),   f = s(W_xf * x + W_hf * h + w_cf . c)
    c' = f . c + i . tanh(W_xc * x + W_hc * h)
    o = s(W_xo * x + W_ho * h + w_co . c'),   h' = o . tanh(c')

Shi et al. 2015, equation 3; biases left out. *: convolution, .: value by value, s: the logistic function.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

State = tuple[Tensor, Tensor]  # h and c, (B, width, H, W) each, float32


class ConvLstm(nn.Module):
    """One layer; grid: height and width of its places."""

    def __init__(self, channels: int, width: int, grid: tuple[int, int]):
        super().__init__()
        self.shape = (width, *grid)
        self.gates = nn.Conv2d(channels + width, 4 * width, 3, padding=1)
        self.peepholes = nn.Parameter(torch.zeros(3, *self.shape))
        assert self.gates.bias is not None
        nn.init.ones_(self.gates.bias[width : 2 * width].detach())  # it begins by remembering (Jozefowicz et al. 2015)

    def empty(self, rows: int) -> State:
        """The state before anything was seen."""
        blank = self.peepholes.new_zeros(rows, *self.shape)
        return blank, blank

    def forward(self, x: Tensor, state: State) -> State:
        """(B, channels, H, W) and the state before -> the state after, whose h is the layer's answer."""
        h, c = state
        i, f, new, o = self.gates(torch.cat([x, h], 1)).float().chunk(4, 1)
        w_ci, w_cf, w_co = self.peepholes
        c = (f + w_cf * c).sigmoid() * c + (i + w_ci * c).sigmoid() * new.tanh()
        return (o + w_co * c).sigmoid() * c.tanh(), c
