"""VEV: one shape, volumes and orientations variable. Σₖ = λₖ Dₖ A Dₖᵀ.

With Sₖ = Lₖ Ωₖ Lₖᵀ, eigenvalues in one order for all: Dₖ = Lₖ, and λₖ, A are those of VEI for the Ωₖ
(Celeux & Govaert 1995, model [λₖDₖADₖᵀ]). A = Σₖ Ωₖ / (λₖ N) has the order of the Ωₖ, so this is the optimum.
"""

import numpy as np

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import common_shape


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) with one shape for the eigenvalues of the scatter (K, D, D), each its own eigenvectors."""
    eigenvalues, orientation = np.linalg.eigh(scatter)
    volumes = None if previous is None else previous.trace(axis1=1, axis2=2)
    variances = common_shape(np.maximum(eigenvalues, 0.0), mass, volumes)
    covariances: Array = (orientation * variances[:, None, :]) @ orientation.transpose(0, 2, 1)
    return covariances


family = Family("VEV", structures.full, lambda K, D: K + (D - 1) + K * (D * (D - 1) // 2), solve)
