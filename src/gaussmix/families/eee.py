"""EEE (``tied``): one covariance for all. Σ = Σₖ Sₖ / N."""

from gaussmix.families import Family, structures

family = Family("EEE", structures.tied, "given", lambda K, D: D * (D + 1) // 2)
