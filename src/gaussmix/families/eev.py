"""EEV: volume and shape equal, orientations variable. Σₖ = Dₖ B Dₖᵀ with one diagonal B.

With Sₖ = Lₖ Ωₖ Lₖᵀ, eigenvalues in one order for all: Dₖ = Lₖ and B = Σₖ Ωₖ / N (Celeux & Govaert 1995,
model [λDₖADₖᵀ]).
"""

from gaussmix.families import Family, structures

family = Family("EEV", structures.full, "own", lambda K, D: D + K * (D * (D - 1) // 2))
