"""VEI: axis-parallel, volumes variable, one shape. Σₖ = λₖ A, A diagonal (Celeux & Govaert 1995, [λₖB])."""

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import common_shape


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under Σₖ = λₖ A: scatter (K, D); with the 1/λₖ known, A = Σₖ diag(Sₖ) / (λₖ N)."""
    return common_shape(scatter, mass, None if previous is None else previous[:, 0])


family = Family("VEI", structures.diagonal, lambda K, D: K + D - 1, solve)
