"""VEE: volumes variable, one shape and orientation. Σₖ = λₖ C (Celeux & Govaert 1995, model [λₖDADᵀ]).

With the 1/λₖ known, C = Σₖ Sₖ / (λₖ N); native/volumes.hpp finds the λₖ.
"""

from gaussmix.families import Family, structures

family = Family("VEE", structures.full, "given", lambda K, D: K + (D - 1) + D * (D - 1) // 2)
