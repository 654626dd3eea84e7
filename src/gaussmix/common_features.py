"""Features in which all components agree, and what they do to a row: to its density much, to its component nothing.

Where every component has the same mean and variance of a feature and no covariance with the others, as after a fit to
rows that all hold one value there, p(x) = N(x_j | m, s²) p(x without j). A new row with another value lies so many
standard deviations away that rounding would swallow the differences between the components; apart from the others the
feature takes nothing from them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Relative differences of deviations that an M-step's rounding makes.
ROUNDING = 2.0**-48


def agreeing(means: Array, whitening: Array) -> NDArray[np.bool_]:
    """Which of the features (D,) tell nothing of the component, from means (K, D) and whitening in any moment shape."""
    common: NDArray[np.bool_] = np.all(means == means[0], axis=0)
    if not common.any():
        return common
    own = _own(whitening)
    common &= np.all(np.abs(own - own[0]) <= ROUNDING * own[0], axis=0)
    if whitening.ndim == 3:
        related = np.any(whitening != 0, axis=0) & ~np.eye(means.shape[1], dtype=bool)
        common &= ~np.any(related, axis=0) & ~np.any(related, axis=1)
    return common


def _own(whitening: Array) -> Array:
    """1/s of each feature where it is related to no other, (K or 1, D)."""
    return whitening if whitening.ndim == 2 else np.diagonal(whitening, axis1=1, axis2=2)


def others(
    rows: NDArray[Any], means: Array, whitening: Array, common: NDArray[np.bool_]
) -> tuple[Any, Array, Array]:
    """Rows, means and whitening of the other features."""
    kept = np.flatnonzero(~common)
    roots = whitening.take(kept, axis=1)
    return (
        rows.take(kept, axis=1),
        means.take(kept, axis=1),
        roots if roots.ndim == 2 else roots.take(kept, axis=2),
    )


def log_density_of(rows: NDArray[Any], means: Array, whitening: Array, common: NDArray[np.bool_]) -> Array:
    """Σ_j ln N(x_j | m_j, s_j²) over the common features, (N,), in nats."""
    scale = _own(whitening)[0, common]
    with np.errstate(over="ignore"):
        squared = np.square((rows[:, common] - means[0, common]) * scale).sum(axis=1)
    density: Array = np.sum(np.log(scale) - 0.5 * math.log(2 * math.pi)) - 0.5 * squared
    return density
