"""VII (``spherical``): spheres of variable volume. Σₖ = (tr Sₖ / (D Nₖ)) I."""

from gaussmix.families import Family, structures

family = Family("VII", structures.spherical, "mean", lambda K, D: K)
