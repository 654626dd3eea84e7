"""GaussianMixture: the scikit-learn estimator.

Only conventions live here: `gaussmix.fitting` fits, `gaussmix.mixture` evaluates. How it differs from
`sklearn.mixture.GaussianMixture` is told in docs/coming-from-scikit-learn.md.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix import families, fitting, given
from gaussmix.errors import DataError, ParameterError, SingularError
from gaussmix.estimators.fitted import ILL_DEFINED, FittedMixture, row_type, seed_of
from gaussmix.mixture import Mixture
from gaussmix.noise import check_noise
from gaussmix.outcome import Fit
from gaussmix.prior_settings import check_prior
from gaussmix.rows import Source
from gaussmix.verbose import Printer

Array = NDArray[np.float64]


class GaussianMixture(FittedMixture):
    """Gaussian mixture, p(x) = Σ_k π_k N(x | μ_k, Σ_k), eq. (1), fitted by EM.

    Parameters and methods are those of `sklearn.mixture.GaussianMixture`; what follows
    ``verbose_interval`` and the wider ``covariance_type``, ``init_params`` and ``random_state`` are additions.
    N rows, D features, K components.

    Parameters
    ----------
    n_components : int, default 1
        K.
    covariance_type : str, default "full"
        "full", "tied", "diag", "spherical", or one of mclust's fourteen families: "EII", "VII", ... "VVV".
    tol : float, default 1e-3
        Stop when the objective gains less than this many nats per row.
    reg_covar : float, default 1e-6
        Each component gains reg_covar·N/K pseudo-rows with the variances of the data; 0 switches them off.
    max_iter : int, default 100
        M-steps at most; 0 evaluates the start.
    n_init : int, default 1
        Number of starts; the one with the highest likelihood among sound solutions is kept.
    init_params : str or array-like, default "search"
        "search": several starts on a sample, then moves to better optima, unless parameters or a noise component are
        given; or plain EM from "kmeans", "k-means++", "random", "random_from_data", labels (N,) or
        responsibilities γ(z_nk) (N, K).
    weights_init, means_init, precisions_init : array-like, optional
        π_k (K,), μ_k (K, D) and Σ_k⁻¹ in the shape of `precisions_`, in place of those of the start.
    random_state : int, RandomState, Generator or None
        Seeds the starts and `sample`.
    warm_start : bool, default False
        `fit` continues with plain EM from the parameters of the last fit.
    verbose : int, default 0
        1 prints starts and iterations, 2 also time, and gain in nats per row.
    verbose_interval : int, default 10
        Iterations between two lines.
    n_jobs : int, optional
        Threads; None or -1: as many as the process may use. No result depends on it.
    equal_weights : bool, default False
        Hold π_k = 1/K, or (1 − π_0)/K with noise.
    noise : bool, default False
        A uniform component for outliers, p(x) = π_0 / V + Σ_k π_k N(x | μ_k, Σ_k) (Banfield & Raftery 1993). Labels
        in ``init_params`` may be −1, noise; responsibilities (N, K + 1), noise last.
    hypervolume : float, optional
        V, in the product of the features' units; the smaller of the rows' bounding and principal-axes boxes.
    prior : None, "conjugate" or ConjugatePrior, default None
        Normal-inverse-Wishart prior of means and covariances (Fraley & Raftery 2007); see `gaussmix.conjugate`.
    max_condition : float, optional
        Bound ≥ 1 on the ratio of the largest to the smallest eigenvalue across all components, features standardised
        (García-Escudero et al. 2008); for EII, VII, EEI, VVI, EEE and VVV; see `gaussmix.bounded`.

    Attributes
    ----------
    weights_ : (K,)
        π_k. Like all parameters here float32 when the fitted rows are, else float64; and read-only.
    noise_weight_ : float
        π_0 of the noise component, 0 without; with `weights_` it sums to 1.
    means_ : (K, D)
        μ_k.
    covariances_ : array
        Σ_k: spherical, EII (K,); diag, EEI, VEI, EVI (K, D); tied (D, D); others (K, D, D).
    precisions_ : array
        Σ_k⁻¹, in the shape of `covariances_`.
    precisions_cholesky_ : array
        P_k upper triangular with P_k P_kᵀ = Σ_k⁻¹, in the shape of `covariances_`.
    converged_ : bool
        Whether the objective's gain fell below ``tol``.
    n_iter_ : int
        M-steps of the start that was kept.
    lower_bound_ : float
        L/N of eq. (6) at the fitted parameters, in nats per row.
    lower_bounds_ : list of float
        L/N after each M-step that was kept, at most `n_iter_`; the last is `lower_bound_`.
    mixture_ : Mixture
        The parameters in float64, with everything that can be asked of them.
    result_ : Fit
        How the fit went: reason, trace, degenerate components, remarks.
    n_features_in_ : int
        D.
    feature_names_in_ : (D,)
        Names of the columns; only after fitting a data frame whose names are all strings.

    Warns
    -----
    ConvergenceWarning
        `fit` reached ``max_iter``; a subclass of scikit-learn's warning of that name.
    DegenerateWarning
        A component describes too few rows, or a feature has no spread.

    Examples
    --------
    >>> import numpy as np
    >>> from gaussmix import GaussianMixture
    >>> X = np.random.default_rng(0).normal([[0, 0], [9, 9]], 1, (100, 2, 2)).reshape(-1, 2)
    >>> model = GaussianMixture(n_components=2, random_state=0).fit(X)
    >>> np.sort(model.means_[:, 0]).round() + 0
    array([0., 9.])
    """

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: Any = "search",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        n_jobs: int | None = None,
        equal_weights: bool = False,
        noise: bool = False,
        hypervolume: float | None = None,
        prior: Any = None,
        max_condition: float | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.n_jobs = n_jobs
        self.equal_weights = equal_weights
        self.noise = noise
        self.hypervolume = hypervolume
        self.prior = prior
        self.max_condition = max_condition

    @classmethod
    def from_mixture(cls, mixture: Mixture, **settings: Any) -> GaussianMixture:
        """A fitted estimator with the parameters of ``mixture``; ``settings`` are constructor parameters.

        It has no `result_`, and so none of `converged_`, `n_iter_`, `lower_bound_`. With ``warm_start=True``
        its next `fit` continues from ``mixture``.
        """
        known = {"covariance_type": mixture.covariance_type, "noise": mixture.has_noise}
        model = cls(mixture.n_components, **{**known, **settings})
        model._check_settings()
        model._name_features(mixture.n_features, mixture.feature_names)
        model._settle(mixture, np.dtype(np.float64), seed_of(model.random_state))
        return model

    # ---- fitting ---------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> GaussianMixture:
        """Estimate the parameters by EM, eqs. (4) to (8) and (11).

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
            ``X`` is not a finite array of numbers (the message says where), or has fewer than K rows.
        ParameterError
            A setting is out of range.
        SingularError
            ``reg_covar=0`` and a component collapsed in every start.
        """
        return self._fit(X)

    def fit_predict(self, X: Any, y: Any = None) -> NDArray[np.int64]:
        """Fit, and the component of each row of ``X``, (N,): the same as ``fit(X).predict(X)``."""
        return self._fit(X).predict(X)

    def _fit(self, X: Any) -> GaussianMixture:
        self._check_settings()
        source = self._source(X, reset=True)
        if source.n_rows < self.n_components:
            raise DataError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {source.n_rows}; use fewer components."
            )
        seed = seed_of(self.random_state)
        try:
            self.result_ = self._search(source, seed)
        except SingularError as error:
            raise SingularError(f"{ILL_DEFINED} ({error})") from None
        self._settle(self.result_.mixture, row_type(source), seed)
        self._warn()
        return self

    def _search(self, source: Source, seed: int) -> Fit:
        return fitting.fit_source(
            source,
            self.n_components,
            covariance_type=self.covariance_type,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=self.max_iter,
            n_init=self.n_init,
            random_state=seed,
            n_jobs=self.n_jobs,
            equal_weights=self.equal_weights,
            noise=self.noise,
            hypervolume=self.hypervolume,
            prior=self.prior,
            max_condition=self.max_condition,
            observer=Printer(self.verbose, self.verbose_interval, source.weight) if self.verbose else None,
            **self._start(source),
        )

    def _start(self, source: Source) -> dict[str, Any]:
        """Where `fitting.fit_source` starts: the last parameters, given ones, or what ``init_params`` says."""
        if self.warm_start and hasattr(self, "mixture_"):
            return {"init_params": self._continued(source)}
        weights, means, covariances = self._given(self.n_components, source.n_features)
        if weights is None or means is None or covariances is None:
            parameters = {"weights_init": weights, "means_init": means, "covariances_init": covariances}
            return {"init_params": self.init_params, **parameters}
        return {"init_params": self._mixture(source, weights, means, covariances)}

    def _given(self, n_components: int, n_features: int) -> tuple[Array | None, Array | None, Array | None]:
        """π_k, μ_k and Σ_k of the constructor, checked."""
        weights = means = covariances = None
        if self.weights_init is not None:
            weights = given.normalised_weights(self.weights_init, n_components)
        if self.means_init is not None:
            means = given.shaped("means", self.means_init, (n_components, n_features))
        if self.precisions_init is not None:
            family, name = families.get(self.covariance_type), f"{self.covariance_type} precision"
            shape = family.structure.shape(n_components, n_features)
            covariances = given.inverse(given.shaped(name, self.precisions_init, shape), family, name)
        return weights, means, covariances

    def _continued(self, source: Source) -> Mixture:
        """The last parameters, for this data; refused where they are those of another model."""
        last = self.mixture_
        have = (*last.means.shape, last.family.name)
        want = (self.n_components, source.n_features, families.get(self.covariance_type).name)
        if have != want:
            raise ParameterError(
                f"warm_start continues from (K, D, family) = {have}, but this fit wants {want}; "
                "set warm_start=False, or go back to those."
            )
        noise = {"noise_weight": last.noise_weight, "noise_density": last.noise_density}
        noise["noise_log_density"] = last.noise_log_density
        return self._mixture(source, last.weights, last.means, last.covariances, **noise)

    def _mixture(
        self, source: Source, weights: Array, means: Array, covariances: Array, **noise: float
    ) -> Mixture:
        return Mixture(
            weights=weights,
            means=means,
            covariances=covariances,
            covariance_type=self.covariance_type,
            feature_names=source.feature_names,
            **noise,
        )

    # ---- checks ----------------------------------------------------------------------------------------

    def _check_settings(self) -> None:
        fitting.check_settings(
            self.n_components,
            self.covariance_type,
            self.tol,
            self.reg_covar,
            self.max_iter,
            self.n_init,
            self.init_params,
        )
        check_prior(self.covariance_type, self.prior, self.max_condition)
        check_noise(self.noise, self.hypervolume)
        for name in ("warm_start", "equal_weights"):
            if not isinstance(getattr(self, name), (bool, np.bool_)):
                raise ParameterError(f"{name} must be True or False, got {getattr(self, name)!r}.")
        for name, lowest in (("verbose", 0), ("verbose_interval", 1)):
            value = getattr(self, name)
            if not isinstance(value, (numbers.Integral, np.bool_)) or int(value) < lowest:
                raise ParameterError(f"{name} must be an integer from {lowest}, got {value!r}.")
        self._check_n_jobs()
