"""Losses that compare pictures of one batch with each other."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Find each picture's other view among all views of the batch: (B, D), (B, D) -> scalar.

    Chen et al. 2020 (SimCLR), equation 1. A batch of one picture has no others to tell it from: the loss is then 0.
    """
    views = F.normalize(torch.cat([first, second]).float(), dim=1)
    similarity = views @ views.T / temperature
    similarity = similarity.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), float("-inf"))
    partner = torch.arange(len(views), device=views.device).roll(len(first))
    return F.cross_entropy(similarity, partner)
