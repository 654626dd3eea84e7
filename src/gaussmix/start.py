"""Where EM starts: labels, responsibilities or seeds become the first mixture.

Seeding happens on a subsample of at most 10 000 rows, in units of the features' spread, so that neither the
number of rows nor the units of the features matter; the first M-step takes its scale from all rows. k-means++ is
Arthur & Vassilvitskii 2007 with the greedy choice among 2 + ln K candidates; Lloyd 1982 the short run after it.
"""

from __future__ import annotations

import math
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaussmix import families, reference
from gaussmix.errors import DataError, SingularError
from gaussmix.kernel import class_sums, seeds_of
from gaussmix.maximisation import Collapse, m_step
from gaussmix.mixture import Mixture
from gaussmix.moments import variances_of
from gaussmix.noise import LEAST, noisy_rows, with_noise
from gaussmix.priors import Prior, PseudoRows
from gaussmix.rows import Block, Source
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]

SEED_ROWS = 10_000
LLOYD_STEPS = 5
# Radius of k-means' spheres, in units of the metric.
RADIUS = 1e-4
# Numbers that a table of points and centres may hold.
SCORES = 1 << 18
STRATEGIES = ("kmeans", "k-means++", "random", "random_from_data")


def data_prior(source: Source, n_components: int, reg_covar: float, n_threads: int = 1) -> PseudoRows:
    """The pseudo-rows for this data: ν = reg_covar·N/K, R = diag(variances); one pass.

    A feature without spread takes the variance (2⁻⁵²·max|x_j|)², at least 1e-300.
    """
    middle, _, scatter, weight = variances_of(source, n_threads)
    variances = scatter / weight
    constant = variances <= 0
    floor = np.maximum((2.0**-52 * np.abs(middle)) ** 2, 1e-300)
    rows = weight / n_components
    return PseudoRows(reg_covar * rows, np.where(constant, floor, variances), constant, rows)


def standardise(block: Block, prior: Prior, whitening: Array | None = None) -> Array:
    """Rows (n, D) of the block with mean 0, in units of the features' spread unless there is a ``whitening``.

    Correlation stays: it is mostly the distance of the clusters, which whitening would shrink to two units.
    """
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    centred = block.rows - block.rows[0]
    centred = centred - weights @ centred / weights.sum()
    if whitening is None:
        whitening = 1 / np.sqrt(prior.variances)
    standardised: Array = centred * whitening if whitening.ndim == 1 else centred @ whitening.T
    return standardised


