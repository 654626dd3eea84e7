"""Volume, shape and orientation of given covariances: Σₖ = λₖ Dₖ diag(Aₖ) Dₖᵀ with |Aₖ| = 1.

The decomposition of Banfield & Raftery (1993) and Celeux & Govaert (1995).
"""

from __future__ import annotations

import numpy as np

from gaussmix import _kernel
from gaussmix.families import Array


def decompose(dense: Array, orientation: str) -> tuple[Array, Array, Array]:
    """Volume λ (K,), shape A (K, D) and orientation D (K, D, D) of covariances (K, D, D) or variances (K, D).

    ``orientation`` is the third letter of the family: I, the features themselves; E, one orientation for all,
    its axes ordered by their mean log variance; V, each its own, its axes by decreasing variance. An axis
    points to where its largest entry is positive.
    """
    variances, axes = _ORIENTATIONS[orientation](dense)
    logarithms = np.log(variances)
    mean = logarithms.mean(axis=1)
    return np.exp(mean), np.exp(logarithms - mean[:, None]), axes


def _features(dense: Array) -> tuple[Array, Array]:
    K, D = dense.shape[:2]
    variances = dense if dense.ndim == 2 else dense.diagonal(axis1=1, axis2=2)
    return variances, np.broadcast_to(np.eye(D), (K, D, D))


def _shared(dense: Array) -> tuple[Array, Array]:
    scale = dense.trace(axis1=1, axis2=2)
    # Flury & Gautschi's measure with every component alike: least where D diagonalises them all.
    axes, diagonals = np.empty(dense.shape[1:]), np.empty(dense.shape[:2])
    if not _kernel.common_axes(dense / scale[:, None, None], np.ones(len(dense)), axes, diagonals):
        raise np.linalg.LinAlgError("a covariance is flat along a common axis")
    order = np.argsort(-np.log(diagonals).mean(axis=0), kind="stable")
    return diagonals[:, order] * scale[:, None], np.repeat(_signed(axes[:, order])[None], len(dense), axis=0)


def _own(dense: Array) -> tuple[Array, Array]:
    variances, axes = np.linalg.eigh(dense)
    return variances[:, ::-1], _signed(axes[:, :, ::-1])


_ORIENTATIONS = {"I": _features, "E": _shared, "V": _own}


def _signed(axes: Array) -> Array:
    """Axes (..., D, D), in columns, each with its largest entry positive."""
    largest = np.take_along_axis(axes, np.abs(axes).argmax(axis=-2)[..., None, :], axis=-2)
    signed: Array = axes * np.where(largest < 0, -1.0, 1.0)
    return signed
