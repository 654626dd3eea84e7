"""The M-step: of the sums of a pass, the parameters that maximise the lower bound, eqs. (7), (8), (11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussmix.kernel import maximised
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Collapse:
    """An M-step without a maximum: a covariance became singular."""

    why: str


def m_step(
    statistics: Statistics, previous: Mixture, prior: Prior, equal_weights: bool = False
) -> Mixture | Collapse:
    """Eqs. (7), (8), (11): the parameters that maximise the lower bound (with its prior), in ``previous``'s family.

    π_k = N_k / N; a noise component keeps its density and gets π_0 = N_0 / N.
    """
    family, mass = previous.family, statistics.mass
    supplement = prior.supplement(family, len(mass))
    try:
        found = maximised(statistics, supplement, family, previous.covariances, equal_weights)
        weights, noise_weight, means, covariances, prepared = found
        admitted = prior.admitted(family, covariances, mass + supplement.mass)
        if admitted is not covariances:
            prepared = None
        return previous.with_parameters(weights, means, admitted, noise_weight, prepared)
    except np.linalg.LinAlgError:
        return Collapse("a covariance is singular")


def best_covariances(statistics: Statistics, previous: Mixture, prior: Prior, supplied: float) -> Array:
    """The covariances of the M-step, as stored, where only a part of the pseudo-rows' scatter is ``supplied``.

    Raises
    ------
    numpy.linalg.LinAlgError
        The maximum does not exist.
    """
    supplement = prior.supplement(previous.family, len(statistics.mass), supplied)
    covariances = maximised(statistics, supplement, previous.family, previous.covariances)[3]
    return prior.admitted(previous.family, covariances, statistics.mass + supplement.mass)
