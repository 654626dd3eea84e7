"""EVE: volume and orientation equal, shapes variable. Σₖ = λ D Aₖ Dᵀ with |Aₖ| = 1.

With τₖ = diag(Dᵀ Sₖ D): Aₖ = τₖ / |τₖ|^(1/D), λ = Σₖ |τₖ|^(1/D) / N, and D minimises λ (Celeux & Govaert
1995, model [λDAₖDᵀ]).
"""

from gaussmix.families import Array, Family, evi, structures
from gaussmix.families._orientation import common_orientation, oriented
from gaussmix.families._volume_shape import with_shape


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under a common D for scatter (K, D, D): stationary, and no worse than the last orientation."""
    axes, diagonals = common_orientation(with_shape(scatter), None, previous)
    return oriented(axes, evi.solve(diagonals, mass, None))


family = Family("EVE", structures.full, lambda K, D: 1 + K * (D - 1) + D * (D - 1) // 2, solve)
