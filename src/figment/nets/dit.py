"""Diffusion transformer (Peebles and Xie 2023): patches that attend to each other and to a text."""

from __future__ import annotations

from figment.nets.attention import Attention
from figment.nets.tokens import TokenNet


def dit(
    channels: tuple[int, int], *, width: int, depth: int, condition_width: int, patch: int, text_width: int | None
) -> TokenNet:
    """For pictures of any size. channels: of the picture and of the answer. text_width: of text tokens, if any."""
    mixes = [Attention(width, text_width) for _ in range(depth)]
    return TokenNet(channels, width=width, condition_width=condition_width, patch=patch, mixes=mixes)
