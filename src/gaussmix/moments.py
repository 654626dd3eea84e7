"""Mean and covariance of all rows, in one pass of the kernel's own.

A component so wide that its density is flat takes every row whole: its statistics are the moments of the data.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix.mixture import Mixture
from gaussmix.rows import Source

Array = NDArray[np.float64]

FLAT = 1e304


class Moments(NamedTuple):
    """Moments of weighted rows."""

    middle: Array  # (D,) medians of some rows: a point among them
    mean: Array  # (D,)
    scatter: Array  # (D,) sums of squares about the mean, or (D, D) with products
    weight: float  # N = Σw

    @property
    def covariance(self) -> Array:
        """The unbiased variances (D,) or covariance (D, D): divisor N − 1, for which a row of weight 2 is two rows."""
        unbiased: Array = self.scatter / max(self.weight - 1, self.weight / 2)
        return unbiased


def variances_of(source: Source, n_threads: int = 1) -> Moments:
    """With sums of squares alone."""
    return _moments(source, "VVI", np.full((1, source.n_features), FLAT), n_threads)


def moments_of(source: Source, n_threads: int = 1) -> Moments:
    """With products."""
    return _moments(source, "VVV", np.eye(source.n_features)[None] * FLAT, n_threads)


def _moments(source: Source, family: str, covariances: Array, n_threads: int) -> Moments:
    middle = np.median(source.sample(1000, np.random.default_rng(0)).rows, axis=0)
    flat = Mixture.unchecked(np.ones(1), middle[None], covariances, family)
    statistics = source.fold(lambda block: flat.fold(*block, n_threads))
    means, scatter = statistics.scatter()
    return Moments(middle, means[0], scatter[0], statistics.weight)
