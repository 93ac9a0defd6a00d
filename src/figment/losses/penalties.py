"""Penalties on how steep a network is: of a critic's gradient, a generator's Jacobian, a layer's rows.

The first two are derivatives of derivatives. They are taken in float32 whatever the precision of the run: eight bits of
mantissa are too few for a difference of differences.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def squared_slope(critic: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """|grad_x D(x)|^2 of each picture: images (B, C, H, W) -> (B,), float32.

    Half its mean times gamma is R1 where the pictures are real, R2 where they are generated (Mescheder et al. 2018,
    equations 9 and 10). `critic` must judge each picture by itself, or nearly so.
    """
    x = images.detach().float().requires_grad_(True)
    with torch.autocast(x.device.type, enabled=False):
        (slope,) = torch.autograd.grad(critic(x).sum(), x, create_graph=True)
    return slope.square().sum((1, 2, 3))


def path_lengths(synthesize: Callable[[Tensor], Tensor], w: Tensor) -> Tensor:
    """|J_w^T y| for y standard normal: how far pictures move when w does. w (B, L, D) -> (B,), float32.

    y is divided by the root of the number of pixels; the length is the root mean square over the L layers. Karras et
    al. 2020, equation 4. Noise is drawn from torch's generator.
    """
    w = w.float()
    with torch.autocast(w.device.type, enabled=False):
        images = synthesize(w)
        y = torch.randn(images.shape).to(images) / math.sqrt(images.shape[2] * images.shape[3])
        (change,) = torch.autograd.grad((images * y).sum(), w, create_graph=True)
    return change.square().sum(2).mean(1).sqrt()


def overlap(weights: Iterable[nn.Parameter | Tensor]) -> Tensor:
    """Sum over the weights of |W W^T * (1 - I)|^2: how far the rows of each are from orthogonal, whatever their length.

    Brock et al. 2019, equation 3; W is a weight (out, in, ...) with all but its first axis flattened.
    """
    total = torch.zeros(())
    for weight in weights:
        with torch.autocast(weight.device.type, enabled=False):
            gram = weight.flatten(1) @ weight.flatten(1).T
        total = total.to(gram) + (gram - gram.diag().diag()).square().sum()
    return total
