"""VVE: one orientation, volumes and shapes variable. Σₖ = D Λₖ Dᵀ: common principal components (Flury 1984).

Λₖ = diag(Dᵀ Sₖ D) / Nₖ, and D minimises Σₖ Nₖ ln|diag(Dᵀ Sₖ D)|: in Celeux & Govaert's model [λₖDAₖDᵀ] each
component pulls at D with its Aₖ⁻¹/λₖ, not with Aₖ⁻¹ alone.
"""

import numpy as np

from gaussmix.families import Array, Family, structures
from gaussmix.families._orientation import Criterion, common_orientation


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under a common D for scatter (K, D, D): stationary, and no worse than the last orientation."""
    np.linalg.cholesky(scatter)  # refuses a flat component: some D would give it no volume at all
    scale = scatter.trace(axis1=1, axis2=2).max()
    criterion = Criterion(lambda volumes: float(mass @ volumes), lambda volumes: mass, power=0)
    orientation, diagonals = common_orientation(scatter / scale, criterion, previous)
    variances = diagonals * (scale / mass[:, None])
    covariances: Array = (orientation * variances[:, None, :]) @ orientation.T
    return covariances


family = Family("VVE", structures.full, lambda K, D: K * D + D * (D - 1) // 2, solve)
