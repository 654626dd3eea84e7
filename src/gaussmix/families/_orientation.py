"""The orientation that components share: Σₖ = D Λₖ Dᵀ, common principal components.

With the diagonals τₖⱼ = dⱼᵀ Sₖ dⱼ the optimal Λₖ are known, and the M-step's objective in D alone is

    VVE:  Σₖ Nₖ Σⱼ ln τₖⱼ        (Flury & Gautschi 1986, SIAM J. Sci. Stat. Comput. 7, 169-184)
    EVE:  Σₖ (Πⱼ τₖⱼ)^(1/D)      (Celeux & Govaert 1995, model [λDAₖDᵀ])

native/orientation.hpp lowers it: rotations of pairs of columns of D, then Newton's steps for all of them.
"""

from __future__ import annotations

import numpy as np

from gaussmix import _kernel
from gaussmix.families import Array


def common_orientation(scatter: Array, mass: Array | None, previous: Array | None) -> tuple[Array, Array]:
    """A stationary D (D, D) for scatter (K, D, D), and the diagonals τ (K, D): of VVE, or without ``mass`` of EVE.

    It starts from the orientation of ``previous`` or from the eigenvectors of the pooled scatter, whichever
    is lower after a sweep over the pairs; without ``previous``, from the pooled or one of each component's.

    Raises
    ------
    numpy.linalg.LinAlgError
        A component has no extent along one of the common axes: the maximum of the likelihood does not exist.
    """
    K, D = scatter.shape[:2]
    axes, variances = np.empty((D, D)), np.empty((K, D))
    if not _kernel.common_orientation(scatter, mass, previous, axes, variances):
        raise np.linalg.LinAlgError("a component is flat along a common axis")
    return axes, variances


def oriented(axes: Array, variances: Array) -> Array:
    """D diag(v_k) Dᵀ (K, D, D) of axes D (D, D) and variances v (K, D)."""
    covariances: Array = (axes * variances[:, None, :]) @ axes.T
    return covariances
