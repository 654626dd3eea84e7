"""EEV: volume and shape equal, orientations variable. Σₖ = Dₖ B Dₖᵀ with one diagonal B.

With Sₖ = Lₖ Ωₖ Lₖᵀ, eigenvalues in one order for all: Dₖ = Lₖ and B = Σₖ Ωₖ / N (Celeux & Govaert 1995,
model [λDₖADₖᵀ]).
"""

import numpy as np

from gaussmix.families import Array, Family, structures


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) with the eigenvalues of the scatter (K, D, D) pooled, each its own eigenvectors."""
    eigenvalues, orientation = np.linalg.eigh(scatter)
    pooled = eigenvalues.sum(axis=0) / mass.sum()
    covariances: Array = (orientation * pooled) @ orientation.transpose(0, 2, 1)
    return covariances


family = Family("EEV", structures.full, lambda K, D: D + K * (D * (D - 1) // 2), solve)
