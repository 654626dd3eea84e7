"""Volumes λₖ of components that share the rest of their covariance: Σₖ = λₖ C.

Celeux & Govaert (1995) alternate λₖ = tr(C⁻¹Sₖ) / (D Nₖ) with C = Σₖ Sₖ / (λₖ N). native/volumes.hpp puts the second
into the M-step's objective and takes Newton's steps in the ln λₖ that are left, in which it is convex.
"""

from __future__ import annotations

import numpy as np

from gaussmix import _kernel
from gaussmix.families import Array


def common_shape(scatter: Array, mass: Array, volumes: Array | None) -> Array:
    """The Σₖ = λₖ C for scatter (K, D) or (K, D, D), from the λₖ of the last solution if there is one.

    Raises
    ------
    numpy.linalg.LinAlgError
        A volume tends to zero: the maximum of the likelihood does not exist.
    """
    weights = np.ones(len(mass)) if volumes is None else volumes.min() / volumes
    if not _kernel.common_shape(scatter, mass, weights):
        raise np.linalg.LinAlgError("a volume tends to zero")
    common = weights @ scatter.reshape(len(mass), -1) / mass.sum()
    covariances: Array = (common / weights[:, None]).reshape(scatter.shape)
    return covariances


def with_shape(scatter: Array) -> Array:
    """Scatter where a component without any (on which every shape is optimal) takes the shape of the pooled.

    It is made so small, 2⁻¹²⁰, that it counts for nothing in a common volume.
    """
    spread = scatter.reshape(len(scatter), -1).any(axis=1)
    if spread.all():
        return scatter
    scatter = scatter.copy()
    scatter[~spread] = scatter.sum(axis=0) * 2.0**-120
    return scatter
