"""Which components of a fit describe too few rows to be believed, and how to say so.

A component counts as degenerate when regularisation supplies more than a tenth of its smallest eigenvalue, or when
its mass is below 3(D + 1) rows and its smallest eigenvalue relative to the pooled within-component covariance is
below 1e-3. Eigenvalues are taken in units of the features' own variances, so a change of units changes nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gaussmix.mixture import Mixture
from gaussmix.priors import PseudoRows

SUPPLIED = 0.1
FEW_ROWS = 3
RELATIVE = 1e-3


def degenerate_components(mixture: Mixture, prior: PseudoRows, weight: float) -> tuple[int, ...]:
    """Indices of the degenerate components of a mixture fitted to rows of total ``weight`` under ``prior``."""
    spread = spread_features(prior)
    if not spread.any():
        return ()
    scale = np.sqrt(prior.variances[spread])
    covariances = mixture.full_covariances[:, spread][:, :, spread] / scale[:, None] / scale
    mass = mixture.weights * weight
    supplied = prior.count / np.maximum(mass + prior.count, 1e-300)
    smallest = np.linalg.eigvalsh(covariances)[:, 0]
    pooled = np.einsum("k,kij->ij", mixture.weights / max(mixture.weights.sum(), 1e-300), covariances)
    few = mass < FEW_ROWS * (spread.sum() + 1)
    thin = np.zeros(len(mass), dtype=bool)
    if few.any():
        thin[few] = _relative_smallest(covariances[few], pooled) < RELATIVE
    return tuple(int(k) for k in np.flatnonzero((supplied > SUPPLIED * smallest) | thin))


def spread_features(prior: PseudoRows) -> NDArray[np.bool_]:
    """Which features vary at all; the others carry only the floor of their variance."""
    varying: NDArray[np.bool_] = ~prior.constant
    return varying


def _relative_smallest(covariances: NDArray[np.float64], pooled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest eigenvalue of each covariance in the metric of ``pooled``."""
    values, vectors = np.linalg.eigh(pooled)
    root = vectors / np.sqrt(np.maximum(values, 1e-300))
    smallest: NDArray[np.float64] = np.linalg.eigvalsh(root.T @ covariances @ root)[:, 0]
    return smallest
