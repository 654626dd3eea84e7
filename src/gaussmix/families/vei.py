"""VEI: axis-parallel, volumes variable, one shape. Σₖ = λₖ A, A diagonal (Celeux & Govaert 1995, [λₖB])."""

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import diagonal_parts, precisions


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under Σₖ = λₖ A: scatter (K, D); with the 1/λₖ known, A = Σₖ diag(Sₖ) / (λₖ N)."""
    pooled = scatter.sum(axis=0)
    start = None if previous is None else 1 / previous[:, 0]
    weights = precisions(diagonal_parts(scatter / pooled), mass, start)
    common = (weights / mass.sum()) @ (scatter / pooled) * pooled
    covariances: Array = common / weights[:, None]
    return covariances


family = Family("VEI", structures.diagonal, lambda K, D: K + D - 1, solve)
