"""What a stated privacy costs in noise, and what was spent of it, by the accountant of Opacus.

It composes the privacy loss of many steps, each a Gaussian mechanism on a Poisson sample, numerically (Gopi, Lee and
Wutschitz 2021). Every epsilon is its bound from above.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

from figment.core.errors import ConfigError, MissingExtra


@cache
def noise_multiplier(epsilon: float, delta: float, rate: float, steps: int) -> float:
    """Standard deviation of the noise, in clipping norms, with which `steps` steps are (epsilon, delta)-private.

    rate: chance of a picture to be in a step's batch.

    Raises ConfigError where no noise is enough, MissingExtra without Opacus.
    """
    _accountant()
    from opacus.accountants.utils import get_noise_multiplier

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of bounds that it takes for its first guess only
        try:
            return get_noise_multiplier(
                target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant="prv"
            )
        except (ValueError, RuntimeError) as error:
            raise ConfigError(
                f"--train.privacy.epsilon {epsilon:g}: no noise is enough for {steps} steps at delta {delta:g} "
                f"({error}); give a larger epsilon, or fewer --steps"
            ) from None


@cache
def spent_epsilon(noise: float, delta: float, rate: float, steps: int) -> float:
    """The epsilon of `steps` steps with that noise."""
    accountant = _accountant()
    accountant.history = [(noise, rate, steps)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(accountant.get_epsilon(delta))


def _accountant() -> Any:
    try:
        from opacus.accountants import PRVAccountant
    except ModuleNotFoundError:
        raise MissingExtra("--train.privacy.epsilon", "privacy") from None
    return PRVAccountant()
