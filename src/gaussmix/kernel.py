"""The door to the native code, arrays in, arrays out: the pass, with the signatures of `gaussmix.reference`, and more.

float32 rows are computed in float32 within a tile of rows and summed in float64; where the parameters or weights
leave the range in which squares of float32 are safe, or a row lies so far out that one overflows, the same rows are
computed in float64.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix import _kernel
from gaussmix.errors import ParameterError
from gaussmix.reference import Evaluation, Prepared, Sums
from gaussmix.statistics import Statistics

if TYPE_CHECKING:
    from gaussmix.families import Family
    from gaussmix.priors import Supplement

Array = NDArray[np.float64]


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
    """E-step and sums of one block: mass, first, second, noise mass, Σw, Σ w ln p.

    With a ``memo`` rows may leave out components that have nothing to do with them: a row loses less than 1e-14 of its
    density, a component less than 1e-13 of its mass, one of less than one row nothing. The first pass for which that
    pays keeps the `spatial_order` of the rows there; whether it pays depends on the rows and the mixture alone.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C; it is seen within a tenth of a second.
    """
    tiles = order = None
    if memo is not None:
        tiles, order = _compact_tiles(rows, len(means), memo), memo.get("order")
    sums = _kernel.fold(rows, row_weights, log_weights, means, whitening, log_noise, n_threads, tiles, order)
    if sums is not None:
        return sums
    # Leaving out components would pay.
    assert memo is not None
    memo["order"] = spatial_order(rows, n_threads)
    return fold(rows, row_weights, log_weights, means, whitening, log_noise, n_threads, memo)


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
    n_rows, columns = len(rows), len(means) + (log_noise > -math.inf)
    found = Evaluation(
        np.empty(n_rows if "log_density" in wanted else 0),
        np.empty(n_rows if "labels" in wanted else 0, dtype=np.int64),
        np.empty((n_rows if "responsibilities" in wanted else 0, columns)),
    )

    _kernel.evaluate(rows, log_weights, means, whitening, log_noise, n_threads, *found)
    return found


class Maximum(NamedTuple):
    """What an M-step found: π_k, μ_k, Σ_k as stored, π_0; and prepared, where every covariance is positive definite."""

    weights: Array
    means: Array
    covariances: Array
    noise_weight: float
    prepared: Prepared | None


def maximised(
    statistics: Statistics,
    supplement: Supplement,
    family: Family,
    previous: Array,
    equal_weights: bool = False,
) -> Maximum:
    """The M-step of a family, from its ``previous`` covariances.

    Raises
    ------
    numpy.linalg.LinAlgError
        The maximum does not exist.
    """
    found = _kernel.maximise(
        statistics,
        bool(equal_weights),
        *supplement,
        family.name[:2],
        family.axes,
        previous,
    )
    if found is None:
        raise np.linalg.LinAlgError("no covariances maximise the likelihood: one tends to be singular")
    weights, means, covariances, noise_weight, log_weights, whitening, log_root = found
    prepared = None if math.isnan(log_root) else Prepared(log_weights, whitening, log_root)
    return Maximum(weights, means, covariances, noise_weight, prepared)


def coordinates(
    several: Sequence[Statistics], means: Array, whitening: Array, masses: Array
) -> tuple[Array, int, float]:
    """Statistics as vectors, one a row, how many entries are theirs, and how far the last two are apart, squared.

    These are noise mass, mass, first and second about ``means``. Behind them is what compares them: noise mass / √N,
    mass / √N_k, W_k first / √N_k and sizes (tr(W_kᵀ W_k second) − D mass) / √(2 D N_k), one for each covariance matrix.
    N_k are the given ``masses``, N their sum.
    """
    return _kernel.coordinates(several, means, masses, whitening)


def proposed(vectors: Array, last: Statistics, ahead: float) -> Statistics | None:
    """The step of `gaussmix.acceleration`, so many of EM's ``ahead``, from `coordinates` of (u, g), …, if there is one.

    The ``last`` of these say of which rows the vectors are statistics, about which means and in which shapes.
    """
    found = _kernel.propose(vectors, last, ahead)
    if found is None:
        return None
    noise_mass, mass, first, second = found
    rest = (noise_mass, last.weight, last.rows, last.log_likelihood)
    return Statistics(last.origin, mass, first, second, *rest)


def prepare(weights: Array, covariances: Array) -> Prepared:
    """Parameters as the pass wants them, from weights (K,) and covariances as variances (K, D) or matrices (K, D, D).

    Raises
    ------
    numpy.linalg.LinAlgError
        A covariance is not positive definite, or not finite.
    """
    log_weights, whitening, log_root = _kernel.prepare(weights, covariances)
    if math.isnan(log_root):
        raise np.linalg.LinAlgError("a covariance is not positive definite, or not finite")
    return Prepared(log_weights, whitening, log_root)


def surely_sound(
    whitening: Array,
    covariances: Array,
    mass: Array,
    deviations: Array,
    pseudo_rows: float,
    supplied: float,
    few: float,
    larger: float,
) -> tuple[bool, bool]:
    """What bounds alone tell to be no reason for a component to be degenerate: see `gaussmix.degeneracy`.

    Whether so many ``pseudo_rows``, of standard ``deviations`` (D,), are less than the part ``supplied`` of every
    eigenvalue; and whether the pooled covariance is less than so many times ``larger`` than that of components with a
    mass below ``few``. W and ``covariances`` are (K, D), (1, D, D) or (K, D, D).
    """
    return _kernel.surely_sound(whitening, covariances, mass, deviations, pseudo_rows, supplied, few, larger)


def seeds_of(points: Array, weights: Array, first: int, chances: Array) -> NDArray[np.int64]:
    """k-means++ among points (n, D) from a first one on, fewer where every point is a seed.

    Each of the ``chances`` (n_seeds − 1, trials) in [0, 1) draws a candidate with probability ∝ weight × squared
    distance; the one that leaves the least sum of these is the next seed.
    """
    seeds = np.full(1 + len(chances), first, dtype=np.int64)
    return seeds[: _kernel.draw_seeds(np.ascontiguousarray(points.T), weights, chances, seeds)]


def class_sums(
    rows: NDArray[Any],
    row_weights: Array | None,
    labels: NDArray[np.int64],
    n_classes: int,
    moment_shape: tuple[int, ...],
) -> tuple[Array, Array, Array, Array]:
    """Means (K, D) of classes, mass (K,), and first (K, D) and second moments about the means; label −1 is no class.

    A class without weight has mean zero.
    """
    means = np.zeros((n_classes, rows.shape[1]))
    sums = np.zeros(n_classes), np.zeros(means.shape), np.zeros(moment_shape)
    _kernel.class_sums(rows, row_weights, labels, sums[0], means, *sums[1:])
    return means, *sums


def merge_gains(
    components: tuple[Array, Array, Array],
    gamma: Array,
    i: NDArray[np.int64],
    j: NDArray[np.int64],
    spherical: bool,
) -> Array:
    """What the merge of each pair (i, j) changes L by at least, in nats: see `gaussmix.merging`.

    Of M components mass (M,), means (M, D) and scatter (M, D) or (M, D, D); ``gamma`` (n, M) holds their
    responsibilities for some rows times the rows' weights. ``spherical``: one variance, the mean of the D.
    """
    gains = np.empty(len(i))
    _kernel.merge_gains(*components, gamma, i, j, spherical, gains)
    return gains


# Rows of the compact runs of `spatial_order`: what the kernel compares with components together.
LEAF = 8


def spatial_order(rows: Array, n_threads: int = 1) -> NDArray[np.int32]:
    """An order (N,) of the rows whose runs of 8 are compact in space; it depends on the rows alone."""
    order = np.empty(len(rows), dtype=np.int32)
    _kernel.spatial_order(rows, LEAF, n_threads, order)
    return order


def _compact_tiles(rows: Array, n_components: int, memo: dict[str, Any]) -> NDArray[np.int32]:
    """Some rows by which a pass decides whether leaving out components pays; they depend on rows and K alone.

    Were there none, it would be taken to pay.
    """
    key = f"tiles for {n_components}"
    if key not in memo:
        memo[key] = np.array(_kernel.compact_tiles(rows, n_components), dtype=np.int32)
    tiles: NDArray[np.int32] = memo[key]
    return tiles


def thread_count(n_jobs: int | None = None) -> int:
    """How many threads a fold may use: ``n_jobs``, or (None, negative) what the process may use.

    That is the least of its affinity, its control group's quota and OMP_NUM_THREADS, which joblib sets in its workers.

    Raises
    ------
    ParameterError
        ``n_jobs`` is 0.
    """
    if n_jobs == 0:
        raise ParameterError(
            "n_jobs must not be 0; None or -1 uses every processor that the process may use."
        )
    if n_jobs is not None and n_jobs > 0:
        return n_jobs
    available = min(len(os.sched_getaffinity(0)), _granted())
    limit = os.environ.get("OMP_NUM_THREADS", "")
    if limit.isdigit() and int(limit) > 0:
        available = min(available, int(limit))
    return available if n_jobs is None else max(1, available + 1 + n_jobs)


@cache
def _granted() -> int:
    """Processors that a container's quota (control groups, version 2) grants, rounded up; many without one."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return 1 << 16
