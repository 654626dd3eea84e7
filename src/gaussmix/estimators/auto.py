"""AutoGaussianMixture: `gaussmix.select` as an estimator; it fits all combinations and is the best of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.estimators.fitted import FittedMixture, row_type, seed_of
from gaussmix.estimators.gaussian_mixture import GaussianMixture
from gaussmix.selection import Selection, select

if TYPE_CHECKING:
    import pyarrow as pa


class AutoGaussianMixture(FittedMixture):
    """The Gaussian mixture whose number of components and covariance family a criterion chooses.

    Every combination is fitted as `gaussmix.select` does it; predictions and parameters are those of the best.

    Parameters
    ----------
    n_components : int or iterable of int, default 1 to 9
        The K to try.
    covariance_types : str or sequence of str, default "all"
        The families to try: "all", "full", "tied", "diag", "spherical", or mclust's letters.
    criterion : {"bic", "icl", "aic", "cv"}, default "bic"
        The lowest wins; "cv" is the mean negative log density of held-out rows.
    tol : float, optional
        Stop when the objective gains less than this many nats per row; by default where it changes no criterion.
    reg_covar, max_iter, equal_weights, noise, hypervolume, prior, max_condition
        As in `GaussianMixture`, for every combination.
    random_state : int, RandomState, Generator or None
        Seeds the starts and `sample`.
    n_jobs : int, optional
        Threads; None or -1: as many as the process may use. No result depends on it.

    Attributes
    ----------
    n_components_ : int
        The K that was chosen.
    covariance_type_ : str
        The family that was chosen, in mclust's letters; E or V with one feature.
    table_ : pyarrow.Table
        One row per combination, with all criteria: lower is better.
    selection_ : Selection
        All candidates with their fits.
    best_estimator_ : GaussianMixture
        The chosen mixture as an estimator of its own.
    weights_, means_, covariances_, precisions_, precisions_cholesky_, converged_, n_iter_, lower_bound_, \
lower_bounds_, mixture_, result_, n_features_in_, feature_names_in_
        Of the chosen mixture, as in `GaussianMixture`.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import AutoGaussianMixture
    >>> X = np.random.default_rng(0).normal([[0, 0], [9, 9]], 1, (100, 2, 2)).reshape(-1, 2)
    >>> model = AutoGaussianMixture(n_components=range(1, 5), random_state=0).fit(X)
    >>> model.n_components_, model.covariance_type_
    (2, 'EII')
    """

    selection_: Selection

    n_components_ = property(lambda self: self.selection_.best_candidate.n_components)
    covariance_type_ = property(lambda self: self.selection_.best_candidate.covariance_type)

    def __init__(
        self,
        n_components: int | Iterable[int] = (1, 2, 3, 4, 5, 6, 7, 8, 9),
        *,
        covariance_types: str | Sequence[str] = "all",
        criterion: str = "bic",
        tol: float | None = None,
        reg_covar: float = 1e-6,
        max_iter: int = 1000,
        random_state: Any = None,
        n_jobs: int | None = None,
        equal_weights: bool = False,
        noise: bool = False,
        hypervolume: float | None = None,
        prior: Any = None,
        max_condition: float | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_types = covariance_types
        self.criterion = criterion
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.equal_weights = equal_weights
        self.noise = noise
        self.hypervolume = hypervolume
        self.prior = prior
        self.max_condition = max_condition

    def fit(self, X: Any, y: Any = None) -> AutoGaussianMixture:
        """Fit every combination, and keep the best.

        Parameters
        ----------
        X : array-like (N, D), data frame or source of rows
        y : ignored

        Returns
        -------
        self

        Raises
        ------
        DataError
            ``X`` is not a finite array of numbers (the message says where), or no combination could be fitted.
        ParameterError
            A setting is out of range.
        """
        return self._fit(X)

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Fit, and the component of each row of ``X``, (N,): the same as ``fit(X).predict(X)``."""
        return self._fit(X).predict(X)

    def _fit(self, X: Any) -> AutoGaussianMixture:
        self._check_n_jobs()
        source = self._source(X, reset=True)
        seed = seed_of(self.random_state)
        self.selection_ = select(
            source,
            self.n_components,
            self.covariance_types,
            self.criterion,
            random_state=seed,
            n_jobs=self.n_jobs,
            **self._settings(),
        )
        self.result_ = self.selection_.best
        self._settle(self.result_.mixture, row_type(source), seed)
        self._warn()
        return self

    def _settings(self) -> dict[str, Any]:
        """The keywords of `gaussmix.fit` among the parameters."""
        names = ("reg_covar", "max_iter", "equal_weights", "noise", "hypervolume", "prior", "max_condition")
        settings = {name: getattr(self, name) for name in names}
        return settings if self.tol is None else {**settings, "tol": self.tol}

    @property
    def table_(self) -> pa.Table:
        """One row per combination, with all criteria."""
        return self.selection_.table

    @property
    def best_estimator_(self) -> GaussianMixture:
        """The chosen mixture as an estimator of its own."""
        return GaussianMixture.from_mixture(self.mixture_, random_state=0, n_jobs=self.n_jobs)
