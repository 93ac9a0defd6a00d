"""Averages of any length, rebuilt after training from a few snapshots of two.

A power-function average weighs the model of time tau (images seen) by tau^gamma:

    p(tau) = (gamma + 1) tau^gamma / t^(gamma + 1)          (Karras et al. 2024, "Analyzing and Improving the Training
    average <- beta average + (1 - beta) model               Dynamics of Diffusion Models", equations 1 and 2)
    beta = (1 - 1 / t)^(gamma + 1)                           (equation 2, t in steps)

Its width, relative to the length of the training, is sigma_rel: 0.10 averages over the last tenth, roughly. Any such
profile is nearly a weighted sum of the snapshots' profiles; the weights solve a least-squares problem in closed form,
among those that sum to 1. The paper asks for no such sum, because its networks do not hear how large a weight is: ours
do, and what never moved, a buffer or a part that is not trained, has to come out as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from figment.core.checkpoint import verify
from figment.core.errors import CheckpointError
from figment.train.ema import move

WIDTHS = (0.05, 0.10)  # what the paper tracks
FOLDER = "averages"


def exponent(sigma_rel: float) -> float:
    """gamma of a relative width in (0, 0.288]: the root of sigma_rel = sqrt(gamma + 1) / ((gamma + 2) sqrt(gamma + 3)).

    Equation 3; a cubic in gamma.
    """
    roots = np.roots([1, 7, 16 - sigma_rel**-2, 12 - sigma_rel**-2])
    return float(roots[np.isreal(roots)].real.max())


class PowerEma:
    """The power-function average of a model's floating-point state, of one relative width."""

    def __init__(self, model: nn.Module, sigma_rel: float):
        self.gamma = exponent(sigma_rel)
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    def update(self, model: nn.Module, step: int) -> None:
        """Move the average towards `model` as it is after `step` steps, counted from 1."""
        move(self.model, model, keep=(1 - 1 / step) ** (self.gamma + 1))


@dataclass(frozen=True)
class Profile:
    """How an average weighs the steps up to `step`."""

    step: int
    gamma: float


def weights(snapshots: Sequence[Profile], wanted: Profile) -> np.ndarray:
    """What to multiply each snapshot by so that their sum comes nearest to the wanted profile: (len(snapshots),).

    Algorithm 3 of the paper, under the constraint that they sum to 1 (with a multiplier of Lagrange).
    """
    products = np.array([[_overlap(a, b) for b in snapshots] for a in snapshots])
    sides = np.array([[_overlap(one, wanted), 1.0] for one in snapshots])
    nearest, ones = np.linalg.solve(products, sides).T
    return nearest + ones * (1 - nearest.sum()) / ones.sum()


def _overlap(a: Profile, b: Profile) -> float:
    """Integral of the product of two profiles, in closed form."""
    power = a.gamma + b.gamma + 1
    # t_min^power / (t_a^(gamma_a + 1) t_b^(gamma_b + 1)), without large powers of large numbers
    low, high, high_gamma = (a.step, b.step, b.gamma) if a.step <= b.step else (b.step, a.step, a.gamma)
    return (a.gamma + 1) * (b.gamma + 1) / power * (low / high) ** high_gamma / high


def rebuild(run: Path, sigma_rel: float) -> dict[str, Tensor]:
    """The weights of the model averaged over a relative width of `sigma_rel`, at the end of the training of `run`.

    Raises CheckpointError where the run kept no snapshots.
    """
    whole = [verify(folder) for folder in sorted((run / FOLDER).glob("[0-9]" * 8))]
    if not whole:
        raise CheckpointError(f"{run}: kept no averages; train it with --train.ema-snapshots 12")
    profiles = [Profile(one.step, exponent(width)) for one in whole for width in WIDTHS]
    share = weights(profiles, Profile(whole[-1].step, exponent(sigma_rel)))
    total: dict[str, Tensor] = {}
    for index, one in enumerate(whole):
        for offset, width in enumerate(WIDTHS):
            _add(total, one.read(part_name(width)), float(share[index * len(WIDTHS) + offset]))
    return {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in total.items()}


def part_name(sigma_rel: float) -> str:
    """The name of an average in a snapshot and in a checkpoint."""
    return f"average_{sigma_rel:.2f}"


def _add(total: dict[str, Tensor], tensors: Mapping[str, Tensor], share: float) -> None:
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            total[name] = total.get(name, 0) + tensor.double() * share
        else:
            total[name] = tensor  # a count: of the last snapshot
