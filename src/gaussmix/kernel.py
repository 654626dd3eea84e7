"""The door to the native code: the signatures of `gaussmix.reference`, arrays in, arrays out.

float32 rows are computed in float32 within a tile of rows and summed in float64; where the parameters leave the
range in which squares of float32 are safe, the same rows are computed in float64.
"""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from gaussmix import _kernel
from gaussmix.reference import Sums

Array = NDArray[np.float64]

# Squares of residuals and of whitened residuals stay within float32 between these.
SINGLE_RANGE = (1e-12, 1e12)


def fold(
    rows: Array,
    row_weights: Array | None,
    log_weights: Array,
    means: Array,
    whitening: Array,
    log_noise: float = -math.inf,
    n_threads: int = 1,
) -> Sums:
    """E-step and sums of one block: mass, first, second, noise mass, Σw, Σ w ln p.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; it is seen within a tenth of a second.
    """
    mass, first, second = np.zeros(len(means)), np.zeros(means.shape), np.zeros(whitening.shape)
    single = _fits_single(rows, means, whitening)
    scalars = _kernel.fold(
        rows, row_weights, log_weights, means, whitening, log_noise, n_threads, single, mass, first, second
    )
    return mass, first, second, *scalars


def evaluate(
    rows: Array,
    log_weights: Array,
    means: Array,
    whitening: Array,
    log_noise: float = -math.inf,
    n_threads: int = 1,
    responsibilities: bool = True,
) -> tuple[Array, NDArray[np.int64], Array | None]:
    """ln p(x_n) (N,), the component of largest γ (N,) (K: noise), and γ (N, K + 1) if wanted."""
    log_density, labels = np.empty(len(rows)), np.empty(len(rows), dtype=np.int64)
    gamma = np.empty((len(rows), len(means) + 1)) if responsibilities else None
    single = _fits_single(rows, means, whitening)
    _kernel.evaluate(
        rows, log_weights, means, whitening, log_noise, n_threads, single, log_density, labels, gamma
    )
    return log_density, labels, gamma


def _fits_single(rows: Array, means: Array, whitening: Array) -> bool:
    """Whether to compute in float32: the rows are, and the parameters are within its range."""
    if rows.dtype != np.float32:
        return False
    smallest, largest = SINGLE_RANGE
    diagonal = whitening if whitening.ndim == 2 else np.diagonal(whitening, axis1=1, axis2=2)
    return bool(
        smallest < diagonal.min() and np.abs(whitening).max() < largest and np.abs(means).max() < largest
    )


def thread_count(n_jobs: int | None = None) -> int:
    """How many threads a fold may use: ``n_jobs``, or (None, negative) what affinity and OMP_NUM_THREADS leave."""
    available = len(os.sched_getaffinity(0))
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        available = min(available, int(limit))
    if n_jobs is None or n_jobs == -1:
        return available
    return n_jobs if n_jobs > 0 else max(1, available + 1 + n_jobs)
