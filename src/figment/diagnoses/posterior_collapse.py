"""Posterior collapse: the encoder says the same of every picture, and the decoder draws without listening to it.

A latent counts as collapsed where its mean hardly differs from picture to picture (Burda, Grosse and Salakhutdinov,
"Importance Weighted Autoencoders", 2016, section 5.2). A model that needs fewer latents than it has collapses some.
"""

from __future__ import annotations

from figment.diagnoses import Evidence, Finding

NEEDS = ("log",)
LIMIT = 0.8  # of all latents


def examine(evidence: Evidence) -> Finding | None:
    """Sick where four of five latents, or more, have collapsed."""
    for share in evidence.late_shares("collapsed_latents", "latents"):
        if share >= LIMIT:
            return Finding(
                "posterior_collapse",
                f"{share:.0%} of the {evidence.settings['latents']} latents say nothing of the picture",
                share,
                LIMIT,
                "lower --family.beta, or give --family.kl-warmup or --family.free-bits",
            )
    return None
