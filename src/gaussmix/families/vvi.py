"""VVI (``diag``): axis-parallel, volume and shape variable. Σₖ = diag(Sₖ) / Nₖ."""

from gaussmix.families import Array, Family, structures


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8), its diagonal: scatter (K, D) over mass (K,)."""
    return scatter / mass[:, None]


family = Family("VVI", structures.diagonal, lambda K, D: K * D, solve)
