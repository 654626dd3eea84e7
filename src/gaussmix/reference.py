"""The pass over rows, and whitening, in plain NumPy, equation by equation: the oracle of the native kernel.

Same signatures as `gaussmix.kernel`; float64 throughout, one component at a time, no tricks. Arrays in, arrays out:

rows (N, D); row_weights (N,) or None; log_weights (K,), ln π_k; means (K, D); whitening W in its moment shape,
(K, D), (1, D, D) or (K, D, D); log_noise = ln π_0 − ln V, the log density of the noise component (−inf: none).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Sums = tuple[Array, Array, Array, float, float, float]


class Evaluation(NamedTuple):
    """What there is to know of each row."""

    log_density: Array  # (N,) ln p(x_n)
    labels: NDArray[np.int64]  # (N,) the component of largest γ; K is noise
    responsibilities: Array  # γ (N, K), or (N, K + 1) with noise last


class Prepared(NamedTuple):
    """Parameters as the pass wants them.

    W_k is lower triangular with W_k Σ_k W_kᵀ = I: the Mahalanobis distance is |W_k(x − μ_k)|², ln|Σ_k| = −2 ln|W_k|.
    """

    log_weights: Array  # (K,) ln π_k
    whitening: Array  # W_k in the moment shape
    log_root: float  # the sum of ln|W_k| over the matrices in ``whitening``


def _whitened(rows: Array, means: Array, whitening: Array) -> Iterator[tuple[Array, Array, float]]:
    """For each component: residuals x − μ_k (N, D), W_k(x − μ_k) (N, D), and ln|W_k| = −½ ln|Σ_k|."""
    for k, mean in enumerate(means):
        residuals = rows.astype(np.float64) - mean
        if whitening.ndim == 2:
            yield residuals, residuals * whitening[k], float(np.log(whitening[k]).sum())
        else:
            root = whitening[min(k, len(whitening) - 1)]
            yield residuals, residuals @ root.T, float(np.log(np.diagonal(root)).sum())


def log_component_densities(
    rows: NDArray[Any], log_weights: Array, means: Array, whitening: Array, log_noise: float = -math.inf
) -> Array:
    """ln π_k N(x_n | μ_k, Σ_k) of eq. (1), (N, K + 1); the last column is the noise component."""
    logs = np.empty((len(rows), len(means) + 1))
    constant = -0.5 * means.shape[1] * math.log(2 * math.pi)
    for k, (_, whitened, log_root) in enumerate(_whitened(rows, means, whitening)):
        logs[:, k] = log_weights[k] + constant + log_root - 0.5 * np.einsum("nd,nd->n", whitened, whitened)
    logs[:, -1] = log_noise
    return logs


def bayes(logs: Array) -> tuple[Array, Array]:
    """ln p(x_n), (N,), and γ(z_nk), eqs. (4), (5), shape of ``logs``, by a log-sum-exp shifted by the maximum.

    A row whose every log density is −inf (beyond 1e150 standard deviations) has γ = 0 here.
    """
    largest = logs.max(axis=1)
    shifted = np.exp(logs - np.where(np.isfinite(largest), largest, 0.0)[:, None])
    total = shifted.sum(axis=1)
    with np.errstate(divide="ignore"):
        log_density = np.where(total > 0, largest + np.log(total), -np.inf)
    return log_density, shifted / np.where(total > 0, total, 1.0)[:, None]


def accumulate(
    rows: NDArray[Any],
    row_weights: Array | None,
    responsibilities: Array,
    origin: Array,
    moment_shape: tuple[int, ...],
) -> tuple[Array, Array, Array]:
    """Mass (K,), first (K, D) and second moments (``moment_shape``) of given responsibilities (N, K) about origin."""
    n_components = len(origin)
    mass, first, second = np.zeros(n_components), np.zeros_like(origin), np.zeros(moment_shape)
    for k in range(n_components):
        gamma = responsibilities[:, k] if row_weights is None else responsibilities[:, k] * row_weights
        residuals = rows.astype(np.float64) - origin[k]
        mass[k] = gamma.sum()
        first[k] = gamma @ residuals
        if second.ndim == 2:
            second[k] = gamma @ residuals**2
        else:
            moment = (residuals * gamma[:, None]).T @ residuals
            second[min(k, len(second) - 1)] += (moment + moment.T) / 2
    return mass, first, second


def fold(
    rows: NDArray[Any],
    row_weights: Array | None,
    log_weights: Array,
    means: Array,
    whitening: Array,
    log_noise: float = -math.inf,
    n_threads: int = 1,
    memo: dict[str, Any] | None = None,
) -> Sums:
    """E-step and sums of one block: mass, first, second, noise mass, Σw, Σ w ln p."""
    log_density, gamma = bayes(log_component_densities(rows, log_weights, means, whitening, log_noise))
    weights = np.ones(len(rows)) if row_weights is None else np.asarray(row_weights, dtype=np.float64)
    mass, first, second = accumulate(rows, weights, gamma, means, whitening.shape)
    noise_mass, weight = float(weights @ gamma[:, -1]), float(weights.sum())
    return (
        mass,
        first,
        second,
        noise_mass,
        weight,
        float(np.where(weights > 0, weights * log_density, 0.0).sum()),
    )


def evaluate(
    rows: NDArray[Any],
    log_weights: Array,
    means: Array,
    whitening: Array,
    log_noise: float = -math.inf,
    n_threads: int = 1,
    wanted: Collection[str] = Evaluation._fields,
) -> Evaluation:
    """What there is to know of each row; what is not ``wanted``, by name, is empty."""
    logs = log_component_densities(rows, log_weights, means, whitening, log_noise)
    log_density, gamma = bayes(logs)
    gamma = gamma if log_noise > -math.inf else gamma[:, :-1]
    found = Evaluation(log_density, logs.argmax(axis=1), gamma)
    return found._replace(**{name: each[:0] for name, each in found._asdict().items() if name not in wanted})


def prepare(weights: Array, covariances: Array) -> Prepared:
    """Parameters as the pass wants them, from weights (K,) and covariances as variances (K, D) or matrices (K, D, D).

    Raises
    ------
    numpy.linalg.LinAlgError
        A covariance is not positive definite, or not finite.
    """
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    if not np.all(np.isfinite(covariances)):
        raise np.linalg.LinAlgError("a covariance is not finite")
    if covariances.ndim == 2:
        if not np.all(covariances > 0):
            raise np.linalg.LinAlgError("a variance is not positive")
        whitening = diagonal = 1 / np.sqrt(covariances)
    else:
        whitening = np.tril(np.linalg.inv(np.linalg.cholesky(covariances)))
        diagonal = np.diagonal(whitening, axis1=1, axis2=2)
    return Prepared(log_weights, whitening, float(np.log(diagonal).sum()))
