"""EEE (``tied``): one covariance for all. Σ = Σₖ Sₖ / N."""

from gaussmix.families import Array, Family, structures


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) with the components pooled: scatter (1, D, D) over the whole mass."""
    covariances: Array = scatter[0] / mass.sum()
    return covariances


family = Family("EEE", structures.tied, lambda K, D: D * (D + 1) // 2, solve)
