"""VVV (``full``): volume, shape and orientation variable. Σₖ = Sₖ / Nₖ, eq. (8)."""

from gaussmix.families import Family, structures

family = Family("VVV", structures.full, "given", lambda K, D: K * (D * (D + 1) // 2))
