"""Fitting: from data and settings to the best of several starts.

`fit` is the library's function behind the estimator and the command line. Starts run as one batch.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix import em, families, search, start
from gaussmix.em import Plan, Run, State
from gaussmix.errors import DataError, ParameterError
from gaussmix.given_start import admitted, from_given, overridden
from gaussmix.kernel import thread_count
from gaussmix.mixture import Mixture
from gaussmix.noise import check_noise, with_component
from gaussmix.outcome import Fit, choose, warning_category
from gaussmix.prior_settings import check_prior, prior_for
from gaussmix.priors import PseudoRows
from gaussmix.randomness import generator
from gaussmix.rows import Source, as_source

Array = NDArray[np.float64]
Observer = Callable[[State], object]

SEARCH = "search"
STRATEGIES = (SEARCH, *start.STRATEGIES)


def fit(
    X: Any,
    n_components: int = 1,
    *,
    covariance_type: str = "full",
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
    max_iter: int = 100,
    n_init: int = 1,
    init_params: Any = "search",
    weights_init: Any = None,
    means_init: Any = None,
    covariances_init: Any = None,
    equal_weights: bool = False,
    noise: bool = False,
    hypervolume: float | None = None,
    prior: Any = None,
    max_condition: float | None = None,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    observer: Observer | None = None,
) -> Fit:
    """Fit a Gaussian mixture by EM.

    Parameters
    ----------
    X : array-like (N, D), data frame or source of rows
    n_components : int
        K.
    covariance_type : str
        mclust's letters, or full, tied, diag, spherical.
    tol : float
        Nats per row: stop when the last EM step gained less and all that are still to come less than a tenth of it.
    reg_covar : float
        Pseudo-rows of the data's own variances, as a fraction of N/K for each component; 0 switches them off.
    max_iter : int
        M-steps at most.
    n_init : int
        Number of starts; the best result is returned.
    init_params : str or array-like
        "search": several starts on a sample, then moves to better optima, see `gaussmix.search`; plain EM from
        "kmeans", "k-means++", "random", "random_from_data", labels (N,), responsibilities (N, K), or a `Mixture`.
        With given parameters, or a noise component, a search is a start by k-means.
    weights_init, means_init, covariances_init : array-like, optional
        Given parameters, in the shapes of `Mixture`; what is missing comes from the rows nearest to the means.
    equal_weights : bool
        Hold π_k = 1/K.
    noise : bool
        A uniform component for outliers, π_0 / V (Banfield & Raftery 1993); see `gaussmix.noise`.
    hypervolume : float, optional
        V, in the product of the features' units; the smaller of the rows' bounding and principal-axes boxes.
    prior : None, "conjugate" or ConjugatePrior
        Normal-inverse-Wishart prior of means and covariances (Fraley & Raftery 2007); see `gaussmix.conjugate`.
    max_condition : float, optional
        Bound ≥ 1 on the ratio of the largest to the smallest eigenvalue across all components, features standardised
        (García-Escudero et al. 2008); families EII, VII, EEI, VVI, EEE, VVV; see `gaussmix.bounded`.
    sample_weight : array-like (N,), optional
        w_n ≥ 0; a row of weight 2 counts as two rows.
    random_state : None, int, numpy.random.RandomState or numpy.random.Generator
    n_jobs : int, optional
        Threads; None or -1: as many as the process may use. No result depends on it.
    observer : callable, optional
        Called with the `em.State` after each pass over the rows.

    Returns
    -------
    Fit

    Raises
    ------
    DataError
        The rows cannot be fitted: not numbers, not finite, fewer than K.
    ParameterError
        A setting is out of range.
    SingularError
        ``reg_covar=0`` and a component collapsed in every start.

    Warns
    -----
    ConvergenceWarning
        ``max_iter`` was reached.
    DegenerateWarning
        A component describes too few rows, or a feature has no spread.
    """
    result = fit_source(
        as_source(X, sample_weight),
        n_components,
        covariance_type=covariance_type,
        tol=tol,
        reg_covar=reg_covar,
        max_iter=max_iter,
        n_init=n_init,
        init_params=init_params,
        weights_init=weights_init,
        means_init=means_init,
        covariances_init=covariances_init,
        equal_weights=equal_weights,
        noise=noise,
        hypervolume=hypervolume,
        prior=prior,
        max_condition=max_condition,
        random_state=random_state,
        n_jobs=n_jobs,
        observer=observer,
    )
    for remark in result.remarks:
        warnings.warn(remark, warning_category(remark), stacklevel=2)
    return result


def fit_source(
    source: Source,
    n_components: int,
    *,
    covariance_type: str,
    tol: float,
    reg_covar: float,
    max_iter: int,
    n_init: int,
    init_params: Any,
    weights_init: Any = None,
    means_init: Any = None,
    covariances_init: Any = None,
    equal_weights: bool = False,
    noise: bool = False,
    hypervolume: float | None = None,
    prior: Any = None,
    max_condition: float | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    observer: Observer | None = None,
) -> Fit:
    """`fit` of a checked source, without warnings: they are the remarks of the result."""
    check_settings(n_components, covariance_type, tol, reg_covar, max_iter, n_init, init_params)
    families.check_features(covariance_type, source.n_features)
    check_prior(covariance_type, prior, max_condition)
    check_noise(noise, hypervolume)
    if source.n_rows < n_components:
        raise DataError(
            f"n_components={n_components} needs at least as many rows, got n_samples = {source.n_rows}; "
            "use fewer components."
        )
    pseudo_rows = start.data_prior(source, n_components, reg_covar, thread_count(n_jobs))
    fields: dict[str, Any] = {"equal_weights": equal_weights, "noise": noise, "hypervolume": hypervolume}
    fields |= {"prior": prior, "max_condition": max_condition, "n_jobs": n_jobs}
    plan, blank = prepared(
        source, n_components, covariance_type, pseudo_rows, tol=tol, max_iter=max_iter, **fields
    )
    given = (weights_init, means_init, covariances_init)
    if isinstance(init_params, str) and init_params == SEARCH and any(each is not None for each in given):
        init_params = "kmeans"
    rngs = generator(random_state).spawn(n_init)
    if isinstance(init_params, str) and not noise and all(each is not None for each in given):
        firsts = [blank]  # every parameter of it is given
    elif isinstance(init_params, str) and means_init is None:
        firsts = [_seeded_start(source, init_params, blank, plan, rng) for rng in rngs]
    else:
        firsts = [from_given(source, init_params, means_init, blank, plan)]
    runs = tuple(Run(admitted(overridden(first, *given), blank, plan)) for first in firsts)
    return run(source, State(runs, plan), observer)


def prepared(
    source: Source,
    n_components: int,
    covariance_type: str,
    pseudo_rows: PseudoRows,
    *,
    tol: float,
    max_iter: int,
    equal_weights: bool = False,
    noise: bool = False,
    hypervolume: float | None = None,
    prior: Any = None,
    max_condition: float | None = None,
    n_jobs: int | None = None,
) -> tuple[Plan, Mixture]:
    """How a fit goes, from checked settings, and a blank mixture of what it fits."""
    chosen = prior_for(source, pseudo_rows, covariance_type, n_components, prior, max_condition)
    plan = Plan(chosen, tol, max_iter, equal_weights, thread_count(n_jobs))
    blank = start.blank_mixture(n_components, covariance_type, chosen, feature_names=source.feature_names)
    return plan, with_component(blank, source, chosen, hypervolume) if noise else blank


def run(source: Source, state: State, observer: Observer | None = None) -> Fit:
    """Run EM from a state to its end, and choose."""
    for after in em.passes(source, state):
        state = after
        if observer is not None:
            observer(state)
    return choose(state, source.weight, source.feature_names)


def _seeded_start(
    source: Source, strategy: str, blank: Mixture, plan: Plan, rng: np.random.Generator
) -> Mixture:
    if strategy == SEARCH:
        return search.searched(source, blank, plan, rng)
    return start.seeded(source, strategy, blank, plan.prior, rng, plan.equal_weights)


def check_settings(
    n_components: Any,
    covariance_type: Any,
    tol: Any,
    reg_covar: Any,
    max_iter: Any,
    n_init: Any,
    init_params: Any,
) -> None:
    """Refuse settings out of range, each with its own message."""
    for name, value in (("n_components", n_components), ("max_iter", max_iter), ("n_init", n_init)):
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < (name != "max_iter"):
            allowed = "a positive integer" if name != "max_iter" else "an integer from 0"
            raise ParameterError(f"{name} must be {allowed}, got {value!r}.")
    for name, value in (("tol", tol), ("reg_covar", reg_covar)):
        if not isinstance(value, numbers.Real) or not 0 <= float(value) < math.inf:
            raise ParameterError(f"{name} must be a number from 0, got {value!r}.")
    families.get(covariance_type)
    if isinstance(init_params, str) and init_params not in STRATEGIES:
        raise ParameterError(
            f"init_params must be one of {', '.join(STRATEGIES)} or an array, got {init_params!r}."
        )
