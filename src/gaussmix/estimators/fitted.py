"""What a fitted estimator answers: scikit-learn's methods and attributes, read from one `Mixture` and one `Fit`.

`mixture_` (float64) and `result_` are the fitted state; everything else here is computed from the two.
"""

from __future__ import annotations

import math
import numbers
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn.exceptions
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from gaussmix import errors, outcome
from gaussmix.errors import DataError, ParameterError
from gaussmix.kernel import thread_count
from gaussmix.mixture import Mixture
from gaussmix.outcome import Fit
from gaussmix.rows import Block, Source, as_rows, as_source
from gaussmix.rows.source import frame_columns, refuse_masked

Array = NDArray[np.float64]

# scikit-learn's own sentences, for filters and tests that match them; the details follow in brackets.
NOT_CONVERGED = (
    "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
    "tol, or check for degenerate data."
)
ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for "
    "instance caused by singleton or collapsed samples). Try to decrease the number of components, increase "
    "reg_covar, or scale the input data."
)


class ConvergenceWarning(
    errors.ConvergenceWarning,
    sklearn.exceptions.ConvergenceWarning,  # type: ignore[misc]
):
    """EM stopped at ``max_iter``; caught by scikit-learn's class of this name and by gaussmix's."""


def _parameter(read: Callable[[Mixture], Array]) -> property:
    """An attribute read from `mixture_`, in the type of the fitted rows; read-only: `mixture_` counts."""

    def typed(model: FittedMixture) -> NDArray[Any]:
        values = read(model.mixture_).astype(model._dtype, copy=False)
        values.flags.writeable = False
        return values

    return property(typed)


