"""What a user may say of covariances, and the prior that it becomes: ``reg_covar``, ``prior`` and ``max_condition``."""

from __future__ import annotations

import math
import numbers
from typing import Any

from gaussmix import families
from gaussmix.bounded import Bounded, check_bounded
from gaussmix.conjugate import ConjugatePrior
from gaussmix.errors import ParameterError
from gaussmix.moments import moments_of
from gaussmix.priors import Prior, PseudoRows
from gaussmix.rows import Source

NAMES = ("conjugate",)


def check_prior(covariance_type: str, prior: Any, max_condition: Any) -> None:
    """Refuse settings out of range, each with its own message."""
    if not (
        prior is None or isinstance(prior, ConjugatePrior) or (isinstance(prior, str) and prior in NAMES)
    ):
        raise ParameterError(f'prior must be None, "conjugate" or a gaussmix.ConjugatePrior, got {prior!r}.')
    if max_condition is None:
        return
    if not isinstance(max_condition, numbers.Real) or not 1 <= float(max_condition) < math.inf:
        raise ParameterError(f"max_condition must be None or a number from 1, got {max_condition!r}.")
    check_bounded(families.get(covariance_type).name)


def prior_for(
    source: Source,
    pseudo_rows: PseudoRows,
    covariance_type: str,
    n_components: int,
    prior: Any,
    max_condition: Any,
) -> Prior:
    """The prior of a fit; a conjugate one needs another pass over the rows."""
    found: Prior = pseudo_rows
    if prior is not None:
        chosen = prior if isinstance(prior, ConjugatePrior) else ConjugatePrior()
        moments = moments_of(source)
        family = families.get(covariance_type)
        found = chosen.for_data(pseudo_rows, family, n_components, moments.mean, moments.covariance)
    return found if max_condition is None else Bounded(found, float(max_condition))
