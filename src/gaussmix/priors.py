"""What an M-step knows beside the rows: pseudo-rows that keep every component's covariance away from zero.

Each component gains ν = `reg_covar`·N/K rows' worth of scatter R = diag(variances of the data), so that eq. (8)
becomes (S_k + νR)/(N_k + ν) before the family solves. That maximises L plus the penalty

    −(ν/2) Σ_k [ln|Σ_k| + tr(Σ_k⁻¹ R)],

which tends to −∞ as a covariance becomes singular: the objective is bounded, and EM never lowers it. R follows the
data's scale, so a change of units changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


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
        return scatter + (pseudo if scatter.ndim == 2 else pseudo[:, :, None] * np.eye(pseudo.shape[1])), counted

    def penalty(self, whitening: Array, n_components: int) -> float:
        """−(ν/2) Σ_k [ln|Σ_k| + tr(Σ_k⁻¹ R)], from W_k: ln|Σ| = −2 Σ_j ln W_jj and Σ⁻¹ = WᵀW. In nats."""
        if self.count == 0:
            return 0.0
        diagonal = whitening if whitening.ndim == 2 else np.diagonal(whitening, axis1=1, axis2=2)
        scaled = whitening * np.sqrt(self.variances)
        shared = n_components / len(whitening)
        return shared * self.count * (float(np.log(diagonal).sum()) - 0.5 * float((scaled * scaled).sum()))
