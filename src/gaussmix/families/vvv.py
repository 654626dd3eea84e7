"""VVV (``full``): volume, shape and orientation variable. Σₖ = Sₖ / Nₖ, eq. (8)."""

from gaussmix.families import Array, Family, structures


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8): each component its own scatter (K, D, D) over its mass (K,)."""
    return scatter / mass[:, None, None]


family = Family("VVV", structures.full, lambda K, D: K * (D * (D + 1) // 2), solve)
