"""VEI: axis-parallel, volumes variable, one shape. Σₖ = λₖ A, A diagonal (Celeux & Govaert 1995, [λₖB]).

With the 1/λₖ known, A = Σₖ diag(Sₖ) / (λₖ N); native/volumes.hpp finds the λₖ.
"""

from gaussmix.families import Family, structures

family = Family("VEI", structures.diagonal, "given", lambda K, D: K + D - 1)
