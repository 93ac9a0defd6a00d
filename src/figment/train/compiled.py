"""Networks run through torch.compile while they are trained; the average, which is shipped and drawn with, is not.

A network that may be compiled says so by `compiles = True`. Its inputs must have the same shapes in every step, and
nothing may differentiate it twice: so no player of a GAN is one of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

from figment.core.config import TrainConfig
from figment.core.errors import ConfigError
from figment.core.objective import Objective

FLAG = "--train.compile"
BACKEND = "inductor"


def refuse_uncompiled(family: str, objective: Objective) -> None:
    """Raise ConfigError where nothing of an objective may be compiled."""
    if not _nets(objective):
        raise ConfigError(
            f"{FLAG}: would have no effect, nothing of a '{family}' may be compiled; it is for diffusion and flow, and "
            "for token_prior: leave it out"
        )


def compile_nets(objective: Objective) -> None:
    """From now on calls of the objective's networks run compiled code, which the first call makes."""
    for net in _nets(objective):
        net.compile(backend=BACKEND, dynamic=False)


@contextmanager
def compiling(train: TrainConfig) -> Iterator[None]:
    """Turn what a compiler fails at into a ConfigError that says so."""
    if not train.compile:
        yield
        return
    from torch._dynamo.exc import TorchDynamoException

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # tracing looks at gradients that are not there
            yield
    except TorchDynamoException as error:
        why = " ".join(str(error).split())[:200]
        raise ConfigError(f"{FLAG}: the network could not be compiled ({why}); leave it out") from None


def _nets(objective: Objective) -> list[nn.Module]:
    return [part for part in objective.modules() if getattr(part, "compiles", False)]
