"""EVE: volume and orientation equal, shapes variable. Σₖ = λ D Aₖ Dᵀ with |Aₖ| = 1.

With τₖ = diag(Dᵀ Sₖ D): Aₖ = τₖ / |τₖ|^(1/D), λ = Σₖ |τₖ|^(1/D) / N, and D minimises λ (Celeux & Govaert
1995, model [λDAₖDᵀ]); native/orientation.hpp finds it.
"""

from gaussmix.families import Family, structures

family = Family("EVE", structures.full, "common", lambda K, D: 1 + K * (D - 1) + D * (D - 1) // 2)
