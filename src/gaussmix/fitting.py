"""Fitting: from data and settings to the best of several starts.

`fit` is the library's function behind the estimator and the command line. Starts run as one batch. Best is the
highest L among sound solutions: a degenerate one loses to any sound one.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix import em, families, search, start
from gaussmix.degeneracy import degenerate_components, spread_features
from gaussmix.em import Fit, Plan, Run, State
from gaussmix.errors import ConvergenceWarning, DataError, DegenerateWarning, ParameterError, SingularError
from gaussmix.kernel import thread_count
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
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
    init_params: Any = "kmeans",
    weights_init: Any = None,
    means_init: Any = None,
    covariances_init: Any = None,
    equal_weights: bool = False,
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
        Stop when the objective gains less than this many nats per row.
    reg_covar : float
        Pseudo-rows of the data's own variances, as a fraction of N/K for each component; 0 switches them off.
    max_iter : int
        M-steps at most.
    n_init : int
        Number of starts; the best result is returned.
    init_params : str or array-like
        "kmeans", "k-means++", "random", "random_from_data"; labels (N,); responsibilities (N, K); or a `Mixture`.
    weights_init, means_init, covariances_init : array-like, optional
        Given parameters, in the shapes of `Mixture`; what is missing comes from the rows nearest to the means.
    equal_weights : bool
        Hold π_k = 1/K.
    sample_weight : array-like (N,), optional
        w_n ≥ 0; a row of weight 2 counts as two rows.
    random_state : None, int or numpy.random.Generator
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
        random_state=random_state,
        n_jobs=n_jobs,
        observer=observer,
    )
    for remark in result.remarks:
        warnings.warn(remark, warning_category(result, remark), stacklevel=2)
    return result


def warning_category(result: Fit, remark: str) -> type[UserWarning]:
    """The warning class of one of the remarks of a fit."""
    return ConvergenceWarning if remark.startswith("EM did not converge") else DegenerateWarning


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
    random_state: Any = None,
    n_jobs: int | None = None,
    observer: Observer | None = None,
) -> Fit:
    """`fit` of a checked source, without warnings: they are the remarks of the result."""
    check_settings(n_components, covariance_type, tol, reg_covar, max_iter, n_init, init_params)
    if source.n_rows < n_components:
        raise DataError(
            f"n_components={n_components} needs at least as many rows, got n_samples = {source.n_rows}; "
            "use fewer components."
        )
    prior = start.data_prior(source, n_components, reg_covar)
    plan = Plan(prior, tol, max_iter, equal_weights, thread_count(n_jobs))
    blank = start.blank_mixture(n_components, covariance_type, prior, feature_names=source.feature_names)
    given = (weights_init, means_init, covariances_init)
    rngs = np.random.default_rng(random_state).spawn(n_init)
    if isinstance(init_params, str) and means_init is None:
        firsts = [_seeded_start(source, init_params, blank, plan, rng) for rng in rngs]
    else:
        firsts = [_given_start(source, init_params, means_init, blank, plan)]
    overridden = (_overridden(first, *given) for first in firsts)
    # A start outside the constraint may have a higher L than any within: the first step would fall, and end the run.
    runs = tuple(Run(_levelled(first) if equal_weights else first) for first in overridden)
    return run(source, State(runs, plan), observer)


def run(source: Source, state: State, observer: Observer | None = None) -> Fit:
    """Run EM from a state to its end, and choose."""
    for state in em.passes(source, state):
        if observer is not None:
            observer(state)
    return choose(state, source.weight, source.feature_names)


def choose(state: State, weight: float, feature_names: tuple[str, ...] | None = None) -> Fit:
    """The best run of a finished state, with what a user should know about it."""
    prior = state.plan.prior
    ended = [(each, _soundness(each, prior)) for each in state.runs]
    best, degenerate = max(ended, key=lambda pair: _rank(*pair))
    if best.mixture is None or (best.reason == em.COLLAPSED and prior.pseudo_rows.count == 0):
        raise SingularError(
            "a covariance became singular: the likelihood is unbounded there and reg_covar=0 lets it grow. "
            "Use the default reg_covar=1e-6, fewer components or a simpler covariance_type."
        )
    return Fit(
        mixture=best.mixture,
        reason=best.reason,
        log_likelihoods=best.log_likelihoods,
        objectives=best.objectives,
        weight=weight,
        n_iter=best.n_iter,
        degenerate=degenerate,
        remarks=_remarks(best, degenerate, prior, weight, feature_names),
        start_log_likelihoods=tuple(each.log_likelihoods[-1] if each.mixture else -math.inf for each, _ in ended),
    )


def _soundness(each: Run, prior: Prior) -> tuple[int, ...]:
    if each.mixture is None or each.folded is None:
        return ()
    return degenerate_components(each.mixture, each.folded, prior)


def _rank(each: Run, degenerate: tuple[int, ...]) -> tuple[bool, bool, float]:
    if each.mixture is None:
        return False, False, -math.inf
    return each.reason != em.COLLAPSED, not degenerate, each.log_likelihoods[-1]


def _remarks(
    best: Run, degenerate: tuple[int, ...], prior: Prior, weight: float, names: tuple[str, ...] | None
) -> tuple[str, ...]:
    remarks = []
    if best.reason == em.MAX_ITER:
        remarks.append(
            f"EM did not converge in {best.n_iter} iterations; increase max_iter, or tol, "
            "or use fewer components or another covariance_type."
        )
    if best.reason == em.COLLAPSED:
        remarks.append(
            f"EM stopped after {best.n_iter} iterations because a covariance became singular; "
            "use a larger reg_covar, fewer components or a simpler covariance_type."
        )
    constant = np.flatnonzero(~spread_features(prior))
    if len(constant):
        which = ", ".join(repr(names[j]) if names else str(j) for j in constant)
        remarks.append(f"feature {which} has no spread: every row holds the same value. Leave it out.")
    if degenerate:
        assert best.mixture is not None
        rows = ", ".join(f"{best.mixture.weights[k] * weight:.3g}" for k in degenerate)
        remarks.append(
            f"component {', '.join(map(str, degenerate))} is degenerate ({rows} rows, without spread of its own in some "
            "direction): its likelihood means little. Use fewer components, a simpler covariance_type or more reg_covar."
        )
    return tuple(remarks)


def _seeded_start(
    source: Source, strategy: str, blank: Mixture, plan: Plan, rng: np.random.Generator
) -> Mixture:
    if strategy == SEARCH:
        return search.searched(source, blank, plan, rng)
    return start.seeded(source, strategy, blank, plan.prior, rng, plan.equal_weights)


def _given_start(source: Source, init_params: Any, means_init: Any, blank: Mixture, plan: Plan) -> Mixture:
    if isinstance(init_params, Mixture):
        if init_params.means.shape != blank.means.shape:
            raise ParameterError(
                f"init_params is a mixture with (K, D) = {init_params.means.shape}, the fit wants {blank.means.shape}."
            )
        if init_params.family != blank.family:
            raise ParameterError(
                f"init_params is a mixture of family {init_params.family.name}, the fit wants {blank.family.name}; "
                f"set covariance_type={init_params.covariance_type!r}, or give its labels: mixture.classify(X)."
            )
        return init_params
    if isinstance(init_params, str):
        means = _shaped("means_init", means_init, blank.means.shape)
        return start.from_means(source, means, blank, plan.prior, plan.equal_weights)
    gamma = _responsibilities(init_params, source.n_rows, blank.n_components)
    return start.from_responsibilities(source, gamma, blank, plan.prior, plan.equal_weights)


def _overridden(first: Mixture, weights: Any, means: Any, covariances: Any) -> Mixture:
    """``first`` with the parameters that were given in place of its own; checked."""
    if weights is None and means is None and covariances is None:
        return first
    return Mixture(
        weights=first.weights if weights is None else weights,
        means=first.means if means is None else _shaped("means_init", means, first.means.shape),
        covariances=first.covariances if covariances is None else covariances,
        covariance_type=first.covariance_type,
        feature_names=first.feature_names,
    )


def _levelled(first: Mixture) -> Mixture:
    """``first`` with equal weights."""
    return Mixture.unchecked(
        np.full(first.n_components, (1.0 - first.noise_weight) / first.n_components),
        first.means,
        first.covariances,
        first.covariance_type,
        first.noise_weight,
        first.noise_density,
        first.feature_names,
    )


def _shaped(name: str, values: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ParameterError(f"{name} should have the shape of {shape}, but got {array.shape}.")
    return array


def _responsibilities(values: Any, n_rows: int, n_components: int) -> Array:
    """Labels (N,) or responsibilities (N, K) as responsibilities, checked."""
    array = np.asarray(values)
    if array.ndim == 1 and len(array) == n_rows:
        labels = array.astype(np.int64) if array.dtype.kind in "biuf" else np.full(n_rows, -1)
        if np.any(labels != array) or labels.min() < 0 or labels.max() >= n_components:
            raise ParameterError(f"labels in init_params must be integers from 0 to {n_components - 1}.")
        return np.eye(n_components)[labels]
    if array.shape != (n_rows, n_components):
        raise ParameterError(
            f"init_params must be labels ({n_rows},) or responsibilities ({n_rows}, {n_components}), got {array.shape}."
        )
    gamma = array.astype(np.float64) if array.dtype.kind in "biuf" else np.full(array.shape, np.nan)
    if not np.all(np.isfinite(gamma)) or np.any(gamma < 0) or np.any(np.abs(gamma.sum(axis=1) - 1) > 1e-6):
        raise ParameterError("responsibilities in init_params must be finite, not negative, and sum to 1 in each row.")
    return gamma


def check_settings(
    n_components: Any, covariance_type: Any, tol: Any, reg_covar: Any, max_iter: Any, n_init: Any, init_params: Any
) -> None:
    """Refuse settings out of range, each with its own message."""
    for name, value in (("n_components", n_components), ("max_iter", max_iter), ("n_init", n_init)):
        if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < (name != "max_iter"):
            raise ParameterError(f"{name} must be a positive integer, got {value!r}.")
    for name, value in (("tol", tol), ("reg_covar", reg_covar)):
        if not isinstance(value, numbers.Real) or not 0 <= value < math.inf:
            raise ParameterError(f"{name} must be a number from 0, got {value!r}.")
    families.get(covariance_type)
    if isinstance(init_params, str) and init_params not in STRATEGIES:
        raise ParameterError(f"init_params must be one of {', '.join(STRATEGIES)} or an array, got {init_params!r}.")


