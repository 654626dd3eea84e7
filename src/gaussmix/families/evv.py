"""EVV: one volume, shapes and orientations variable. Σₖ = λ Cₖ with |Cₖ| = 1.

Cₖ = Sₖ / |Sₖ|^(1/D) and λ = Σₖ |Sₖ|^(1/D) / N (Celeux & Govaert 1995, model [λDₖAₖDₖᵀ]).
"""

import numpy as np

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import with_shape


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under |Σₖ| = λᴰ: scatter (K, D, D), each scaled to the common volume."""
    scatter = with_shape(scatter)
    factor = np.linalg.cholesky(scatter)
    volume = np.exp(2 * np.log(factor.diagonal(axis1=1, axis2=2)).mean(axis=1))
    covariances: Array = scatter / volume[:, None, None] * (volume.sum() / mass.sum())
    return covariances


family = Family("EVV", structures.full, lambda K, D: 1 + K * (D - 1) + K * (D * (D - 1) // 2), solve)
