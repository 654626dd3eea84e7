"""What parameters a mixture admits: π, μ, Σ and a noise component, from whatever a user gives, or a clear refusal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gaussmix.errors import ParameterError
from gaussmix.families import Family

Array = NDArray[np.float64]

# How far weights may be from summing to one: the rounding of a file with ten digits.
SUM_TOLERANCE = 1e-8
# |ln V| beyond which 1/V is not kept as a double beside its logarithm.
LARGEST_LOG = 690.0


def real_array(name: str, values: ArrayLike, ndim: int | None = None) -> Array:
    """A finite array of doubles, not empty, perhaps of so many dimensions."""
    try:
        array = np.array(values, dtype=np.float64, order="C")
    except (ValueError, TypeError):
        raise ParameterError(f"{name} must be an array of numbers, got {type(values).__name__}.") from None
    if ndim is not None and array.ndim != ndim:
        raise ParameterError(f"{name} must have {ndim} dimension(s), got shape {array.shape}.")
    if array.size == 0:
        raise ParameterError(f"{name} is empty; a mixture has at least one component and one feature.")
    if not np.all(np.isfinite(array)):
        raise ParameterError(f"{name} must be finite, got {array[~np.isfinite(array)][0]} among them.")
    return array


def checked_weights(values: ArrayLike, noise_weight: float, n_components: int) -> Array:
    """π (K,), eqs. (2), (3)."""
    weights = real_array("weights", values, 1)
    if len(weights) != n_components:
        raise ParameterError(f"{len(weights)} weights for {n_components} means; give one for each component.")
    if np.any(weights < 0):
        raise ParameterError(
            f"weights must not be negative, got {weights.min()} for component {weights.argmin()}."
        )
    total = float(weights.sum()) + noise_weight
    if abs(total - 1) > SUM_TOLERANCE:
        raise ParameterError(f"weights must sum to 1, their sum is {total:.12g}; divide them by it.")
    return weights


def checked_noise(weight: float, density: float, log_density: float | None) -> tuple[float, float]:
    """1/V and −ln V; the first counts where it is a positive number, the second beyond the range of a double."""
    if not 0 <= weight <= 1:
        raise ParameterError(f"noise_weight must lie in [0, 1], got {weight}.")
    if log_density is not None and math.isfinite(log_density) and not 0 < density < math.inf:
        density, log_density = noise_densities(log_density)
        if not 0 < density < math.inf:
            return density, log_density
    if not (0 <= density < math.inf):
        raise ParameterError(f"noise_density must be finite and not negative, got {density}.")
    if weight > 0 and density == 0:
        raise ParameterError(f"noise_weight={weight} needs a noise_density, the 1/V of its box.")
    return density, log(density)


def noise_densities(log_density: float) -> tuple[float, float]:
    """1/V and −ln V as a mixture keeps them: 1/V decides, and is 0 or ∞ beyond the range of a double."""
    if abs(log_density) > LARGEST_LOG:
        return (0.0 if log_density < 0 else math.inf), float(log_density)
    density = math.exp(log_density)
    return density, math.log(density)


def log(value: float) -> float:
    """ln of a number, −∞ of zero and less."""
    return math.log(value) if value > 0 else -math.inf


def checked_covariances(values: ArrayLike, family: Family, n_components: int, n_features: int) -> Array:
    """Σ in the family's storage, symmetric; whether positive definite, its whitening tells."""
    covariances = real_array("covariances", values)
    expected = family.structure.shape(n_components, n_features)
    if covariances.shape != expected:
        raise ParameterError(
            f"covariances of family {family.name} with {n_components} components and {n_features} features have "
            f"shape {expected}, got {covariances.shape}."
        )
    if expected[-2:] == (n_features, n_features) and family.structure.moment_shape(n_components, n_features)[
        1:
    ] == (
        n_features,
        n_features,
    ):
        flipped = np.swapaxes(covariances, -1, -2)
        scale = np.sqrt(np.abs(np.diagonal(covariances, axis1=-2, axis2=-1)))
        if np.any(np.abs(covariances - flipped) > 1e-8 * scale[..., :, None] * scale[..., None, :]):
            raise ParameterError(
                "covariances must be symmetric; average each with its transpose if that is meant."
            )
    return covariances


def feature_position(feature: Any, names: Sequence[str], n_features: int) -> int | None:
    """Where a feature given by position or by one of the ``names`` is; None if there is no such feature."""
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    if isinstance(feature, (int, np.integer)) and 0 <= feature < n_features:
        return int(feature)
    return None
