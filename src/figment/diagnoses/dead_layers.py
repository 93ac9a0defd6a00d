"""Dead layers: units whose weights receive no gradient any more, whatever is shown to the network.

Read from the optimizer's running mean of gradients, which forgets in some hundred steps: a unit whose mean is zero next
to its neighbours' has been silent since. A few silent units are usual where the activation is a ReLU.
"""

from __future__ import annotations

from figment.diagnoses import Evidence, Finding

NEEDS = ("optimizer",)
LIMIT = 0.5  # of a layer's units


def examine(evidence: Evidence) -> Finding | None:
    """Sick where half of the units of a layer, or more, are dead; the worst layer is named."""
    layer, share = max(evidence.still.items(), key=lambda item: item[1], default=("", 0.0))
    if share < LIMIT:
        return None
    sick = sum(one >= LIMIT for one in evidence.still.values())
    others = f", and {sick - 1} more layers are as dead" if sick > 1 else ""
    return Finding(
        "dead_layers",
        f"{share:.0%} of the units of {layer} receive no gradient{others}",
        share,
        LIMIT,
        "lower --train.lr, raise --train.warmup, or set --train.clip-norm 1",
    )
