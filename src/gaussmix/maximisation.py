"""The M-step: of the sums of a pass, the parameters that maximise the lower bound, eqs. (7), (8), (11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix.kernel import maximised
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
from gaussmix.statistics import Statistics


@dataclass(frozen=True)
class Collapse:
    """An M-step without a maximum: a covariance became singular."""

    why: str


def m_step(
    statistics: Statistics,
    previous: Mixture,
    prior: Prior,
    equal_weights: bool = False,
    supplied: float = 1.0,
) -> Mixture | Collapse:
    """Eqs. (7), (8), (11): the parameters that maximise the lower bound (with its prior), in ``previous``'s family.

    π_k = N_k / N; a noise component keeps its density and gets π_0 = N_0 / N. Of pseudo-rows only the part that is
    ``supplied`` counts as scatter.
    """
    family, mass = previous.family, statistics.mass
    supplement = prior.supplement(family, len(mass), supplied)
    try:
        found = maximised(statistics, supplement, family, previous.covariances, equal_weights)
        weights, noise_weight, means, covariances, prepared = found
        admitted = prior.admitted(family, covariances, mass + supplement.mass)
        if admitted is not covariances:
            prepared = None
        return previous.with_parameters(weights, means, admitted, noise_weight, prepared)
    except np.linalg.LinAlgError:
        return Collapse("a covariance is singular")
