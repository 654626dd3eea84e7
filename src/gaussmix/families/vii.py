"""VII (``spherical``): spheres of variable volume. Σₖ = (tr Sₖ / (D Nₖ)) I."""

from gaussmix.families import Array, Family, structures


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under Σₖ = λₖ I: the mean of the diagonal of the scatter (K, D), over mass (K,)."""
    covariances: Array = scatter.sum(axis=1) / (scatter.shape[1] * mass)
    return covariances


family = Family("VII", structures.spherical, lambda K, D: K, solve)