class FittedMixture(DensityMixin, BaseEstimator):  # type: ignore[misc]
    """The methods and attributes that every fitted estimator of a mixture has."""

    mixture_: Mixture
    result_: Fit
    n_jobs: int | None

    weights_ = _parameter(lambda mixture: mixture.weights)
    means_ = _parameter(lambda mixture: mixture.means)
    covariances_ = _parameter(lambda mixture: mixture.covariances)
    precisions_cholesky_ = _parameter(lambda mixture: _precision_roots(mixture))
    precisions_ = _parameter(lambda mixture: _precisions(mixture))

    noise_weight_ = property(lambda self: self.mixture_.noise_weight)

    converged_ = property(lambda self: self.result_.converged)
    n_iter_ = property(lambda self: self.result_.n_iter)
    lower_bound_ = property(lambda self: self.result_.log_likelihood / self.result_.weight)
    lower_bounds_ = property(lambda self: [L / self.result_.weight for L in self.result_.log_likelihoods[1:]])

    # ---- evaluation ------------------------------------------------------------------------------------

    def predict(self, X: Any) -> NDArray[np.int64]:
        """The component with the largest responsibility for each row of ``X`` (N, D), (N,); −1 is noise."""
        labels: NDArray[np.int64] = self._evaluate(X, "labels")[0]
        return labels

    def predict_proba(self, X: Any) -> NDArray[Any]:
        """γ(z_nk) = p(z_nk = 1 | x_n), eqs. (4), (5), of each row of ``X`` (N, D): (N, K), or (N, K + 1) with noise."""
        return self._like_rows(*self._evaluate(X, "responsibilities"))

    def score_samples(self, X: Any) -> NDArray[Any]:
        """Log density ln p(x_n), eq. (1), in nats, of each row of ``X`` (N, D), (N,)."""
        return self._like_rows(*self._evaluate(X, "log_density"))

    def score(self, X: Any, y: Any = None) -> float:
        """Mean of ln p(x_n) over the rows of ``X`` (N, D), in nats per row; ``y`` is ignored."""
        return float(self._evaluate(X, "log_density")[0].mean())

    def bic(self, X: Any) -> float:
        """−2 L + p ln N on ``X`` (N, D), eq. (6); lower is better (Schwarz 1978)."""
        log_density = self._evaluate(X, "log_density")[0]
        return float(-2 * log_density.sum()) + self._n_parameters() * math.log(len(log_density))

    def aic(self, X: Any) -> float:
        """−2 L + 2 p on ``X`` (N, D), eq. (6); lower is better (Akaike 1974)."""
        return float(-2 * self._evaluate(X, "log_density")[0].sum()) + 2 * self._n_parameters()

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture.

        Without ``random_state`` calls continue one stream, which `fit` seeds from the constructor's: they
        differ from each other, and the same calls after the same fit give the same rows.

        Returns
        -------
        X : (n_samples, D)
            Grouped by component.
        y : (n_samples,)
            The component of each row.

        Raises
        ------
        ParameterError
            ``n_samples`` is not a positive integer, or there is a noise component, whose box is not kept.
        """
        check_is_fitted(self)
        if not isinstance(n_samples, numbers.Integral) or int(n_samples) < 1:
            raise ParameterError(
                f"Invalid value for 'n_samples': {n_samples!r}. The sampling requires at least one sample."
            )
        rng = self._sampler if random_state is None else np.random.default_rng(seed_of(random_state))
        rows, labels = self.mixture_.sample(int(n_samples), rng)
        order = np.argsort(labels, kind="stable")
        return rows[order], labels[order]

    def _evaluate(self, X: Any, name: str) -> tuple[Any, np.dtype[Any]]:
        """One of `Mixture.evaluate`'s results for ``X``, and the type of the rows."""
        check_is_fitted(self)
        source, threads = self._source(X), thread_count(self.n_jobs)

        def values_of(block: Block) -> Any:
            return getattr(self.mixture_.evaluate(block.rows, threads, [name]), name)

        values: Any = source.map(values_of)
        return values, row_type(source)

    def _like_rows(self, values: Array, dtype: np.dtype[Any]) -> NDArray[Any]:
        """float32 when both the fitted and the given rows are, as scikit-learn returns it."""
        return values.astype(np.result_type(self._dtype, dtype), copy=False)

    def _n_parameters(self) -> int:
        """p, free parameters; scikit-learn's name for `Fit.n_parameters`."""
        return self.result_.n_parameters if hasattr(self, "result_") else self.mixture_.n_parameters

    # ---- for `fit` -------------------------------------------------------------------------------------

    def _settle(self, mixture: Mixture, dtype: np.dtype[Any], seed: int) -> None:
        self.mixture_ = mixture
        self._dtype = dtype
        # One stream for all later calls of `sample`, apart from that of the starts.
        self._sampler = np.random.default_rng([seed, 1])

    def _warn(self) -> None:
        for remark in self.result_.remarks:
            if outcome.warning_category(remark) is errors.ConvergenceWarning:
                warnings.warn(f"{NOT_CONVERGED} ({remark})", ConvergenceWarning, stacklevel=4)
            else:
                warnings.warn(remark, errors.DegenerateWarning, stacklevel=4)

    def _check_n_jobs(self) -> None:
        if self.n_jobs is not None and (not isinstance(self.n_jobs, numbers.Integral) or self.n_jobs == 0):
            raise ParameterError(f"n_jobs must be None or an integer other than 0, got {self.n_jobs!r}.")

    def _source(self, X: Any, reset: bool = False) -> Source:
        """``X`` as checked rows: shapes and names by scikit-learn's rules, values by ours."""
        if all(hasattr(X, name) for name in ("fold", "map", "sample", "n_rows")):
            if reset:
                self._name_features(X.n_features, X.feature_names)
            elif X.n_features != self.n_features_in_:
                raise DataError(
                    f"X has {X.n_features} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input."
                )
            return as_source(X)
        refuse_masked(X)
        columns = frame_columns(X)
        try:
            rows = validate_data(
                self,
                X,
                reset=reset,
                dtype=[np.float64, np.float32],
                ensure_all_finite=False,  # `as_source` says in which row and column
                ensure_min_samples=2 if reset else 1,
            )
        except TypeError:
            if columns is not None:
                as_rows(X, feature_names=columns)  # says which column it is
            raise
        return as_source(rows, feature_names=getattr(self, "feature_names_in_", None))

    def _name_features(self, n_features: int, names: tuple[str, ...] | None) -> None:
        self.n_features_in_ = n_features
        self.__dict__.pop("feature_names_in_", None)
        if names is not None:
            self.feature_names_in_ = np.array(names, dtype=object)


def _precision_roots(mixture: Mixture) -> Array:
    """W_kᵀ, upper triangular with W_kᵀ W_k = Σ_k⁻¹, in the shape of the covariances."""
    whitening, stored = mixture.whitening, mixture.covariances
    roots: Array = whitening if whitening.ndim == 2 else np.swapaxes(whitening, 1, 2)
    if stored.ndim == 1:
        return roots[:, 0]
    return roots[0] if stored.ndim < roots.ndim else roots


def _precisions(mixture: Mixture) -> Array:
    """Σ_k⁻¹ in the shape of the covariances."""
    roots = _precision_roots(mixture)
    precisions: Array = roots**2 if mixture.whitening.ndim == 2 else roots @ np.swapaxes(roots, -1, -2)
    return precisions


def row_type(source: Source) -> np.dtype[Any]:
    """float32 or float64: the type of the rows; float64 for rows that are not in memory."""
    return np.dtype(getattr(getattr(source, "rows", None), "dtype", np.float64))


def seed_of(random_state: Any) -> int:
    """An integer for NumPy's generators: ``random_state``, or drawn from it (None: NumPy's global state)."""
    if isinstance(random_state, numbers.Integral) and int(random_state) >= 0:
        return int(random_state)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31))
    if random_state is None or isinstance(random_state, np.random.RandomState):
        return int(check_random_state(random_state).randint(2**31 - 1))
    raise ParameterError(
        f"random_state must be None, an integer from 0, a RandomState or a Generator, got {random_state!r}."
    )
