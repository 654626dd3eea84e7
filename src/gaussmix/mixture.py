"""Mixture: the parameters of p(x) = Σ_k π_k N(x | μ_k, Σ_k), eq. (1), and what can be asked of them.

A frozen value. Its constraints, eqs. (2), (3): 0 ≤ π_k ≤ 1 and Σ_k π_k = 1 (π_0 of the noise component included),
every Σ_k symmetric positive definite. This is the only file that asks the kernel for a pass.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix import families, kernel
from gaussmix.common_features import agreeing, log_density_of, others
from gaussmix.errors import ParameterError
from gaussmix.families import Family
from gaussmix.parameters import (
    checked_covariances,
    checked_noise,
    checked_weights,
    feature_position,
    log,
    real_array,
)
from gaussmix.randomness import generator
from gaussmix.reference import Evaluation, Prepared
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]

# From so many components and rows on, most of a mixture has nothing to do with a row, and asking whether it has costs
# little: rows of float64, or twice as many of float32, whose passes take half the time.
MANY = 32
MANY_ROWS = 24576
MOST_ROWS = 1 << 31


class Decomposition(NamedTuple):
    """The factors of covariances: Σ_k = λ_k D_k diag(A_k) D_kᵀ with |A_k| = 1 (Celeux & Govaert 1995)."""

    volume: Array
    shape: Array
    orientation: Array


@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    """A Gaussian mixture with given parameters.

    Parameters
    ----------
    weights : array-like (K,)
        π_k, eqs. (2), (3).
    means : array-like (K, D)
        μ_k.
    covariances : array-like
        Σ_k in the family's storage: EII, VII (K,); EEI, VEI, EVI, VVI (K, D); EEE (D, D); others (K, D, D).
    covariance_type : str
        mclust's letters, or full, tied, diag, spherical.
    noise_weight : float
        π_0 of a uniform noise component; with the weights it sums to 1.
    noise_density : float
        1/V of the noise component.
    noise_log_density : float, optional
        −ln V, in place of ``noise_density``: with many features V leaves the range of a double.
    feature_names : sequence of str, optional
        Names of the D columns; kept in model files and used to find the columns of a data frame.

    Raises
    ------
    ParameterError
        The parameters are not those of a mixture; the message says which and why.

    Examples
    --------
    >>> m = Mixture(weights=[0.5, 0.5], means=[[0.0], [4.0]], covariances=[1.0, 1.0], covariance_type="spherical")
    >>> m.classify([[0.3], [5.0]])
    array([0, 1])
    """

    weights: Array
    means: Array
    covariances: Array
    covariance_type: str = "full"
    noise_weight: float = 0.0
    noise_density: float = 0.0
    feature_names: tuple[str, ...] | None = None
    noise_log_density: float = field(default=-math.inf, init=False)

    def __init__(
        self,
        *,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covariance_type: str = "full",
        noise_weight: float = 0.0,
        noise_density: float = 0.0,
        feature_names: Sequence[str] | None = None,
        noise_log_density: float | None = None,
    ) -> None:
        family = families.get(covariance_type)
        centres = real_array("means", means, 2)
        shares = checked_weights(weights, float(noise_weight), len(centres))
        density, log_density = checked_noise(float(noise_weight), float(noise_density), noise_log_density)
        checked = checked_covariances(covariances, family, *centres.shape)
        names = None if feature_names is None else tuple(str(name) for name in feature_names)
        if names is not None and len(names) != centres.shape[1]:
            raise ParameterError(
                f"{len(names)} feature names for {centres.shape[1]} features; give one each."
            )
        self._fill(
            weights=shares,
            means=centres,
            covariances=checked,
            covariance_type=covariance_type,
            noise_weight=float(noise_weight),
            noise_density=density,
            feature_names=names,
            noise_log_density=log_density,
        )
        _check_whitening(self)

    def _fill(self, **fields: Any) -> None:
        """The fields at once: a frozen dataclass would set them one by one, and an M-step has no time for that."""
        for array in (fields["weights"], fields["means"], fields["covariances"]):
            _frozen(array)
        self.__dict__.update(fields)

    @classmethod
    def unchecked(
        cls,
        weights: Array,
        means: Array,
        covariances: Array,
        covariance_type: str,
        noise_weight: float = 0.0,
        noise_density: float = 0.0,
        feature_names: tuple[str, ...] | None = None,
        noise_log_density: float | None = None,
    ) -> Mixture:
        """The loop's constructor: parameters that an M-step made and nobody needs to check."""
        mixture: Mixture = object.__new__(cls)
        mixture._fill(
            weights=weights,
            means=means,
            covariances=covariances,
            covariance_type=covariance_type,
            noise_weight=noise_weight,
            noise_density=noise_density,
            feature_names=feature_names,
            noise_log_density=log(noise_density) if noise_log_density is None else noise_log_density,
        )
        return mixture

    def with_parameters(
        self,
        weights: Array,
        means: Array,
        covariances: Array,
        noise_weight: float,
        prepared: Prepared | None = None,
    ) -> Mixture:
        """Other parameters, unchecked, of the same family, names and noise; ``prepared`` for the pass, and frozen.

        Raises
        ------
        numpy.linalg.LinAlgError
            A covariance is not positive definite, or not finite.
        """
        made: Mixture = object.__new__(Mixture)
        if prepared is None:
            prepared = _prepared(weights, means, covariances, self.family)
            for array in (weights, means, covariances):
                _frozen(array)
        own, kept = made.__dict__, self._kept
        own.update(kept)
        own["_kept"] = kept
        own["weights"] = weights
        own["means"] = means
        own["covariances"] = covariances
        own["noise_weight"] = noise_weight
        own["prepared"] = prepared
        return made

    @cached_property
    def _kept(self) -> dict[str, Any]:
        """What an M-step leaves as it is."""
        names = ("covariance_type", "noise_density", "noise_log_density", "feature_names", "family")
        return {name: getattr(self, name) for name in names}

    def __reduce__(self) -> Any:
        fields = (self.weights, self.means, self.covariances, self.covariance_type)
        noise = (self.noise_weight, self.noise_density)
        return Mixture.unchecked, (*fields, *noise, self.feature_names, self.noise_log_density)

    def __eq__(self, other: object) -> bool:
        """Equal to the last bit, in parameters and names."""
        return (
            isinstance(other, Mixture)
            and all(
                np.array_equal(mine, theirs)
                for mine, theirs in zip(self.__reduce__()[1][:3], other.__reduce__()[1][:3], strict=True)
            )
            and self.__reduce__()[1][3:] == other.__reduce__()[1][3:]
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """What it is, on one line; the parameters are its attributes."""
        noise = f", noise_weight={self.noise_weight:.4g}" if self.has_noise else ""
        shape = f"n_components={self.n_components}, n_features={self.n_features}"
        return f"Mixture({shape}, covariance_type={self.covariance_type!r}{noise})"

    # ---- parameters -------------------------------------------------------------------------------------------

    @property
    def n_components(self) -> int:
        """K, without the noise component."""
        return int(self.means.shape[0])

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.means.shape[1])

    @property
    def has_noise(self) -> bool:
        """Whether there is a uniform noise component."""
        return self.noise_log_density > -math.inf

    @cached_property
    def family(self) -> Family:
        """The covariance family."""
        return families.get(self.covariance_type)

    @cached_property
    def prepared(self) -> Prepared:
        """ln π_k, W_k and Σ ln|W_k|, as the pass and the prior want them."""
        return _prepared(self.weights, self.means, self.covariances, self.family)

    @property
    def whitening(self) -> Array:
        """W_k lower triangular with W_k Σ_k W_kᵀ = I, in the family's moment shape."""
        return self.prepared.whitening

    @cached_property
    def full_covariances(self) -> Array:
        """Σ_k written out, (K, D, D), whatever the family."""
        return _frozen(self.family.structure.dense(self.covariances, *self.means.shape))

    @cached_property
    def decomposition(self) -> Decomposition:
        """Volume λ_k (K,), shape A_k (K, D) and orientation D_k (K, D, D) of Σ_k = λ_k D_k diag(A_k) D_kᵀ.

        Axes go by decreasing variance; those that all components share by their mean logarithm of it, and where they
        are the features' own, D_k = I.
        """
        from gaussmix.families.decomposition import decompose

        covariances = self.family.structure.spread(self.covariances, self.n_features)
        covariances = self.full_covariances if covariances.ndim == 3 else covariances
        return Decomposition(*map(_frozen, decompose(covariances, self.family.name[2])))

    @property
    def n_parameters(self) -> int:
        """Free parameters: K − 1 weights, K·D means, the family's covariances; noise adds π_0 and V (mclust)."""
        n_components, n_features = self.means.shape
        free = (
            (n_components - 1)
            + n_components * n_features
            + self.family.n_parameters(n_components, n_features)
        )
        return int(free + 2 * self.has_noise)

    @property
    def _log_noise(self) -> float:
        return log(self.noise_weight) + self.noise_log_density if self.noise_weight > 0 else -math.inf

    @cached_property
    def _common(self) -> NDArray[np.bool_] | None:
        """Features that tell nothing of the component; none where all do, or one component or noise needs them."""
        if self.n_components == 1 or self.has_noise:
            return None
        common = agreeing(self.means, self.whitening)
        return common if common.any() and not common.all() else None

    # ---- evaluation -------------------------------------------------------------------------------------------

    def fold(
        self,
        rows: NDArray[Any],
        row_weights: Array | None = None,
        memo: dict[str, Any] | None = None,
        n_threads: int = 1,
    ) -> Statistics:
        """The E-step and the sums of its M-step over checked ``rows`` (N, D): eqs. (4) to (6) in one visit.

        With many components, most of which have nothing to do with a row, the rows are visited in an order that is
        compact in space and kept in ``memo``.
        """
        means, (log_weights, whitening, _) = self.means, self.prepared
        asked = len(rows) * rows.itemsize >= MANY_ROWS * 8 and len(rows) < MOST_ROWS and len(means) >= MANY
        mass, first, second, noise_mass, weight, log_likelihood = kernel.fold(
            rows,
            row_weights,
            log_weights,
            means,
            whitening,
            self._log_noise,
            n_threads,
            memo if asked else None,
        )
        return Statistics(means, mass, first, second, noise_mass, weight, len(rows), log_likelihood)

    def evaluate(
        self, rows: NDArray[Any], n_threads: int = 1, wanted: Collection[str] = Evaluation._fields
    ) -> Evaluation:
        """ln p, labels (−1: noise) and γ of checked ``rows``; what is not ``wanted``, by name, is empty."""
        given, common = (self.means, self.whitening), self._common
        visible, means, whitening = (rows, *given) if common is None else others(rows, *given, common)
        log_weights = self.prepared.log_weights
        found = kernel.evaluate(visible, log_weights, means, whitening, self._log_noise, n_threads, wanted)
        if common is not None and len(found.log_density):
            found.log_density[:] += log_density_of(rows, *given, common)
        if self.has_noise:
            found.labels[found.labels == self.n_components] = -1
        return found

    def log_density(self, X: ArrayLike) -> Array:
        """ln p(x_n) of eq. (1), in nats, for each row of ``X`` (N, D).

        Raises
        ------
        DataError
            ``X`` is not a finite array of D columns.
        """
        return self.evaluate(self._rows(X), kernel.thread_count(), ["log_density"]).log_density

    def responsibilities(self, X: ArrayLike) -> Array:
        """γ(z_nk) = p(z_nk = 1 | x_n), eqs. (4), (5): (N, K), or (N, K + 1) with the noise component last.

        Raises
        ------
        DataError
            ``X`` is not a finite array of D columns.
        """
        return self.evaluate(self._rows(X), kernel.thread_count(), ["responsibilities"]).responsibilities

    def classify(self, X: ArrayLike) -> NDArray[np.int64]:
        """The component with the largest responsibility for each row of ``X``, (N,); −1 is noise.

        Raises
        ------
        DataError
            ``X`` is not a finite array of D columns.
        """
        return self.evaluate(self._rows(X), kernel.thread_count(), ["labels"]).labels

    def log_likelihood(self, X: ArrayLike) -> float:
        """L(X; θ) = Σ_n ln p(x_n), eq. (6), in nats.

        Raises
        ------
        DataError
            ``X`` is not a finite array of D columns.
        """
        return float(self.log_density(X).sum())

    def sample(self, n_samples: int = 1, random_state: Any = None) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture, in random order.

        Parameters
        ----------
        n_samples : int
        random_state : None, int, numpy.random.RandomState or numpy.random.Generator

        Returns
        -------
        X : (n_samples, D)
        labels : (n_samples,)
            The component of each row.

        Raises
        ------
        ParameterError
            ``n_samples`` is not a positive integer, or there is a noise component, whose support is not kept.
        """
        if not isinstance(n_samples, (int, np.integer)) or isinstance(n_samples, bool) or n_samples < 1:
            raise ParameterError(f"n_samples must be a positive integer, got {n_samples!r}.")
        if self.has_noise:
            raise ParameterError(
                "rows of the noise component cannot be drawn: the model knows its box's volume, not where it lies. "
                "Sample a mixture of the same means and covariances, with weights / weights.sum() and no noise."
            )
        rng = generator(random_state)
        labels = rng.choice(self.n_components, size=n_samples, p=self.weights / self.weights.sum())
        rows = rng.standard_normal((n_samples, self.n_features))
        for k, root in enumerate(np.linalg.cholesky(self.full_covariances)):
            rows[labels == k] = self.means[k] + rows[labels == k] @ root.T
        return rows, labels

    def marginal(self, features: Sequence[int | str], noise_density: float | None = None) -> Mixture:
        """The mixture of some features, the others integrated out: p(x_F) = Σ_k π_k N(x_F | μ_kF, Σ_kFF).

        Parameters
        ----------
        features : sequence of int or str
            F, positions or names of distinct features, in the order wanted.
        noise_density : float, optional
            1/V of the noise component over these features; the model knows its volume over all features only.

        Returns
        -------
        Mixture
            Of family VVV, with K components and len(F) features.

        Raises
        ------
        ParameterError
            ``features`` is not that, or there is a noise component and no ``noise_density``.
        """
        names, wanted = self.feature_names or (), list(features)
        found = [feature_position(each, names, self.n_features) for each in wanted]
        index = [j for j in found if j is not None]
        if not index or len(set(index)) < len(wanted):
            last = self.n_features - 1
            or_names = f", or names among {', '.join(names)}" if names else ""
            raise ParameterError(
                f"features must be distinct positions from 0 to {last}{or_names}; got {wanted}."
            )
        if self.has_noise and noise_density is None:
            raise ParameterError(
                "the noise component's volume over some features is unknown; give noise_density."
            )
        return Mixture(
            weights=self.weights,
            means=self.means.take(index, axis=1),
            covariances=self.full_covariances.take(index, axis=1).take(index, axis=2),
            noise_weight=self.noise_weight,
            noise_density=noise_density if self.has_noise and noise_density is not None else 0.0,
            feature_names=None if self.feature_names is None else [self.feature_names[j] for j in index],
        )

    def largest_first(self) -> NDArray[np.int64]:
        """The order (K,) of components by decreasing weight; equal weights go by their means. See `reordered`."""
        return np.lexsort((*self.means.T[::-1], -self.weights))

    def reordered(self, order: ArrayLike) -> Mixture:
        """The same components in another order.

        Parameters
        ----------
        order : (K,) integers
            The component that comes first, second, ...

        Raises
        ------
        ParameterError
            ``order`` does not hold each component once.
        """
        index = np.asarray(order)
        if index.ndim != 1 or sorted(index.tolist()) != list(range(self.n_components)):
            last = self.n_components - 1
            raise ParameterError(f"order must hold each component from 0 to {last} once, got {order!r}.")
        index = index.astype(np.int64)
        log_weights, whitening, log_root = self.prepared
        shared = self.covariances.shape == self.family.structure.shape(0, self.n_features)
        return self.with_parameters(
            _frozen(self.weights[index]),
            _frozen(self.means[index]),
            self.covariances if shared else _frozen(self.covariances[index]),
            self.noise_weight,
            Prepared(
                _frozen(log_weights[index]), whitening if shared else _frozen(whitening[index]), log_root
            ),
        )

    def _rows(self, X: ArrayLike) -> Array:
        """``X`` as rows that this mixture can evaluate; selects the named columns of a data frame."""
        from gaussmix.rows import as_rows

        return as_rows(X, n_features=self.n_features, feature_names=self.feature_names)


def _frozen(array: Array) -> Array:
    array.setflags(write=False)
    return array


def _prepared(weights: Array, means: Array, covariances: Array, family: Family) -> Prepared:
    return kernel.prepare(weights, family.structure.spread(covariances, means.shape[1]))


def _check_whitening(mixture: Mixture) -> None:
    try:
        with np.errstate(all="ignore"):
            _ = mixture.prepared
    except np.linalg.LinAlgError:
        smallest = [float(np.linalg.eigvalsh(matrix)[0]) for matrix in mixture.full_covariances]
        worst = int(np.argmin(smallest))
        raise ParameterError(
            f"covariances must be positive definite; component {worst} has smallest eigenvalue {smallest[worst]:.3g}."
        ) from None
