"""Dead codes: of a codebook only a few entries are in use, so pictures are told in fewer words than there are.

Perplexity is the number of codes that would be as varied if all were used equally often (van den Oord et al., "Neural
Discrete Representation Learning", 2017).
"""

from __future__ import annotations

from figment.diagnoses import Evidence, Finding

NEEDS = ("log",)
LIMIT = 0.1  # of the codebook


def examine(evidence: Evidence) -> Finding | None:
    """Sick where the perplexity of the last quarter of the training is a tenth of the codebook, or less."""
    for share in evidence.late_shares("perplexity", "codes"):
        if share <= LIMIT:
            codes = evidence.settings["codes"]
            return Finding(
                "dead_codes",
                f"the codebook is used as if it had {share * codes:.0f} of its {codes} entries",
                share,
                LIMIT,
                f"give --family.codes {max(2, codes // 4)}, or --family.quantizer fsq",
            )
    return None
