"""Handwritten digits by a transformer that writes them code by code.

cost      201 s of training on one CPU core
score     fd 12.7 (floor 10.3), accuracy 0.931, coverage 1
command   figment train token_prior --data digits --out token_prior --family.tokenizer codebook --minutes 2
"""

from __future__ import annotations

from recipes.run import Run, digits


def recipe() -> Run:
    """Two trainings: the first makes what the second builds on."""
    return digits(
        "token_prior",
        "--family.tokenizer codebook --minutes 2",
        "figment train vqvae --data digits --out codebook --minutes 1",
    )
