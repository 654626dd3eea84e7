"""VVE: one orientation, volumes and shapes variable. Σₖ = D Λₖ Dᵀ: common principal components (Flury 1984).

Λₖ = diag(Dᵀ Sₖ D) / Nₖ, and D minimises Σₖ Nₖ ln|diag(Dᵀ Sₖ D)|: in Celeux & Govaert's model [λₖDAₖDᵀ] each
component pulls at D with its Aₖ⁻¹/λₖ, not with Aₖ⁻¹ alone.
"""

from gaussmix.families import Array, Family, structures
from gaussmix.families._orientation import common_orientation, oriented


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under a common D for scatter (K, D, D): stationary, and no worse than the last orientation."""
    axes, diagonals = common_orientation(scatter, mass, previous)
    return oriented(axes, diagonals / mass[:, None])


family = Family("VVE", structures.full, lambda K, D: K * D + D * (D - 1) // 2, solve)
