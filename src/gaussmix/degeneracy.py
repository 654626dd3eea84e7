"""Which components of a fit describe too few rows to be believed.

A component counts as degenerate when regularisation supplies more than a tenth of its smallest eigenvalue, or when
its mass is below 3(D + 1) rows and its smallest eigenvalue relative to the pooled within-component covariance is
below 1e-3. Eigenvalues are taken in units of the features' own variances, so a change of units changes nothing.

Regularisation is the pseudo-rows; a conjugate prior is knowledge. What they supply is found by asking the family: its
M-step is solved with them and with half of them. Where Σ_k is a sum, half of what is supplied is missing then; where
components share a volume, a shape, all of the covariance, the answer is shared as they share it.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from gaussmix.kernel import Maximum, surely_sound
from gaussmix.maximisation import maximum
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior, PseudoRows
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]

SUPPLIED = 0.1
# Pseudo-rows that are a smaller part supply less than that: where components share nothing, and where one may give its
# shape to another.
HARDLY, HARDLY_SHARED = 0.9 * SUPPLIED, 1e-3
ALONE = ("VII", "VVI", "VVV")
FEW_ROWS = 3
RELATIVE = 1e-3
# Variances of a family that knows no units per feature, a sphere say, may be this far from those of the features.
LARGEST = 1e250


def degenerate_components(mixture: Mixture, statistics: Statistics, prior: Prior) -> tuple[int, ...]:
    """Indices of the degenerate components of a mixture; ``statistics`` are of a pass at it."""
    little_supplied, none_small = _surely_sound(mixture, statistics.mass, prior.pseudo_rows)
    if little_supplied and none_small:
        return ()
    spread = spread_features(prior)
    if not spread.any():
        return ()
    degenerate = np.zeros(len(statistics.mass), dtype=bool)
    if not little_supplied:
        degenerate |= _mostly_supplied(mixture, statistics, prior, spread)
    if not none_small:
        degenerate |= _small_beside_others(mixture, statistics.mass, spread)
    return tuple(int(k) for k in np.flatnonzero(degenerate))


class Degeneracy:
    """`degenerate_components`, asked once of each pass: its statistics belong to one mixture and one prior."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[Statistics, tuple[int, ...]] = WeakKeyDictionary()

    def of(self, mixture: Mixture, statistics: Statistics, prior: Prior) -> tuple[int, ...]:
        """Indices of the degenerate components."""
        if statistics not in self._known:
            self._known[statistics] = degenerate_components(mixture, statistics, prior)
        return self._known[statistics]


def spread_features(prior: Prior) -> NDArray[np.bool_]:
    """Which features vary at all; the others carry only the floor of their variance."""
    varying: NDArray[np.bool_] = ~prior.pseudo_rows.constant
    return varying


def _surely_sound(mixture: Mixture, mass: Array, pseudo_rows: PseudoRows) -> tuple[bool, bool]:
    """Whether bounds tell that pseudo-rows supply little, and that no component of few rows is small beside the others.

    Then no family need be asked, and no eigenvalue known.

    In units of the features' spread pseudo-rows are ν / (N_k + ν) of every eigenvalue, and tr(Σ_k⁻¹ R) is at least one
    over the smallest of Σ_k; tr(Σ_k⁻¹ P) is at least one over the smallest relative to the pooled P.
    """
    if pseudo_rows.any_constant:
        return False, False
    structure, n_features = mixture.family.structure, mixture.n_features
    return surely_sound(
        mixture.whitening,
        structure.spread(mixture.covariances, n_features),
        mass,
        pseudo_rows.deviations,
        pseudo_rows.count,
        HARDLY if mixture.family.name in ALONE else HARDLY_SHARED,
        FEW_ROWS * (n_features + 1),
        1 / RELATIVE,
    )


