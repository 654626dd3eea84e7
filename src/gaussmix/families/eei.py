"""EEI: axis-parallel, volume and shape equal. Σ = Σₖ diag(Sₖ) / N."""

from gaussmix.families import Family, structures

family = Family("EEI", structures.diagonal, "given", lambda K, D: D)
