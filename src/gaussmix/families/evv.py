"""EVV: one volume, shapes and orientations variable. Σₖ = λ Cₖ with |Cₖ| = 1.

Cₖ = Sₖ / |Sₖ|^(1/D) and λ = Σₖ |Sₖ|^(1/D) / N (Celeux & Govaert 1995, model [λDₖAₖDₖᵀ]).
"""

from gaussmix.families import Family, structures

family = Family("EVV", structures.full, "given", lambda K, D: 1 + K * (D - 1) + K * (D * (D - 1) // 2))
