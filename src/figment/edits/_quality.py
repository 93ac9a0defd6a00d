"""How exactly a picture was rebuilt."""

from __future__ import annotations

import math

from torch import Tensor

from figment.core.images import to_uint8


def psnr_figures(images: Tensor, rebuilt: Tensor) -> dict[str, float]:
    """`psnr_db` of pictures (1, C, H, W) as 8-bit ones, 10 log10(255^2 / mean squared error); nothing where it is
    infinite."""
    errors = to_uint8(images).astype(float) - to_uint8(rebuilt).astype(float)
    squared = float((errors**2).mean())
    return {"psnr_db": 10 * math.log10(255**2 / squared)} if squared else {}
