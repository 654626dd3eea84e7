"""The M-step: of the sums of a pass, the parameters that maximise the lower bound, eqs. (7), (8), (11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix.kernel import centred
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
from gaussmix.statistics import Statistics


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
    weights, noise_weight, means, scatter = centred(statistics, equal_weights)
    try:
        with np.errstate(all="ignore"):
            means, scatter, counted = prior.augmented(means, scatter, statistics.mass)
            covariances = prior.solver(previous.family)(scatter, counted, previous.covariances)
            return previous.with_parameters(weights, means, covariances, noise_weight)
    except np.linalg.LinAlgError:
        return Collapse("a covariance is singular")
