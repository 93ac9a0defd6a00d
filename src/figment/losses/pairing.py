"""The relativistic pairing game: is this real picture more real than that generated one?

    critic      min  E f(-(D(x) - D(G(z))))        f(t) = log(1 + e^t)         (Jolicoeur-Martineau 2018, section 4)
    generator   min  E f(-(D(G(z)) - D(x)))

Each picture is compared with one of the other kind, so the critic must lift every real picture above a generated one:
there is no basin in which a mode stays forgotten (Huang et al. 2024, section 2).
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def pairing_critic(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Softplus of what the generated pictures lead by, averaged. (B, 1), (B, 1) -> scalar"""
    return F.softplus(fake_logits - real_logits).mean()


def pairing_generator(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Softplus of what the real pictures lead by, averaged. (B, 1), (B, 1) -> scalar"""
    return F.softplus(real_logits - fake_logits).mean()
