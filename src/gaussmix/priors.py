"""What an M-step knows beside the rows: one value, asked in one place, whatever it consists of.

EM's monotone objective is L + ln p(θ), with the log density of the prior; what is reported is L. A prior is

- `PseudoRows`: a little scatter for each component, always there unless ``reg_covar=0``;
- `gaussmix.conjugate.Conjugate`: pseudo-rows and the normal-inverse-Wishart prior of Fraley & Raftery (2007);
- `gaussmix.bounded.Bounded`: one of these, and density zero where eigenvalues differ by more than ``max_condition``.

Pseudo-rows keep every component's covariance away from zero. Each component gains ν = `reg_covar`·N/K rows' worth
of scatter R = diag(variances of the data), so that eq. (8) becomes (S_k + νR)/(N_k + ν) before the family solves.
That maximises L plus the penalty

    −(ν/2) Σ_k [ln|Σ_k| + tr(Σ_k⁻¹ R)],

which tends to −∞ as a covariance becomes singular: the objective is bounded, and EM never lowers it. R follows the
data's scale, so a change of units changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gaussmix import _kernel

if TYPE_CHECKING:
    from gaussmix.families import Family

Array = NDArray[np.float64]


class Prior(Protocol):
    """A prior as the M-step and the loop use it."""

    @property
    def pseudo_rows(self) -> PseudoRows:
        """Its pseudo-rows."""

    @property
    def variances(self) -> Array:
        """The variances of the features in the data, (D,); a floor where one has no spread."""

    def supplement(self, family: Family, n_components: int, supplied: float = 1.0) -> Supplement:
        """What the M-step of a family adds; ``supplied``: only a part of the scatter of pseudo-rows."""

    def log_density(self, means: Array, whitening: Array, log_root: float) -> float:
        """ln p(θ) up to a constant, in nats, from μ_k (K, D), W_k in the family's moment shape and their Σ ln|W_k|."""

    def admitted(self, family: Family, covariances: Array, weights: Array, added: float = 0.0) -> Array:
        """Covariances of positive density in place of others; the same if theirs is.

        The best beside ``weights`` (K,), to each of which so many rows are ``added``.
        """

    def thinned(self, share: float, at_least: float = 0.0) -> Prior:
        """The prior that weighs as much beside a ``share`` of the rows; ``at_least`` so many pseudo-rows."""

    def about(self, centre: Array) -> Prior:
        """The same prior for rows from which ``centre`` (D,) was subtracted."""


class Supplement(NamedTuple):
    """What a prior adds to the sums of an M-step.

    Attributes
    ----------
    mass : float
        Rows, to the mass of each covariance.
    scatter : (D,) or (D, D)
        To the scatter of each component; its diagonal, or all of it.
    shrinkage, centre : float, (D,) or None
        Rows that draw the means, and to where.
    floors : (D,) or None
        Variances of features without spread, 0 for the others.
    floor_rows : float
        How many rows of that variance each component has; 0: as many as its mass.
    """

    mass: float
    scatter: Array
    shrinkage: float = 0.0
    centre: Array | None = None
    floors: Array | None = None
    floor_rows: float = 0.0


# Families whose covariances share a volume or a shape, but not both.
TIED = ("VEI", "EVI", "VEE", "EVE", "VEV", "EVV")


def _diagonal(matrices: Array) -> Array:
    """The diagonals (K, D) of contiguous matrices (K, D, D), as a view; diagonals (K, D) as they are."""
    n_features = matrices.shape[-1]
    return matrices.reshape(len(matrices), -1)[:, :: n_features + 1] if matrices.ndim == 3 else matrices


