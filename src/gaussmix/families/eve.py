"""EVE: volume and orientation equal, shapes variable. Σₖ = λ D Aₖ Dᵀ with |Aₖ| = 1.

With τₖ = diag(Dᵀ Sₖ D): Aₖ = τₖ / |τₖ|^(1/D), λ = Σₖ |τₖ|^(1/D) / N, and D minimises λ (Celeux & Govaert
1995, model [λDAₖDᵀ]).
"""

import numpy as np

from gaussmix.families import Array, Family, evi, structures
from gaussmix.families._orientation import Criterion, common_orientation
from gaussmix.families._volume_shape import with_shape

_CRITERION = Criterion(lambda volumes: float(np.exp(volumes).sum()), np.exp, power=1)


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under a common D for scatter (K, D, D): stationary, and no worse than the last orientation."""
    scale = scatter.trace(axis1=1, axis2=2).max()
    orientation, diagonals = common_orientation(with_shape(scatter / scale), _CRITERION, previous)
    variances = evi.solve(diagonals * scale, mass, None)
    covariances: Array = (orientation * variances[:, None, :]) @ orientation.T
    return covariances


family = Family("EVE", structures.full, lambda K, D: 1 + K * (D - 1) + D * (D - 1) // 2, solve)
