"""VEV: one shape, volumes and orientations variable. Σₖ = λₖ Dₖ A Dₖᵀ.

With Sₖ = Lₖ Ωₖ Lₖᵀ, eigenvalues in one order for all: Dₖ = Lₖ, and λₖ, A are those of VEI for the Ωₖ
(Celeux & Govaert 1995, model [λₖDₖADₖᵀ]). A = Σₖ Ωₖ / (λₖ N) has the order of the Ωₖ, so this is the optimum.
"""

from gaussmix.families import Family, structures

family = Family("VEV", structures.full, "own", lambda K, D: K + (D - 1) + K * (D * (D - 1) // 2))
