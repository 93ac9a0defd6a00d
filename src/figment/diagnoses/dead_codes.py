"""Dead codes: of a codebook only a few entries are in use, so pictures are told in fewer words than there are.

Perplexity is the number of codes that would be as varied if all were used equally often (van den Oord et al., "Neural
Discrete Representation Learning", 2017).
"""

from __future__ import annotations

import numpy as np

from figment.diagnoses import EARLY, Evidence, Finding

NEEDS = ("log",)
LIMIT = 0.1  # of the codebook


def examine(evidence: Evidence) -> Finding | None:
    """Sick where the perplexity of the last quarter of the training is a tenth of the codebook, or less."""
    codes = evidence.settings.get("codes")
    for series in evidence.of_training("perplexity").values():
        if not codes or len(series) < 4 or evidence.seen_images < EARLY:
            continue
        share = float(np.median(series.part(0.75, 1))) / codes
        if share <= LIMIT:
            return Finding(
                "dead_codes",
                f"the codebook is used as if it had {share * codes:.0f} of its {codes} entries",
                share,
                LIMIT,
                f"give --family.codes {max(2, codes // 4)}, or --family.quantizer fsq",
            )
    return None