def kmeans_plus_plus(
    points: Array, weights: Array, n_seeds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Indices of ``n_seeds`` of the points (n, D), each drawn with probability ∝ weight × squared distance."""
    first = int(rng.choice(len(points), p=weights / weights.sum()))
    chances = rng.random((n_seeds - 1, 2 + int(math.log(n_seeds))))
    seeds = seeds_of(points, weights, first, chances)
    if len(seeds) == n_seeds:
        return seeds
    # Fewer distinct points than seeds: take any that are left.
    left = np.setdiff1d(np.arange(len(points)), seeds)
    return np.concatenate([seeds, rng.choice(left, n_seeds - len(seeds), replace=False)])


def nearest_labels(points: Array, centres: Array) -> NDArray[np.int64]:
    """The nearest of the centres (K, D) for each of the points (n, D)."""
    half_squares = 0.5 * np.einsum("kd,kd->k", centres, centres)
    labels = np.empty(len(points), dtype=np.int64)
    step = max(1, SCORES // len(centres))
    for begin in range(0, len(points), step):
        scores = points[begin : begin + step] @ centres.T - half_squares
        scores.argmax(axis=1, out=labels[begin : begin + step])
    return labels


def lloyd(points: Array, weights: Array, centres: Array) -> NDArray[np.int64] | None:
    """Labels (n,) after a few steps of k-means from ``centres`` (K, D); None when these leave a cluster empty at once.

    It is EM of spheres so small that responsibilities are zero or one. When a cluster loses its last point, the step
    before counts.
    """
    n_clusters = len(centres)
    rows = points.astype(np.float32)
    shares, variances = np.full(n_clusters, 1 / n_clusters), np.full(n_clusters, RADIUS**2)
    spheres = None
    for _ in range(LLOYD_STEPS + 1):
        trial = Mixture.unchecked(shares, centres, variances, "EII")
        found = trial.fold(rows, weights)
        if np.any(found.mass <= 0):
            break
        spheres, step = trial, found.first / found.mass[:, None]
        if np.abs(step).max() < RADIUS:
            break
        centres = centres + step
    if spheres is None:
        return None
    labels = spheres.evaluate(rows, wanted=["labels"]).labels
    return labels if np.bincount(labels, minlength=n_clusters).all() else None


def seed_labels(
    strategy: str, points: Array, weights: Array, n_components: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """A component for each of the standardised points (n, D), by one of `STRATEGIES` but "random"."""
    if strategy == "random_from_data":
        seeds = rng.choice(len(points), n_components, replace=False, p=weights / weights.sum())
    else:
        seeds = kmeans_plus_plus(points, weights, n_components, rng)
    labels = lloyd(points, weights, points[seeds]) if strategy == "kmeans" else None
    if labels is None:
        labels = nearest_labels(points, points[seeds])
        labels[seeds] = np.arange(n_components)
    return labels


def seeded(
    source: Source,
    strategy: str,
    blank: Mixture,
    prior: Prior,
    rng: np.random.Generator,
    equal_weights: bool,
    n_rows: int = SEED_ROWS,
    whitening: Array | None = None,
) -> Mixture:
    """The first mixture by one of `STRATEGIES`; ``blank`` gives K, D, family and noise.

    Distances are in units of the features' spread, or those of a ``whitening`` (D,) or (D, D).
    Every component gains at least one pseudo-row here, so that a seed on an outlier does not start as a point.
    """
    n_components = blank.n_components
    block = source.sample(max(n_rows, 40 * n_components), rng)
    if len(block.rows) < n_components:
        raise DataError(f"n_components={n_components} needs at least as many rows, got {len(block.rows)}.")
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    points = standardise(block, prior, whitening)
    noisy = noisy_rows(points, weights, blank, prior, rng)
    if strategy == "random":
        gamma = rng.random((len(points), n_components))
        gamma /= gamma.sum(axis=1, keepdims=True)
        statistics = _statistics([(block, with_noise(gamma, noisy) if blank.has_noise else gamma)], blank)
    else:
        labels = np.full(len(points), -1)
        labels[~noisy] = seed_labels(strategy, points[~noisy], weights[~noisy], n_components, rng)
        statistics = _classes(block, labels, blank)
    # The sample stands for all rows, so the prior weighs as much beside it as it will beside them.
    sampled = prior.thinned(float(weights.sum()) / source.weight, at_least=float(weights.mean()))
    return _checked(m_step(statistics, blank, sampled, equal_weights))


def from_responsibilities(
    source: Source, responsibilities: Array, blank: Mixture, prior: Prior, equal_weights: bool
) -> Mixture:
    """The first mixture from responsibilities (N, K) or (N, K + 1) of all rows, in the source's order."""
    pairs: list[tuple[Block, Array]] = []

    def collect(block: Block) -> Array:
        done = sum(len(earlier.rows) for earlier, _ in pairs)
        pairs.append((block, responsibilities[done : done + len(block.rows)]))
        return np.empty(0)

    source.map(collect)
    return _checked(m_step(_statistics(pairs, blank), blank, prior, equal_weights))


def from_means(source: Source, means: Array, blank: Mixture, prior: Prior, equal_weights: bool) -> Mixture:
    """The first mixture from given ``means`` (K, D): sampled rows go to the nearest, in units of their spread."""
    block = source.sample(max(SEED_ROWS, 40 * len(means)), np.random.default_rng(0))
    scale = np.sqrt(prior.variances)
    points = (block.rows - means[0]) / scale
    labels = nearest_labels(points, (means - means[0]) / scale)
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    labels[noisy_rows(points, weights, blank, prior, np.random.default_rng(0))] = -1
    sampled = prior.thinned(float(weights.sum()) / source.weight, at_least=float(weights.mean()))
    return _checked(m_step(_classes(block, labels, blank), blank, sampled, equal_weights))


def blank_mixture(n_components: int, covariance_type: str, prior: Prior, **fields: Any) -> Mixture:
    """K equal components with the data's variances, at zero: the shape of what a start fills in."""
    family = families.get(covariance_type)
    n_features = len(prior.variances)
    mass = np.ones(n_components)
    shape = family.structure.moment_shape(n_components, n_features)
    row = prior.variances if len(shape) == 2 else np.diag(prior.variances)
    scatter = np.broadcast_to(n_components // shape[0] * row, shape)
    covariances = family.solve(scatter, mass, None)
    means = np.zeros((n_components, n_features))
    return Mixture.unchecked(mass / n_components, means, covariances, covariance_type, **fields)


def _checked(mixture: Mixture | Collapse) -> Mixture:
    if isinstance(mixture, Collapse):
        raise SingularError(
            f"the start is singular ({mixture.why}) and reg_covar=0 leaves it so; "
            "use the default reg_covar=1e-6, fewer components or a simpler covariance_type."
        )
    return mixture


def _statistics(pairs: list[tuple[Block, Array]], blank: Mixture) -> Statistics:
    """Statistics of given responsibilities, about their own means; two visits. Their L is not known (NaN)."""
    origin = np.repeat(pairs[0][0].rows[:1].astype(np.float64), blank.n_components, axis=0)
    return _sums(pairs, blank, _sums(pairs, blank, origin).scatter()[0])


def _classes(block: Block, labels: NDArray[np.int64], blank: Mixture) -> Statistics:
    """Statistics of rows that belong to one component each, about its mean; with a noise component, −1 is noise.

    What `_statistics` says of responsibilities zero and one, without a table of them.
    """
    weights = np.ones(len(block.rows)) if block.weights is None else block.weights
    noise = float(weights[labels < 0].sum())
    if blank.has_noise:
        noise += LEAST * float(weights[labels >= 0].sum())
        weights = np.where(labels < 0, weights, (1 - LEAST) * weights)
    shape = blank.family.structure.moment_shape(*blank.means.shape)
    origin, mass, first, second = class_sums(block.rows, weights, labels, blank.n_components, shape)
    origin[mass == 0] = block.rows[0]
    weight = float(len(block.rows) if block.weights is None else block.weights.sum())
    return Statistics(origin, mass, first, second, noise, weight, len(block.rows), math.nan)


def _sums(pairs: list[tuple[Block, Array]], blank: Mixture, origin: Array) -> Statistics:
    moment_shape = blank.family.structure.moment_shape(*origin.shape)
    parts = []
    for block, gamma in pairs:
        weights = np.ones(len(block.rows)) if block.weights is None else block.weights
        sums = reference.accumulate(block.rows, weights, gamma, origin, moment_shape)
        noise = float(weights @ gamma[:, len(origin)]) if gamma.shape[1] > len(origin) else 0.0
        parts.append(Statistics(origin, *sums, noise, float(weights.sum()), len(block.rows), math.nan))
    return reduce(Statistics.__add__, parts)
