"""VVE: one orientation, volumes and shapes variable. Σₖ = D Λₖ Dᵀ: common principal components (Flury 1984).

Λₖ = diag(Dᵀ Sₖ D) / Nₖ, and D minimises Σₖ Nₖ ln|diag(Dᵀ Sₖ D)|: in Celeux & Govaert's model [λₖDAₖDᵀ] each
component pulls at D with its Aₖ⁻¹/λₖ, not with Aₖ⁻¹ alone. native/orientation.hpp finds it.
"""

from gaussmix.families import Family, structures

family = Family("VVE", structures.full, "common", lambda K, D: K * D + D * (D - 1) // 2)
