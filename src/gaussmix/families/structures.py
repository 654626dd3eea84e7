"""How covariances are stored and accumulated: spherical, diagonal, tied, full.

The pass over rows sees only whitenings: ``(K, D)`` for axis-parallel components, ``(1, D, D)`` for one matrix
shared by all, ``(K, D, D)`` for one each. It accumulates second moments of the same shape, the ``moment_shape``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Structure:
    """Storage of K covariances of D features.

    Attributes
    ----------
    name : str
    shape : callable (K, D) -> tuple
        Shape of the stored covariances.
    moment_shape : callable (K, D) -> tuple
        Shape of the second moments that the pass accumulates, and of the whitening.
    spread : callable (covariances, D) -> Array
        The stored covariances in ``moment_shape``, as they are whitened.
    dense : callable (covariances, K, D) -> Array (K, D, D)
        The covariances written out in full.
    moments : callable (dense) -> Array
        Second moments (K, D, D) in ``moment_shape``.
    """

    name: str
    shape: Callable[[int, int], tuple[int, ...]]
    moment_shape: Callable[[int, int], tuple[int, ...]]
    spread: Callable[[Array, int], Array]
    dense: Callable[[Array, int, int], Array]
    moments: Callable[[Array], Array]


def _diagonal_matrices(variances: Array) -> Array:
    dense: Array = variances[:, :, None] * np.eye(variances.shape[1])
    return dense


def _diagonal(dense: Array) -> Array:
    return np.diagonal(dense, axis1=-2, axis2=-1).copy()


spherical = Structure(
    name="spherical",
    shape=lambda K, D: (K,),
    moment_shape=lambda K, D: (K, D),
    spread=lambda covariances, D: covariances.repeat(D).reshape(-1, D),
    dense=lambda covariances, K, D: _diagonal_matrices(np.repeat(covariances[:, None], D, axis=1)),
    moments=_diagonal,
)

diagonal = Structure(
    name="diagonal",
    shape=lambda K, D: (K, D),
    moment_shape=lambda K, D: (K, D),
    spread=lambda covariances, D: covariances,
    dense=lambda covariances, K, D: _diagonal_matrices(covariances),
    moments=_diagonal,
)

tied = Structure(
    name="tied",
    shape=lambda K, D: (D, D),
    moment_shape=lambda K, D: (1, D, D),
    spread=lambda covariances, D: covariances[None],
    dense=lambda covariances, K, D: np.repeat(covariances[None], K, axis=0),
    moments=lambda dense: dense.sum(axis=0, keepdims=True),
)

full = Structure(
    name="full",
    shape=lambda K, D: (K, D, D),
    moment_shape=lambda K, D: (K, D, D),
    spread=lambda covariances, D: covariances,
    dense=lambda covariances, K, D: covariances,
    moments=lambda dense: dense,
)
