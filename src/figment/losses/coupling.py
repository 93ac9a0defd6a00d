"""Which noise is carried to which picture: straighter ways, which fewer steps can follow."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from figment.core.types import Condition


def transport(x: Tensor, n: Tensor, condition: Condition) -> Tensor:
    """The order of the noise in which the squared distances to the pictures sum to the least: (B,) int64.

    x, n: (B, ...); n[result] goes with x. Exact optimal transport of a minibatch (Tong et al. 2024),
    among rows of one condition only: noise that is told by the condition which picture it goes to in training would
    have no one to tell it later (Cheng and Schwing 2025). The same arguments give the same order.
    """
    from scipy.optimize import linear_sum_assignment

    pictures, noise = (part.detach().float().flatten(1).cpu().numpy() for part in (x, n))
    order = np.arange(len(pictures))
    for group in _groups(condition, len(pictures)):
        # |x - n|^2 = |x|^2 + |n|^2 - 2 x.n, and the squares are the same in every order.
        order[group] = group[linear_sum_assignment(pictures[group] @ noise[group].T, maximize=True)[1]]
    return torch.from_numpy(order).to(x.device)


def _groups(condition: Condition, batch_size: int) -> list[np.ndarray]:
    """The places of the rows that share a condition, bit by bit."""
    parts = [part.detach().cpu().contiguous().numpy() for part in vars(condition).values() if part is not None]
    cells = [np.zeros((batch_size, 1), np.uint8), *(part.reshape(batch_size, -1).view(np.uint8) for part in parts)]
    _, group = np.unique(np.concatenate(cells, 1), axis=0, return_inverse=True)
    return [np.flatnonzero(group == one) for one in range(group.max() + 1)]
