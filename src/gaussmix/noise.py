"""The noise component: outliers uniform over a box, π_0 / V beside Σ_k π_k N(x | μ_k, Σ_k) (Banfield & Raftery 1993).

V is the volume of the smaller of two boxes around the rows, one along the features and one along their principal
axes, in logarithms: fifty features of range 1e7 have V = 1e350. In a feature without spread components have
the density 1/√(2π Σ_jj) at the one value; noise takes the same, so that such a feature says nothing of who is noise.

EM finds out which rows are noise but needs to start somewhere: where nothing is given, a row of the sample starts as
noise when the density of rows around it, k / (n · volume of the ball to its k-th neighbour) (Byers & Raftery 1998),
is below 1/V, what it would be if all rows were spread evenly over the box.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix.errors import ParameterError
from gaussmix.mixture import Mixture
from gaussmix.moments import moments_of
from gaussmix.parameters import noise_densities
from gaussmix.priors import Prior
from gaussmix.rows import Block, Source

Array = NDArray[np.float64]

# Rows that are turned at a time, values of a table of distances, rows whose neighbours are counted, and how many.
CHUNK = 8192
TABLE = 1 << 21
NEIGHBOURHOOD = 2000
NEIGHBOURS = 10
# Every row starts as noise to at least this part: a weight π_0 of zero would stay zero.
LEAST = 0.01


@dataclass(frozen=True, eq=False)
class Extent:
    """Smallest and largest values (J,) of some rows; extents add to that of all rows."""

    low: Array
    high: Array

    def __add__(self, other: Extent) -> Extent:
        return Extent(np.minimum(self.low, other.low), np.maximum(self.high, other.high))

    @property
    def widths(self) -> Array:
        """Largest minus smallest."""
        return self.high - self.low


def check_noise(noise: Any, hypervolume: Any) -> None:
    """Refuse settings out of range, each with its own message."""
    if not isinstance(noise, (bool, np.bool_)):
        raise ParameterError(f"noise must be True or False, got {noise!r}.")
    if hypervolume is None:
        return
    if not isinstance(hypervolume, numbers.Real) or not 0 < float(hypervolume) < math.inf:
        raise ParameterError(f"hypervolume must be None or a positive number, got {hypervolume!r}.")
    if not noise:
        raise ParameterError(f"hypervolume={hypervolume!r} is the volume of the noise's box; set noise=True.")


def with_component(blank: Mixture, source: Source, prior: Prior, hypervolume: float | None) -> Mixture:
    """``blank`` with a noise component of the given volume, or of the data's; its weight is still 0."""
    volume = log_volume(source, blank, prior) if hypervolume is None else math.log(hypervolume)
    parameters = (blank.weights, blank.means, blank.covariances, blank.covariance_type)
    density, log_density = noise_densities(-volume)
    return Mixture.unchecked(*parameters, 0.0, density, blank.feature_names, log_density)


def log_volume(source: Source, blank: Mixture, prior: Prior) -> float:
    """ln V of the smaller of the bounding box and the box along the principal axes; two passes."""
    varying = ~prior.pseudo_rows.constant
    if not varying.any():
        return _log_constant(blank, prior)
    middle, _, scatter, weight = moments_of(source)
    axes = np.linalg.eigh(scatter[varying][:, varying])[1]
    extent = source.fold(lambda block: _extent(block, middle, axes, varying))
    box, turned = np.split(extent.widths, 2)
    variances = prior.variances[varying]
    volume = float(np.log(np.maximum(box, np.sqrt(variances))).sum())
    # Where the rows lie in a plane, but for rounding or what pseudo-rows add to it, that box has no volume.
    thinnest = np.sqrt(2 * np.pi * prior.pseudo_rows.count / weight * (variances @ axes**2))
    rounding = 64 * 2.0**-52 * max(float(box.max()), float(np.abs(middle).max()))
    if np.all(turned > np.maximum(thinnest, rounding)):
        volume = min(volume, float(np.log(turned).sum()))
    return volume + _log_constant(blank, prior)


