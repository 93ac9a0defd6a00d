"""Colours moved to those of a palette, so that as little as possible is moved in all.

Entropic optimal transport from a picture's colours x to the palette's y, by Sinkhorn's iterations (Cuturi 2013), in CIE
L*a*b*:

    T(x) = sum_k p_k(x) y_k,    p_k(x) = softmax_k( g_k - |x - y_k|^2 / (2 e) )        (Pooladian and Niles-Weed 2021)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from PIL import ImageColor
from torch import Tensor

from figment.core.config import check_range
from figment.core.errors import ConfigError, DataError
from figment.edits._colours import sliced_distance, to_lab, to_rgb

ROUNDS = 50  # of Sinkhorn's iteration
SAMPLE = 1024  # pixels by which a picture's colours are known


@dataclass(frozen=True)
class PaletteConfig:
    """Which colours, and how strictly."""

    colors: str = ""
    """The palette: colours with commas between, such as '#264653,#e9c46a,white'."""
    strength: float = 1.0
    """How far colours move: 0 leaves them alone, 1 goes all the way."""
    balance: float = 0.5
    """1: each colour takes an equal share of the picture; 0: every pixel takes what is near."""
    shading: float = 0.5
    """Share of each pixel's own lightness that is kept, 0 to 1, so that shapes stay visible."""
    softness: float = 10.0
    """Distance over which one colour blends into the next, in units of L*a*b*: 2 makes posters, 20 makes haze."""

    def __post_init__(self):
        for name in ("strength", "balance", "shading"):
            check_range(f"edit.{name}", getattr(self, name), 0, 1)
        check_range("edit.softness", self.softness, 1, 100)
        if self.colors:
            palette_of(self.colors)


def palette_of(colors: str) -> Tensor:
    """Names of colours, with commas between, as (K, 3) in CIE L*a*b*.

    Raises ConfigError for what is no colour.
    """
    if not colors:
        raise ConfigError("--edit.colors: which ones? give some, such as '#264653,#e9c46a,white'")
    try:
        rgb = torch.tensor([ImageColor.getrgb(name.strip())[:3] for name in colors.split(",")])
    except ValueError as error:
        raise ConfigError(f"--edit.colors {colors}: {error}; give colours such as '#264653,#e9c46a,white'") from None
    return to_lab((rgb / 127.5 - 1).T[None, :, :, None])[0]


def refuse_grey(channels: int) -> None:
    """Raise DataError for pictures that have no colours."""
    if channels < 3:
        raise DataError("these pictures are grey, and have no colours to move; give colour ones")


def distance(images: Tensor, palette: Tensor) -> float:
    """How far the colours of (B, C, H, W) are from the palette's, mean over pictures, in units of L*a*b*."""
    return float(sliced_distance(to_lab(images[:, :3]), palette).mean())


def recoloured(images: Tensor, palette: Tensor, config: PaletteConfig) -> Tensor:
    """(B, C, H, W) in [-1, 1] with its first three channels moved; each picture by itself."""
    size, colours = (images.shape[-2], images.shape[-1]), to_lab(images[:, :3])
    moved = torch.stack([transported(one, palette, config.softness**2, config.balance) for one in colours])
    moved[..., 0] = moved[..., 0].lerp(colours[..., 0], config.shading)
    shift = to_rgb(colours.lerp(moved, config.strength), size) - to_rgb(colours, size)  # so that rounding cancels
    return torch.cat([(images[:, :3] + shift).clamp(-1, 1), images[:, 3:]], 1)


def transported(colours: Tensor, palette: Tensor, e: float, balance: float) -> Tensor:
    """Colours (P, 3) as mixtures of those of a palette, (K, 3). e: weight of the entropy, in squared units.

    balance: below 1 the shares that the palette's colours take are free to differ (Chizat et al. 2018: it is the
    exponent of their scaling, rho / (rho + e)).
    """
    seen = colours[:: max(1, len(colours) // SAMPLE)]
    near, share = -_cost(seen, palette) / e, math.log(len(seen) / len(palette))
    g = torch.zeros(len(palette))
    for _ in range(ROUNDS):
        f = -(near + g).logsumexp(1, keepdim=True)
        g = balance * (share - (near + f).logsumexp(0))
    return (g - _cost(colours, palette) / e).softmax(1) @ palette


def _cost(colours: Tensor, palette: Tensor) -> Tensor:
    """Half the squared distances, (P, K)."""
    return torch.cdist(colours, palette).square() / 2
