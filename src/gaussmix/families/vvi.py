"""VVI (``diag``): axis-parallel, volume and shape variable. Σₖ = diag(Sₖ) / Nₖ."""

from gaussmix.families import Family, structures

family = Family("VVI", structures.diagonal, "given", lambda K, D: K * D)