def _log_constant(blank: Mixture, prior: Prior) -> float:
    """ln of the widths √(2π Σ_jj) of features without spread, in a mixture of the data's own variances."""
    constant = prior.pseudo_rows.constant
    variances = np.diagonal(blank.full_covariances[0])[constant]
    return float(0.5 * np.log(2 * np.pi * variances).sum())


def _extent(block: Block, middle: Array, axes: Array, varying: NDArray[np.bool_]) -> Extent:
    """The extent of a block along the features that vary, and along the ``axes``."""
    parts = []
    for begin in range(0, len(block.rows), CHUNK):
        rows = block.rows[begin : begin + CHUNK]
        if block.weights is not None:
            rows = rows[block.weights[begin : begin + CHUNK] > 0]
        if len(rows):
            centred = (rows - middle)[:, varying]
            both = np.concatenate([centred, centred @ axes], axis=1)
            parts.append(Extent(both.min(axis=0), both.max(axis=0)))
    if not parts:
        nothing = np.full(2 * len(axes), np.inf)
        return Extent(nothing, -nothing)
    return Extent(np.min([part.low for part in parts], axis=0), np.max([part.high for part in parts], axis=0))


def noisy_rows(
    points: Array, weights: Array, blank: Mixture, prior: Prior, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which of the standardised points (n, D) lie where rows are rarer than 1/V, the noise density of ``blank``.

    At most half of the weight, the sparsest; none, where too few would be left for the components.
    """
    varying = ~prior.pseudo_rows.constant
    if not blank.has_noise or not varying.any():
        return np.zeros(len(points), dtype=bool)
    log_scale = 0.5 * np.log(prior.variances[varying])
    uniform = blank.noise_log_density + _log_constant(blank, prior) + float(log_scale.sum())
    sparse = neighbour_density(points[:, varying], weights, rng) - uniform
    order = np.argsort(sparse, kind="stable")
    noisy = np.zeros(len(points), dtype=bool)
    noisy[order] = (sparse[order] < 0) & (np.cumsum(weights[order]) <= weights.sum() / 2)
    if (~noisy).sum() < blank.n_components:
        noisy[:] = False
    return noisy


def neighbour_density(points: Array, weights: Array, rng: np.random.Generator) -> Array:
    """ln of the density of rows around each of the points (n, D), from the distance to its k-th neighbour."""
    n_points, n_features = points.shape
    some = min(n_points, NEIGHBOURHOOD)
    again = bool(np.ptp(weights) > 0)  # a row of weight two is drawn twice as often, and is two rows then
    chosen = rng.choice(n_points, some, replace=again, p=weights / weights.sum())
    others, k = points[chosen], min(NEIGHBOURS, max(1, some // 20))
    squares = np.einsum("nd,nd->n", others, others)
    nearest = np.empty(n_points)
    for begin in range(0, n_points, max(1, TABLE // some)):
        rows = points[begin : begin + max(1, TABLE // some)]
        # Without |x|², which is the same for all neighbours of x. The nearest is the row itself.
        distances = squares - 2 * rows @ others.T
        kth = np.partition(distances, min(k, some - 1), axis=1)[:, min(k, some - 1)]
        nearest[begin : begin + len(rows)] = kth + np.einsum("nd,nd->n", rows, rows)
    log_ball = 0.5 * n_features * math.log(math.pi) - math.lgamma(n_features / 2 + 1)
    with np.errstate(divide="ignore"):
        radius = 0.5 * np.log(np.maximum(nearest, 0.0))
    density: Array = math.log(k / some) - log_ball - n_features * radius
    return density


def with_noise(responsibilities: Array, noisy: NDArray[np.bool_]) -> Array:
    """Responsibilities (n, K) and the noise's beside them, (n, K + 1): 1 where rows are ``noisy``."""
    share = np.where(noisy, 1.0, LEAST)[:, None]
    joined: Array = np.concatenate([responsibilities * (1 - share), share], axis=1)
    return joined
