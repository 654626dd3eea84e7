"""A bound on the ratio of the largest to the smallest eigenvalue across all components.

García-Escudero, Gordaliza, Matrán & Mayo-Iscar (2008, Annals of Statistics 36, 1324-1345) bound it to keep the
likelihood bounded; Fritz, García-Escudero & Mayo-Iscar (2013, Comput. Statist. Data Anal. 61, 124-136) solve the
M-step: with the eigenvalues d_kj of the unbounded Σ_k and masses n_k, eigenvectors stay and eigenvalues are cut to
[m, c m], c the bound, where m minimises

    Σ_k n_k Σ_j [ln d_kj(m) + d_kj / d_kj(m)],    d_kj(m) = min(max(d_kj, m), c m).

Its derivative times m² is Σ n (m − d)₊ − Σ n (d/c − m)₊: it only rises and is linear between the 2KD knots d and
d/c, so that m is the one root, found by halving.

Features are standardised: eigenvalues are those of R^(−½) Σ_k R^(−½), R = diag(variances of the data). Spheres
would not be spheres then; of theirs, the volumes are compared, in the features' common unit. This is exact where
covariances are free or one: EII, VII, EEI, VVI, EEE, VVV. The other families refuse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError

if TYPE_CHECKING:
    from gaussmix.families import Family
    from gaussmix.priors import Prior, PseudoRows, Supplement

Array = NDArray[np.float64]

FAMILIES = ("EII", "VII", "EEI", "VVI", "EEE", "VVV")


@dataclass(frozen=True, eq=False)
class Bounded:
    """A prior that admits only covariances within the bound.

    Attributes
    ----------
    base : Prior
    max_condition : float
        c ≥ 1; 1 makes all components spheres of one size, in units of the features' spread.
    """

    base: Prior
    max_condition: float

    @property
    def pseudo_rows(self) -> PseudoRows:
        """Those of the base."""
        return self.base.pseudo_rows

    @property
    def variances(self) -> Array:
        """Of the features."""
        return self.base.variances

    def supplement(self, family: Family, n_components: int, supplied: float = 1.0) -> Supplement:
        """As the base."""
        return self.base.supplement(family, n_components, supplied)

    def log_density(self, means: Array, whitening: Array, log_root: float) -> float:
        """As the base, within the bound."""
        return self.base.log_density(means, whitening, log_root)

    def admitted(self, family: Family, covariances: Array, weights: Array, added: float = 0.0) -> Array:
        """The covariances, cut; ``weights`` (K,) are their masses, or in proportion to them."""
        check_bounded(family.name)
        with np.errstate(all="ignore"):
            return self._cut(covariances, weights + added, family.structure.name)

    def thinned(self, share: float, at_least: float = 0.0) -> Bounded:
        """The base thinned; a bound has no weight."""
        return replace(self, base=self.base.thinned(share, at_least))

    def about(self, centre: Array) -> Bounded:
        """The base moved."""
        return replace(self, base=self.base.about(centre))

    def _cut(self, covariances: Array, mass: Array, shape: str) -> Array:
        """Stored covariances with their eigenvalues cut."""
        if shape == "spherical":
            return cut(covariances[:, None], mass, self.max_condition)[:, 0]
        variances = self.pseudo_rows.variances
        if shape == "diagonal":
            return cut(covariances / variances, mass, self.max_condition) * variances
        scale = np.sqrt(variances)
        values, axes = np.linalg.eigh(np.atleast_3d(covariances.T).T / scale / scale[:, None])
        masses = mass if len(values) == len(mass) and covariances.ndim == 3 else mass.sum(keepdims=True)
        values = cut(np.maximum(values, 0.0), masses, self.max_condition)
        bounded = (axes * values[:, None, :]) @ np.swapaxes(axes, 1, 2) * scale * scale[:, None]
        whole: Array = (bounded + np.swapaxes(bounded, 1, 2)) / 2
        return whole.reshape(covariances.shape)


def check_bounded(name: str) -> None:
    """Refuse families whose M-step under the bound is not known in closed form."""
    if name not in FAMILIES:
        raise ParameterError(
            f"max_condition is implemented for {', '.join(FAMILIES)} only, not for {name}; choose one of these, "
            "or leave it out: reg_covar keeps covariances away from zero in every family."
        )


def cut(values: Array, mass: Array, bound: float) -> Array:
    """Eigenvalues (K, J) cut to [m, c m], m optimal for the masses (K,).

    Raises
    ------
    numpy.linalg.LinAlgError
        Every eigenvalue is zero.
    """
    largest = float(values.max())
    if not 0 < largest < np.inf:
        raise np.linalg.LinAlgError("no component has any scatter")
    if largest <= bound * float(values.min()):
        return values
    relative = values / largest
    floor = _optimal_floor(relative.ravel(), np.repeat(mass / mass.sum(), values.shape[1]), bound)
    cutting: Array = np.clip(relative, floor, bound * floor) * largest
    return cutting


def _optimal_floor(values: Array, mass: Array, bound: float) -> float:
    """m for values d (J,) with masses n (J,): where Σ n (m − d)₊ = Σ n (d/c − m)₊, both sides linear between knots."""

    def slope(m: float) -> float:
        return float(mass @ (np.maximum(m - values, 0.0) - np.maximum(values / bound - m, 0.0)))

    knots = np.unique(np.concatenate([values, values / bound]))
    low, high = 0, len(knots) - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if slope(float(knots[middle])) < 0 else (low, middle)
    left, right = float(knots[low]), float(knots[high])
    at_left, at_right = slope(left), slope(right)
    return left - at_left * (right - left) / (at_right - at_left)
