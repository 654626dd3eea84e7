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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

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

    def augmented(self, means: Array, scatter: Array, mass: Array) -> tuple[Array, Array, Array]:
        """Means (K, D), scatter (in its moment shape) and mass (K,) with what the prior adds to eqs. (7), (8)."""

    def log_density(self, means: Array, whitening: Array) -> float:
        """ln p(θ) up to a constant, in nats, from μ_k (K, D) and W_k in the family's moment shape."""

    def solver(self, family: Family) -> Callable[[Array, Array, Array | None], Array]:
        """``family.solve``, or what maximises the same over the covariances that the prior admits."""

    def admitted(self, family: Family, covariances: Array, weights: Array) -> Array:
        """The covariances to start from in place of given ones: equal to them where these have positive density."""

    def thinned(self, share: float, at_least: float = 0.0) -> Prior:
        """The prior that weighs as much beside a ``share`` of the rows; ``at_least`` so many pseudo-rows."""


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
    """

    count: float
    variances: Array
    constant: NDArray[np.bool_]

    def add_to(self, scatter: Array, mass: Array) -> tuple[Array, Array]:
        """S_k + νR and N_k + ν, ``scatter`` in its moment shape (a shared one gains K·ν·R).

        A feature without spread gains (N_k + ν)·R_jj instead, so that its variance is R_jj everywhere:
        νR_jj over N_k + ν would be smaller in a larger component, which then draws in the rows of others.
        """
        if self.count == 0:
            return scatter, mass
        counted = mass + self.count
        shared = len(mass) // len(scatter)
        counts = np.full((len(scatter), len(self.variances)), shared * self.count)
        counts[:, self.constant] = counted.reshape(len(scatter), shared).sum(axis=1, keepdims=True)
        pseudo = counts * self.variances
        return scatter + (
            pseudo if scatter.ndim == 2 else pseudo[:, :, None] * np.eye(pseudo.shape[1])
        ), counted

    def penalty(self, whitening: Array, n_components: int) -> float:
        """−(ν/2) Σ_k [ln|Σ_k| + tr(Σ_k⁻¹ R)], from W_k: ln|Σ| = −2 Σ_j ln W_jj and Σ⁻¹ = WᵀW. In nats."""
        if self.count == 0:
            return 0.0
        diagonal = whitening if whitening.ndim == 2 else np.diagonal(whitening, axis1=1, axis2=2)
        scaled = whitening * np.sqrt(self.variances)
        shared = n_components / len(whitening)
        return shared * self.count * (float(np.log(diagonal).sum()) - 0.5 * float((scaled * scaled).sum()))

    # ---- as a prior -------------------------------------------------------------------------------------------

    @property
    def pseudo_rows(self) -> PseudoRows:
        """Itself."""
        return self

    def augmented(self, means: Array, scatter: Array, mass: Array) -> tuple[Array, Array, Array]:
        """The means as they are, and `add_to`."""
        return means, *self.add_to(scatter, mass)

    def log_density(self, means: Array, whitening: Array) -> float:
        """The penalty; it does not depend on the means."""
        return self.penalty(whitening, len(means))

    def solver(self, family: Family) -> Callable[[Array, Array, Array | None], Array]:
        """Every covariance of the family is admitted."""
        return family.solve

    def admitted(self, family: Family, covariances: Array, weights: Array) -> Array:
        """All are."""
        return covariances

    def thinned(self, share: float, at_least: float = 0.0) -> PseudoRows:
        """ν times ``share``, and no fewer than ``at_least``."""
        return replace(self, count=max(self.count * share, at_least))
