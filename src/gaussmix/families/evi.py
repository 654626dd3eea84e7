"""EVI: axis-parallel, one volume, shapes variable. Σₖ = λ Aₖ with |Aₖ| = 1.

Aₖ = diag(Sₖ) / |diag(Sₖ)|^(1/D) and λ = Σₖ |diag(Sₖ)|^(1/D) / N (Celeux & Govaert 1995, model [λBₖ]).
"""

import numpy as np

from gaussmix.families import Array, Family, structures
from gaussmix.families._volume_shape import with_shape


def solve(scatter: Array, mass: Array, previous: Array | None) -> Array:
    """Eq. (8) under |Σₖ| = λᴰ: scatter (K, D), each scaled to the common volume."""
    scatter = with_shape(scatter)
    if not scatter.min() > 0:
        raise np.linalg.LinAlgError("a component has a feature without scatter: no shape is optimal")
    volume = np.exp(np.log(scatter).sum(axis=1) / scatter.shape[1])
    covariances: Array = scatter * (volume.sum() / mass.sum() / volume)[:, None]
    return covariances


family = Family("EVI", structures.diagonal, lambda K, D: 1 + K * (D - 1), solve)
