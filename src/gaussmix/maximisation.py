"""The M-step: of the sums of a pass, the parameters that maximise the lower bound, eqs. (7), (8), (11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gaussmix.kernel import Maximum, maximised
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
    try:
        return previous.with_parameters(*maximum(statistics, previous, prior, equal_weights))
    except np.linalg.LinAlgError:
        return Collapse("a covariance is singular")


def maximum(
    statistics: Statistics,
    previous: Mixture,
    prior: Prior,
    equal_weights: bool = False,
    supplied: float = 1.0,
) -> Maximum:
    """What `m_step` makes a mixture of: the maximum among the covariances that the prior admits.

    With a part of the pseudo-rows' scatter ``supplied`` only, where one asks what they are worth.

    Raises
    ------
    numpy.linalg.LinAlgError
        The maximum does not exist.
    """
    family, mass = previous.family, statistics.mass
    supplement = prior.supplement(family, len(mass), supplied)
    found = maximised(statistics, supplement, family, previous.covariances, equal_weights)
    admitted = prior.admitted(family, found.covariances, mass, supplement.mass)
    return found if admitted is found.covariances else found._replace(covariances=admitted, prepared=None)