def _mostly_supplied(
    mixture: Mixture, statistics: Statistics, prior: Prior, spread: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """For each component whether more than a tenth of its smallest eigenvalue comes from pseudo-rows."""
    none = np.zeros(len(statistics.mass), dtype=bool)
    if prior.pseudo_rows.count == 0:
        return none
    with np.errstate(all="ignore"):
        try:
            found = [maximum(statistics, mixture, prior, supplied=part) for part in (1.0, 0.5)]
            if _largest_change(mixture, *found) < SUPPLIED / 2:
                return none
            whole, half = (_standardised(mixture, each.covariances, prior, spread) for each in found)
            smallest, missing = _smallest(whole, whole - half)
        except np.linalg.LinAlgError:  # not even with all of them
            return ~none
    much: NDArray[np.bool_] = missing > SUPPLIED / 2 * np.maximum(smallest, 0.0)
    return much


def _small_beside_others(mixture: Mixture, mass: Array, spread: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each component whether it has few rows, and is small in some direction beside the pooled covariance."""
    mass = np.maximum(mass, 1e-300)
    few: NDArray[np.bool_] = mass < FEW_ROWS * (spread.sum() + 1)
    if few.any():
        covariances = _spread_out(mixture, mixture.covariances, spread)
        pooled = np.tensordot(mass / mass.sum(), covariances, axes=1)
        few[few] = _relative_smallest(covariances[few], pooled) < RELATIVE
    return few


def _largest_change(mixture: Mixture, whole: Maximum, half: Maximum) -> float:
    """A bound of vᵀ(Σ_k − H_k)v / vᵀΣ_k v, for all v and k: the norm of W_k (Σ_k − H_k) W_kᵀ; inf if unknown."""
    if whole.prepared is None:
        return np.inf
    roots = whole.prepared.whitening
    change = mixture.family.structure.spread(whole.covariances - half.covariances, mixture.n_features)
    relative = roots * roots * change if roots.ndim == 2 else roots @ change @ np.swapaxes(roots, 1, 2)
    return float(np.sqrt((relative * relative).reshape(len(relative), -1).sum(axis=1).max()))


def _smallest(whole: Array, change: Array) -> tuple[Array, Array]:
    """Smallest eigenvalue of each covariance, and the change along its axis; both of variances or of matrices."""
    if whole.ndim == 2:
        least = whole.argmin(axis=1)[:, None]
        return np.take_along_axis(whole, least, 1)[:, 0], np.take_along_axis(change, least, 1)[:, 0]
    values, axes = np.linalg.eigh(whole)
    axis = axes[:, :, 0]
    return values[:, 0], np.einsum("ki,kij,kj->k", axis, change, axis)


def _spread_out(mixture: Mixture, covariances: Array, spread: NDArray[np.bool_]) -> Array:
    """Stored covariances as variances (K, D) or matrices (K, D, D) of the features that vary."""
    whole = mixture.family.structure.spread(covariances, mixture.n_features)
    if whole.ndim == 2:
        return whole[:, spread]
    matrices = whole[:, spread][:, :, spread]
    return np.broadcast_to(matrices, (mixture.n_components, *matrices.shape[1:]))


def _standardised(mixture: Mixture, covariances: Array, prior: Prior, spread: NDArray[np.bool_]) -> Array:
    """Stored covariances in units of the features' spread, without features that have none."""
    relative = _spread_out(mixture, covariances, spread)
    scale = np.sqrt(prior.variances[spread])
    relative = relative / scale / scale if relative.ndim == 2 else relative / scale[:, None] / scale
    clipped: Array = np.maximum(np.minimum(relative, LARGEST), -LARGEST)
    return clipped


def _relative_smallest(covariances: Array, pooled: Array) -> Array:
    """Smallest eigenvalue of each covariance in the metric of ``pooled``; in its own units, so that none overflows."""
    if pooled.ndim == 1:
        least: Array = (covariances / pooled).min(axis=1)
        return least
    scale = np.sqrt(np.diagonal(pooled))
    values, vectors = np.linalg.eigh(pooled / scale / scale[:, None])
    root = vectors / np.sqrt(np.maximum(values, 1e-300))
    smallest: Array = np.linalg.eigvalsh(root.T @ (covariances / scale / scale[:, None]) @ root)[:, 0]
    return smallest
