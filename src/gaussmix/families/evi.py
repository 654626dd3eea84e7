"""EVI: axis-parallel, one volume, shapes variable. Σₖ = λ Aₖ with |Aₖ| = 1.

Aₖ = diag(Sₖ) / |diag(Sₖ)|^(1/D) and λ = Σₖ |diag(Sₖ)|^(1/D) / N (Celeux & Govaert 1995, model [λBₖ]).
"""

from gaussmix.families import Family, structures

family = Family("EVI", structures.diagonal, "given", lambda K, D: 1 + K * (D - 1))