@dataclass(frozen=True, eq=False)
class PseudoRows:
    """ν pseudo-rows of covariance R for each component.

    Attributes
    ----------
    count : float
        ν, in rows; 0 switches the regularisation off.
    variances : (D,)
        The diagonal of R; never zero.
    constant : (D,)
        Features without spread, whose variance is a floor and not the data's.
    rows : float
        N / K, the rows' worth of scatter by which that floor holds in families of one volume or shape.
    """

    count: float
    variances: Array
    constant: NDArray[np.bool_]
    rows: float = 1.0
    _supplements: dict[bool, Supplement] = field(default_factory=dict, init=False, repr=False)

    def add_to(self, scatter: Array, mass: Array) -> tuple[Array, Array]:
        """S_k + νR and N_k + ν, ``scatter`` in its moment shape (a shared one gains K·ν·R).

        A feature without spread gains (N_k + ν)·R_jj instead, so that its variance is R_jj everywhere:
        νR_jj over N_k + ν would be smaller in a larger component, which then draws in the rows of others.
        """
        if self.count == 0:
            return scatter, mass
        counted = mass + self.count
        shared = len(mass) // len(scatter)
        pseudo = self._variances_added if scatter.ndim == 2 else self._matrix_added
        if shared > 1:
            pseudo = shared * pseudo
        augmented: Array = scatter + pseudo
        if self.any_constant:
            together = counted.reshape(len(scatter), shared).sum(axis=1, keepdims=True)
            own = _diagonal(scatter) + together * self.variances
            _diagonal(augmented)[:, self.constant] = own[:, self.constant]
        return augmented, counted

    @cached_property
    def any_constant(self) -> bool:
        """Whether there are features without spread."""
        return bool(self.constant.any())

    @cached_property
    def _variances_added(self) -> Array:
        """The diagonal of νR, (D,)."""
        with np.errstate(over="ignore"):
            return self.count * self.variances

    @cached_property
    def _matrix_added(self) -> Array:
        """νR, (D, D)."""
        return np.diag(self._variances_added)

    @cached_property
    def deviations(self) -> Array:
        """The square roots of R, (D,)."""
        return np.sqrt(self.variances)

    def penalty(self, whitening: Array, log_root: float, n_components: int) -> float:
        """−(ν/2) Σ_k [ln|Σ_k| + tr(Σ_k⁻¹ R)], in nats: ln|Σ| = −2 ln|W|, Σ⁻¹ = WᵀW, and log_root = Σ_k ln|W_k|.

        A feature without spread adds −(N/2K) Σ_k R_jj (Σ_k⁻¹)_jj: its floor, a constant where its variance is R_jj.
        """
        if self.count == 0:
            return 0.0
        shared = n_components / len(whitening)
        trace = _kernel.scaled_squares(whitening, self.deviations)
        penalty = shared * self.count * (log_root - 0.5 * trace)
        if self.any_constant:
            floored = _kernel.scaled_squares(whitening, self.deviations * self.constant)
            penalty -= 0.5 * shared * self.rows * floored
        return penalty

    # ---- as a prior -------------------------------------------------------------------------------------------

    @property
    def pseudo_rows(self) -> PseudoRows:
        """Itself."""
        return self

    def supplement(self, family: Family, n_components: int, supplied: float = 1.0) -> Supplement:
        """What `add_to` adds.

        Where a family's volumes or shapes tie a feature without spread to the others, its variance cannot be R_jj
        everywhere: there it has (N/K + ν)·R_jj of scatter in each component, whatever their masses, so that no M-step
        undoes what the last has gained.
        """
        if supplied != 1.0:
            whole = self.supplement(family, n_components)
            floors = whole.floors
            if floors is not None and not whole.floor_rows:
                floors = supplied * floors
            return whole._replace(scatter=supplied * whole.scatter, floors=floors)
        tied = family.name in TIED
        if tied not in self._supplements:
            none = self.count == 0 or not self.any_constant
            self._supplements[tied] = Supplement(
                self.count,
                self._variances_added if none else np.where(self.constant, 0.0, self._variances_added),
                floors=None if none else np.where(self.constant, self.variances, 0.0),
                floor_rows=self.rows + self.count if tied else 0.0,
            )
        return self._supplements[tied]

    def log_density(self, means: Array, whitening: Array, log_root: float) -> float:
        """The penalty; it does not depend on the means."""
        return self.penalty(whitening, log_root, len(means))

    def admitted(self, family: Family, covariances: Array, weights: Array, added: float = 0.0) -> Array:
        """All are."""
        return covariances

    def thinned(self, share: float, at_least: float = 0.0) -> PseudoRows:
        """ν and N times ``share``, ν no less than ``at_least``."""
        return replace(self, count=max(self.count * share, at_least), rows=self.rows * share)

    def about(self, centre: Array) -> PseudoRows:
        """Itself: scatter has no place."""
        return self
