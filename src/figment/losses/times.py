"""At which times between picture and noise a flow is trained: the distributions of Esser et al. 2024, section 3.1."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from figment.losses.denoising import logit_normal_times

Times = Literal["logit_normal", "uniform", "mode", "cosmap"]

MODE_SCALE = 1.29  # the best one in their table 1


def draw_times(kind: Times, count: int, *, mean: float = 0.0) -> Tensor:
    """(count,), in [0, 1]: 0 is the picture, 1 the noise. mean: of the logit of logit_normal times."""
    if kind == "logit_normal":
        return logit_normal_times(count, mean=mean)  # equation 19
    u = torch.rand(count)
    if kind == "mode":
        return 1 - u - MODE_SCALE * (torch.cos(math.pi / 2 * u).square() - 1 + u)  # equation 20
    if kind == "cosmap":
        return 1 - 1 / (torch.tan(math.pi / 2 * u) + 1)  # equation 21
    return u
