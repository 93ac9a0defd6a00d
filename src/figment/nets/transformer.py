"""A decoder-only transformer: codes of a sequence, each foretold from those before it and from a condition.

Trained on all places at once; asked for one place after another it remembers the keys and values of those before, so
that no place is computed twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from figment.core.types import Condition, ImageSpec
from figment.nets.attention import Attention, Text, unit_rms
from figment.nets.embeddings import ConditionEmbedding
from figment.nets.text import text_width

LOUDNESS = 0.3  # of places and starts where a code has 1, as in nets/text.py


class Memory:
    """Keys and values of the places that one block has seen: (B, heads, places, channels of a head) each."""

    def __init__(self, places: int):
        self.places, self.length = places, 0
        self.kept: tuple[Tensor, Tensor] | None = None

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of all places so far, with those of the next ones."""
        if self.kept is None:
            room = (*key.shape[:2], self.places, key.shape[3])
            self.kept = key.new_empty(room), value.new_empty(room)
        first, self.length = self.length, self.length + key.shape[2]
        for mine, fresh in zip(self.kept, (key, value), strict=True):
            mine[:, :, first : self.length] = fresh
        return self.kept[0][:, :, : self.length], self.kept[1][:, :, : self.length]


@dataclass(frozen=True)
class Telling:
    """A sequence under way: what it is to show, and what every block remembers of it."""

    vector: Tensor
    text: Text | None
    memories: list[Memory]

    @property
    def length(self) -> int:
        """Places told so far."""
        return self.memories[0].length


class CausalAttention(Attention):
    """Attention of every place to itself, to those before it, and to a text."""

    def forward(
        self, tokens: Tensor, text: Text | None = None, mask: Tensor | None = None, memory: Memory | None = None
    ) -> Tensor:
        """tokens (B, N, width): all places, or the next one after those in `memory` -> (B, N, width)"""
        assert mask is None, "what a place may see is its past, all of it"
        query, key, value = self._heads(self.qkv(tokens), 3)
        query, key = unit_rms(query, self.gains[0]), unit_rms(key, self.gains[1])
        if memory is not None:
            key, value = memory.extend(key, value)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=memory is None)
        if self.text is not None and text is not None:
            key, value = self._heads(self.text(text.tokens), 2)
            key = unit_rms(key, self.gains[1])
            mixed = mixed + F.scaled_dot_product_attention(query, key, value, text.mask[:, None, None])
        return self.out(mixed.transpose(1, 2).flatten(2))


class DecoderBlock(nn.Module):
    """Attention to the past, then an MLP, each on a residual branch behind its norm."""

    def __init__(self, width: int, text_width: int | None, dropout: float):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.attention = CausalAttention(width, text_width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, text: Text | None, memory: Memory | None = None) -> Tensor:
        tokens = tokens + self.dropout(self.attention(self.norms[0](tokens), text, memory=memory))
        return tokens + self.dropout(self.mlp(self.norms[1](tokens)))


class CodeTransformer(nn.Module):
    """Logits of every code of a sequence, given those before it and a condition.

    vocabulary: how many codes there are. places: codes in a sequence. Labels and attributes are added at every place;
    captions also have attention of their own.
    """

    compiles = True

    def __init__(self, spec: ImageSpec, vocabulary: int, places: int, *, width: int, depth: int, dropout: float):
        super().__init__()
        self.codes = nn.Embedding(vocabulary, width)
        self.start = nn.Parameter(LOUDNESS * torch.randn(width))
        self.places = nn.Parameter(LOUDNESS * torch.randn(places, width))
        self.condition = ConditionEmbedding(spec, width)
        texts = text_width(width) if spec.caption_bytes else None
        self.blocks = nn.ModuleList(DecoderBlock(width, texts, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, codes: Tensor, condition: Condition | None) -> Tensor:
        """(B, places) int64 -> logits (B, places, vocabulary); those of a place know only the codes before it"""
        vector, text = self.condition.embed(condition, len(codes))
        start = self.start.expand(len(codes), 1, -1)
        hidden = torch.cat([start, self.codes(codes[:, :-1])], 1) + self.places + vector[:, None]
        for block in self.blocks:
            hidden = block(hidden, text)
        return self.head(self.norm(hidden))

    def begin(self, condition: Condition | None, batch_size: int) -> Telling:
        """A sequence of which nothing is told yet, for `following`."""
        vector, text = self.condition.embed(condition, batch_size)
        return Telling(vector, text, [Memory(len(self.places)) for _ in self.blocks])

    def following(self, telling: Telling, last: Tensor | None) -> Tensor:
        """Logits (B, vocabulary) of the next place after `last`, the codes (B,) of the one before; None at the first.

        The telling remembers it: call once for each place, in order.
        """
        entered = self.start.expand(len(telling.vector), -1) if last is None else self.codes(last)
        hidden = (entered + self.places[telling.length] + telling.vector)[:, None]
        for block, memory in zip(self.blocks, telling.memories, strict=True):
            hidden = block(hidden, telling.text, memory)
        return self.head(self.norm(hidden))[:, 0]
