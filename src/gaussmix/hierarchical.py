"""Model-based hierarchical clustering: from every row its own cluster to one, the cheapest merge first.

A cluster with n rows and scatter W (D, D) costs, for Gaussians without a constraint (Fraley 1998, SIAM J. Sci.
Comput. 20, 270-281; Banfield & Raftery 1993),

    n ln( |W/n| + (tr W + α)/n ),    α = tr(total scatter) / (N D),

where |W/n| counts only from n = D + 1 rows on. The trace term is Fraley's: it gives clusters of few rows a cost, and
without it every merge into a flat cluster would be free. The pair is merged whose cost rises least. Classes for
each number of clusters come out of one tree, so that all models start from the same classes; mclust starts so, on
principal components of which the j-th has its singular value sⱼ as its sum of squares (Scrucca & Raftery 2015,
Adv. Data Anal. Classif. 9, 447-460).

native/hierarchical.hpp merges: O(N²) memory and time for N distinct rows. Equal rows are one cluster from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gaussmix import _kernel

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

# A singular value below this part of the largest is rounding.
SINGULAR = 1e-13


@dataclass(frozen=True, eq=False)
class Tree:
    """The merges of a hierarchical clustering.

    Attributes
    ----------
    clusters : (n,)
        The cluster of each row before the first merge; equal rows share one.
    merges : (M, 2)
        Clusters in the order of their merging: the second joins the first.
    """

    clusters: Labels
    merges: Labels

    @property
    def most(self) -> int:
        """The largest number of clusters: that of distinct rows."""
        return len(self.merges) + 1

    def labels(self, n_clusters: int) -> Labels:
        """The class (n,) of each row among ``n_clusters`` ≤ `most`, numbered by first appearance."""
        kept, gone = self.merges[: self.most - n_clusters].T
        joined = np.arange(self.most)
        joined[gone] = kept
        while np.any(joined != joined[joined]):  # whom a cluster joined may have joined another
            joined = joined[joined]
        _, first, labels = np.unique(joined[self.clusters], return_index=True, return_inverse=True)
        ranks: Labels = np.argsort(np.argsort(first))
        return ranks[labels]


def components(rows: Array) -> Array:
    """Principal components (n, ≤ D) of the standardised rows, each divided by √sⱼ, sⱼ its singular value."""
    centred = rows - rows.mean(axis=0)
    spread = np.sqrt((centred * centred).mean(axis=0))
    centred = centred[:, spread > 0] / spread[spread > 0]
    centred *= np.sqrt(max(len(rows) - 1, 1) / len(rows))  # standard deviations with N - 1, as R has them
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    steep = singular > SINGULAR * singular.max(initial=0.0)
    projected: Array = centred @ axes[steep].T / np.sqrt(singular[steep])
    return projected


def tree(points: Array, weights: Array | None = None) -> Tree:
    """The tree over points (n, D); a point of weight 2 counts as two."""
    distinct, clusters = np.unique(points, axis=0, return_inverse=True)
    clusters = clusters.reshape(len(points))
    first = np.full(len(distinct), len(points))
    np.minimum.at(first, clusters, np.arange(len(points)))
    order = np.argsort(first)
    clusters = np.argsort(order)[clusters]
    mass = np.bincount(clusters, weights).astype(np.float64)
    merges = np.empty((len(distinct) - 1, 2), dtype=np.int64)
    if len(merges):
        _kernel.merges(distinct[order], mass, merges)
    return Tree(clusters, merges)
