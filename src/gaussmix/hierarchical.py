"""Model-based hierarchical clustering: from every row its own cluster to one, the cheapest merge first.

A cluster with n rows and scatter W (D, D) costs, for Gaussians without a constraint (Fraley 1998, SIAM J. Sci.
Comput. 20, 270-281; Banfield & Raftery 1993),

    n ln( |W/n| + (tr W + α)/n ),    α = tr(total scatter) / (N D),

where |W/n| counts only from n = D + 1 rows on. The trace term is Fraley's: it gives clusters of few rows a cost, and
without it every merge into a flat cluster would be free. The pair is merged whose cost rises least. Classes for
each number of clusters come out of one tree, so that all models start from the same classes; mclust starts so, on
principal components of which the j-th has its singular value sⱼ as its sum of squares (Scrucca & Raftery 2015,
Adv. Data Anal. Classif. 9, 447-460).

O(N²) memory and time for N distinct rows. Equal rows are one cluster from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

# A pivot below this part of its diagonal is rounding: the scatter is singular.
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
        joined = np.arange(self.most)
        for kept, gone in self.merges[: self.most - n_clusters]:
            joined[joined == gone] = kept
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
    forest = _Forest(distinct[order], mass)
    merges = [forest.merge() for _ in range(len(distinct) - 1)]
    return Tree(clusters, np.array(merges, dtype=np.int64).reshape(-1, 2))


class _Forest:
    """Clusters not yet merged, in the first `m` places of each array, and what each merge costs."""

    def __init__(self, points: Array, mass: Array) -> None:
        self.m, self.n_features = points.shape
        self.name = np.arange(self.m)
        self.mass = mass
        self.mean = np.ascontiguousarray(points.T)
        self.scatter = np.zeros((self.n_features, self.n_features, self.m))
        self.trace = np.zeros(self.m)
        middle = mass @ points / mass.sum()
        total = float(mass @ ((points - middle) ** 2).sum(axis=1))
        self.offset = max(total / (mass.sum() * self.n_features), np.finfo(np.float64).tiny)
        self.cost = self._cost(mass, self.trace, np.full(self.m, -np.inf))
        self.rise = self._first_rises(points)
        self.nearest = self.rise.argmin(axis=1)
        self.least = self.rise.min(axis=1)

    def _cost(self, mass: Array, trace: Array, log_determinant: Array) -> Array:
        """n ln(|W/n| + (tr W + α)/n), from ln|W|."""
        logarithm = np.log(mass)
        flat = np.log(trace + self.offset) - logarithm
        full = log_determinant - self.n_features * logarithm
        cost: Array = mass * np.logaddexp(flat, np.where(mass > self.n_features, full, -np.inf))
        return cost

    def _first_rises(self, points: Array) -> Array:
        """What merging each two points costs (m, m); the scatter has rank one."""
        rise = np.empty((self.m, self.m))
        for i in range(self.m):
            both = self.mass[i] + self.mass
            between = self.mass[i] * self.mass / both
            trace = between * ((points - points[i]) ** 2).sum(axis=1)
            with np.errstate(divide="ignore"):
                flat = np.log(trace) if self.n_features == 1 else np.full(self.m, -np.inf)
            rise[i] = self._cost(both, trace, flat) - self.cost[i] - self.cost
            rise[i, i] = np.inf
        return rise

    def merge(self) -> tuple[int, int]:
        """Merge the cheapest pair; the names of the two, the first lives on."""
        i = int(self.least[: self.m].argmin())
        a, b = sorted((i, int(self.nearest[i])))
        names = int(self.name[a]), int(self.name[b])
        self._join(a, b)
        self._close_gap(b)
        self._update(a)
        return names

    def _join(self, a: int, b: int) -> None:
        both = self.mass[a] + self.mass[b]
        step = self.mean[:, b] - self.mean[:, a]
        between = self.mass[a] * self.mass[b] / both
        self.mean[:, a] += self.mass[b] / both * step
        self.scatter[:, :, a] += self.scatter[:, :, b] + between * step[:, None] * step
        self.trace[a] += self.trace[b] + between * float(step @ step)
        self.cost[a] += self.cost[b] + self.rise[a, b]
        self.mass[a] = both

    def _close_gap(self, b: int) -> None:
        """The last cluster takes the place of b."""
        last = self.m = self.m - 1
        for each in (self.name, self.mass, self.trace, self.cost, self.nearest, self.least):
            each[b] = each[last]
        self.mean[:, b] = self.mean[:, last]
        self.scatter[:, :, b] = self.scatter[:, :, last]
        self.rise[b, : last + 1] = self.rise[last, : last + 1]
        self.rise[: last + 1, b] = self.rise[: last + 1, last]
        self.rise[b, b] = np.inf
        nearest = self.nearest[:last]
        gone = nearest == b
        nearest[nearest == last] = b
        nearest[gone] = -1

    def _update(self, a: int) -> None:
        """What merging `a` with each other costs now, and which is nearest to each."""
        m = self.m
        mass = self.mass[a] + self.mass[:m]
        step = self.mean[:, :m] - self.mean[:, a, None]
        between = self.mass[a] * self.mass[:m] / mass
        trace = self.trace[a] + self.trace[:m] + between * (step * step).sum(axis=0)
        determinant = np.full(m, -np.inf)
        full = np.flatnonzero(mass > self.n_features)
        if len(full):
            scatter = self.scatter[:, :, full] + self.scatter[:, :, a, None]
            scatter += (between * step)[:, None, full] * step[None, :, full]
            determinant[full] = log_determinants(scatter)
        rise = self._cost(mass, trace, determinant) - self.cost[a] - self.cost[:m]
        rise[a] = np.inf
        self.rise[a, :m] = self.rise[:m, a] = rise
        nearest, least = self.nearest[:m], self.least[:m]
        stale = (nearest == a) | (nearest < 0)
        stale[a] = True
        closer = rise < least
        nearest[closer], least[closer] = a, rise[closer]
        for i in np.flatnonzero(stale):
            nearest[i] = self.rise[i, :m].argmin()
            least[i] = self.rise[i, nearest[i]]


def log_determinants(matrices: Array) -> Array:
    """ln|Wₘ| of symmetric matrices (D, D, m), −inf for singular ones; eliminates in place, all of them at once."""
    diagonal = np.einsum("iim->im", matrices).copy()
    total = np.zeros(matrices.shape[2])
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(len(matrices)):
            pivot = matrices[i, i]
            pivot[pivot <= SINGULAR * diagonal[i]] = 0.0
            total += np.log(pivot)
            factor = matrices[i, i + 1 :] / pivot
            matrices[i + 1 :, i + 1 :] -= factor[:, None] * matrices[i, None, i + 1 :]
    total[np.isnan(total)] = -np.inf
    return total
