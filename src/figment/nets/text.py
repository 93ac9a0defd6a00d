"""Captions as tokens: a small transformer over bytes, trained with the model that listens to it.

There is no vocabulary: bytes of UTF-8 are letters of any language. A convolution spells them into 4 times fewer tokens,
attention among those finds out what belongs to what.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.nets.attention import Attention, Text, line_positions

BYTES_A_TOKEN = 4
BYTES_IN_SIGHT = 7
DEPTH = 3
LOUDNESS = 0.3  # of what is alike in all captions, positions and the first token, where a word has 1


def text_width(condition_width: int) -> int:
    """Channels of a text token beside condition vectors of this width."""
    return max(64, condition_width // 2)


class TextEncoder(nn.Module):
    """Captions (B, L) uint8, padded with 0 -> Text of L / 4 tokens and, before them, one that stands for the whole.

    A row of zeros is a caption that is not given: nothing is left of it but that first token, which so becomes the
    vector learnt for it.
    """

    def __init__(self, width: int):
        super().__init__()
        self.letters = nn.Embedding(256, width // 4, padding_idx=0)
        self.spelling = nn.Conv1d(width // 4, width, BYTES_IN_SIGHT, padding=BYTES_IN_SIGHT // 2)
        self.spelled = nn.LayerNorm(width)
        self.whole = nn.Parameter(LOUDNESS * torch.randn(width))
        self.blocks = nn.ModuleList(TextBlock(width) for _ in range(DEPTH))
        self.norm = nn.LayerNorm(width)

    def forward(self, captions: Tensor) -> Text:
        captions = F.pad(captions, (0, -captions.shape[1] % BYTES_A_TOKEN))
        letters = F.gelu(self.spelling(self.letters(captions.long()).transpose(1, 2)))
        # The maximum finds a word wherever it begins; flattened patches would have to learn it at four offsets.
        words = self.spelled(letters.unflatten(2, (-1, BYTES_A_TOKEN)).amax(3).transpose(1, 2))
        words = words + LOUDNESS * line_positions(*words.shape[1:]).to(words)
        tokens = torch.cat([self.whole.to(words).expand(len(words), 1, -1), words], dim=1)
        given = captions.unflatten(1, (-1, BYTES_A_TOKEN)).amax(2) > 0
        mask = F.pad(given, (1, 0), value=True)
        for block in self.blocks:
            tokens = block(tokens, mask)
        return Text(self.norm(tokens), mask)


class TextBlock(nn.Module):
    """Attention, then an MLP, each on a residual branch behind its norm."""

    def __init__(self, width: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = Attention(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        tokens = tokens + self.attention(self.norms[0](tokens), mask=mask)
        return tokens + self.mlp(self.norms[1](tokens))
