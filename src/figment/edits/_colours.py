"""Colours as points of a space in which distance is what the eye sees, and how far two sets of them are apart.

CIE L*a*b*: L from 0 for black to 100 for white, a from green to red, b from blue to yellow; a distance of about 2 can
just be seen.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

DIRECTIONS = 32  # along which distributions of colours are compared


def to_lab(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> the colour of each pixel, (B, H W, 3)"""
    count, _, height, width = images.shape
    pixels = ((images + 1) / 2).clamp(0, 1).movedim(1, -1).reshape(-1, width, 3).float()
    return torch.from_numpy(cv2.cvtColor(pixels.contiguous().numpy(), cv2.COLOR_RGB2LAB)).view(count, height * width, 3)


def to_rgb(colours: Tensor, size: tuple[int, int]) -> Tensor:
    """The other way; colours that no screen can show become the nearest in each channel."""
    sheet = np.ascontiguousarray(colours.reshape(-1, size[1], 3).numpy())
    pixels = torch.from_numpy(cv2.cvtColor(sheet, cv2.COLOR_LAB2RGB)).view(-1, *size, 3)
    return (2 * pixels - 1).clamp(-1, 1).movedim(-1, 1).contiguous()


def sliced_distance(colours: Tensor, wanted: Tensor) -> Tensor:
    """Sliced Wasserstein distance of (B, P, 3) to (K, 3) colours, in the units of both: (B,).

    The mean, over directions, of how far one must move along it (Bonneel et al. 2015, with exponent 1).
    """
    across = torch.randn(3, DIRECTIONS, generator=torch.Generator().manual_seed(0))
    across = across / across.norm(dim=0)
    mine, theirs = (colours @ across).sort(1).values, (wanted @ across).sort(0).values
    shares = (torch.arange(mine.shape[1]) + 0.5) / mine.shape[1]
    return (mine - theirs[(shares * len(theirs)).long()]).abs().mean((1, 2))


def with_colours_of(image: Tensor, style: Tensor) -> Tensor:
    """(1, C, H, W) with the mean and covariance of the style's colours, moved as little as that takes.

    T(x) = m_2 + A (x - m_1),  A = S_1^(-1/2) (S_1^(1/2) S_2 S_1^(1/2))^(1/2) S_1^(-1/2): the optimal transport between
    two Gaussians (Pitié and Kokaram 2007).
    """
    x, y = (pixels.double().flatten(2)[0] for pixels in (image, style))
    m_1, m_2 = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
    floor = 1e-6 * torch.eye(len(x), dtype=torch.float64)  # so that a plain picture has a covariance to divide by
    s_1, s_2 = (part @ part.T / part.shape[1] + floor for part in (x - m_1, y - m_2))
    root, inverse = _power(s_1, 0.5), _power(s_1, -0.5)
    moved = m_2 + inverse @ _power(root @ s_2 @ root, 0.5) @ inverse @ (x - m_1)
    return moved.view_as(image).to(image).clamp(-1, 1)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    """Of a symmetric positive one."""
    values, axes = torch.linalg.eigh(matrix)
    return axes * values.clamp_min(0) ** exponent @ axes.T
