"""EII: spheres of one volume. Σ = (Σₖ tr Sₖ / (D N)) I."""

from gaussmix.families import Family, structures

family = Family("EII", structures.spherical, "mean", lambda K, D: 1)
