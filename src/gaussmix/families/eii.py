"""EII: spheres of one volume. Σ = (Σₖ tr Sₖ / (D N)) I."""

import numpy as np

from gaussmix.families import Array, Family, structures


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under Σₖ = λ I: the mean of the pooled diagonal, scatter (K, D) over the whole mass."""
    return np.full(mass.shape, scatter.sum() / (scatter.shape[1] * mass.sum()))


family = Family("EII", structures.spherical, lambda K, D: 1, solve)
