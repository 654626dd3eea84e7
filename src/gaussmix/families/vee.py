"""VEE: volumes variable, one shape and orientation. Σₖ = λₖ C (Celeux & Govaert 1995, model [λₖDADᵀ])."""

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import common_shape


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under Σₖ = λₖ C: scatter (K, D, D); with the 1/λₖ known, C = Σₖ Sₖ / (λₖ N)."""
    return common_shape(scatter, mass, None if previous is None else previous[:, 0, 0])


family = Family("VEE", structures.full, lambda K, D: K + (D - 1) + D * (D - 1) // 2, solve)
