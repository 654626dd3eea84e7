"""VEE: volumes variable, one shape and orientation. Σₖ = λₖ C (Celeux & Govaert 1995, model [λₖDADᵀ])."""

import numpy as np

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import matrix_parts, precisions


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under Σₖ = λₖ C: scatter (K, D, D); with the 1/λₖ known, C = Σₖ Sₖ / (λₖ N)."""
    scale = np.sqrt(scatter.sum(axis=0).diagonal())
    relative = scatter / scale / scale[:, None]
    start = None if previous is None else 1 / previous[:, 0, 0]
    weights = precisions(matrix_parts(relative), mass, start)
    common = np.tensordot(weights / mass.sum(), relative, axes=1) * scale * scale[:, None]
    covariances: Array = common / weights[:, None, None]
    return covariances


family = Family("VEE", structures.full, lambda K, D: K + (D - 1) + D * (D - 1) // 2, solve)
