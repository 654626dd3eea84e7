"""Parameters that a user gives to start from: π_k, μ_k and Σ_k⁻¹, checked with scikit-learn's messages."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.errors import ParameterError
from gaussmix.families import Family

Array = NDArray[np.float64]


def shaped(name: str, values: ArrayLike, shape: tuple[int, ...]) -> Array:
    """``values`` as a finite array of that shape."""
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ParameterError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )
    if not np.all(np.isfinite(array)):
        first = array[~np.isfinite(array)][0]
        raise ParameterError(f"The parameter '{name}' should be finite, but got {first}.")
    return array


def normalised_weights(values: ArrayLike, n_components: int) -> Array:
    """π_k, eqs. (2), (3); divided by their sum, which single precision leaves a little beside 1."""
    weights = shaped("weights", values, (n_components,))
    if np.any(weights < 0) or np.any(weights > 1):
        raise ParameterError(
            "The parameter 'weights' should be in the range [0, 1], but got "
            f"max value {weights.max():.5f}, min value {weights.min():.5f}"
        )
    if abs(weights.sum() - 1) > 1e-6:
        raise ParameterError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {weights.sum():.5f}"
        )
    normalised: Array = weights / weights.sum()
    return normalised


def inverse(precisions: Array, family: Family, name: str) -> Array:
    """Σ_k of Σ_k⁻¹, in the family's storage: (L Lᵀ)⁻¹ = L⁻ᵀ L⁻¹ with the Cholesky factor L of a matrix."""
    if len(family.structure.moment_shape(2, 2)) == 2:
        if np.any(precisions <= 0):
            raise ParameterError(f"'{name}' should be positive, but got {precisions.min()}.")
        return 1 / precisions
    try:
        if not np.allclose(precisions, np.swapaxes(precisions, -1, -2), atol=1e-8 * np.abs(precisions).max()):
            raise np.linalg.LinAlgError("not symmetric")
        roots = np.linalg.inv(np.linalg.cholesky(precisions))
    except np.linalg.LinAlgError:
        raise ParameterError(f"'{name}' should be symmetric, positive-definite") from None
    covariances: Array = np.swapaxes(roots, -1, -2) @ roots
    return covariances
