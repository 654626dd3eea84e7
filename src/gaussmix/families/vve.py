"""VVE: one orientation, volumes and shapes variable. Σₖ = D Λₖ Dᵀ: common principal components (Flury 1984).

Λₖ = diag(Dᵀ Sₖ D) / Nₖ, and D minimises Σₖ Nₖ ln|diag(Dᵀ Sₖ D)|: in Celeux & Govaert's model [λₖDAₖDᵀ] each
component pulls at D with its Aₖ⁻¹/λₖ, not with Aₖ⁻¹ alone.
"""

import numpy as np

from gaussmix.families import Array, Family, structures
from gaussmix.families._orientation import common_orientation, starting_orientation


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under a common D for scatter (K, D, D), stationary, from the last orientation."""
    scale = scatter.trace(axis1=1, axis2=2)[:, None, None]
    relative = scatter / scale

    def weigh(diagonals: Array) -> Array:
        return mass

    start = starting_orientation(relative, weigh, previous)
    orientation, diagonals = common_orientation(relative, weigh, 0, start)
    variances = diagonals[:, None, :] * (scale / mass[:, None, None])
    covariances: Array = (orientation * variances) @ orientation.T
    return covariances


family = Family("VVE", structures.full, lambda K, D: K * D + D * (D - 1) // 2, solve)
