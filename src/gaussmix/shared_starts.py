"""Starts that all families share: classes of some rows and split components, as sums that each family solves.

A start is `Statistics` whose second moments are as full as any of the families needs; `begun` reduces them to what
one family accumulates, and takes its M-step. Classes come from the tree of `gaussmix.hierarchical` over at most 2000
rows (where there is one feature from quantiles, as in mclust) and from k-means. A split puts the two halves of a
component side by side along its longest axis.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gaussmix import hierarchical, start
from gaussmix.em import Plan
from gaussmix.kernel import class_sums
from gaussmix.maximisation import Collapse, m_step
from gaussmix.mixture import Mixture
from gaussmix.noise import LEAST, noisy_rows
from gaussmix.rows import Block, Source
from gaussmix.statistics import TINY, Statistics

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

# Rows of the tree, which takes the square of them, and principal components that it sees.
TREE_ROWS = 2000
TREE_FEATURES = 12
# Half the distance of the two halves of a split, in standard deviations along the axis.
SPLIT = 0.7


class SharedStarts:
    """Classes of at most 2000 rows of a source, and their statistics as if they were all the rows.

    Second moments are (K, D, D) if ``dense``, else (K, D). Rows that start as noise, in a ``blank`` that has it, are
    in no class.
    """

    def __init__(self, source: Source, plan: Plan, blank: Mixture, dense: bool, seed: int) -> None:
        self.unit, self.dense, self.seed = np.sqrt(plan.prior.variances), dense, seed
        self.tree: hierarchical.Tree | None = None
        block = source.sample(TREE_ROWS, np.random.default_rng(seed))
        weights = np.ones(len(block.rows)) if block.weights is None else block.weights
        points = start.standardise(Block(block.rows, weights), plan.prior)
        noisy = noisy_rows(points, weights, blank, plan.prior, np.random.default_rng(seed))
        self.rows, self.points, self.weights = block.rows[~noisy], points[~noisy], weights[~noisy]
        self.share = source.weight / float(weights.sum())
        self.noise_mass = float(weights[noisy].sum() + LEAST * self.weights.sum()) if blank.has_noise else 0.0

    def classes(self, n_components: int) -> list[Statistics]:
        """Statistics of hierarchical classes and of those of k-means, without those that have too few."""
        if n_components == 1:
            return [self.statistics(np.zeros(len(self.rows), dtype=np.int64))]
        found = [self.statistics(self.hierarchical(n_components)), self.statistics(self.kmeans(n_components))]
        return [each for each in found if len(each.mass) == n_components and each.mass.min() > 0]

    def hierarchical(self, n_components: int) -> Labels:
        """The classes of one tree; quantiles where there is one feature only."""
        if self.rows.shape[1] == 1:
            edges = np.quantile(self.rows[:, 0], np.linspace(0, 1, n_components + 1)[1:-1])
            return np.searchsorted(edges, self.rows[:, 0], side="left")
        if self.tree is None:
            components = hierarchical.components(self.rows)[:, :TREE_FEATURES]
            self.tree = hierarchical.tree(components, self.weights)
        return self.tree.labels(min(n_components, self.tree.most))

    def kmeans(self, n_components: int) -> Labels:
        """k-means++ and a few steps of Lloyd, in units of the features' spread."""
        rng = np.random.default_rng([self.seed, n_components])
        if n_components > len(self.points):
            return np.zeros(len(self.points), dtype=np.int64)
        return start.seed_labels("kmeans", self.points, self.weights, n_components, rng)

    def statistics(self, labels: Labels) -> Statistics:
        """The sums of the classes about their means."""
        n_classes, n_features = int(labels.max()) + 1, self.rows.shape[1]
        shape = (n_classes, n_features, n_features) if self.dense else (n_classes, n_features)
        means, mass, first, second = class_sums(
            self.rows, self.weights * self.share, labels, n_classes, shape
        )
        noise_mass = self.noise_mass * self.share
        total = float(mass.sum()) + noise_mass
        return Statistics(means, mass, first, second, noise_mass, total, len(self.rows), math.nan)

    def splits(self, statistics: Statistics) -> list[Statistics]:
        """For each component the statistics with it in two halves, its moments preserved."""
        means, scatter = statistics.scatter()
        mass = statistics.mass
        each = (-1, *[1] * (scatter.ndim - 1))
        shifts = SPLIT * self._longest(scatter / np.maximum(mass, TINY).reshape(each))
        outer = shifts * shifts if scatter.ndim == 2 else shifts[:, :, None] * shifts[:, None, :]
        within = scatter / 2 - (mass / 2).reshape(each) * outer
        split = np.flatnonzero(mass > 2)
        rows = np.arange(len(split))  # one for each split, with a place behind for the second half
        halves, apart, second = (
            np.concatenate([x, x[:1]])[None].repeat(len(split), axis=0) for x in (mass, means, scatter)
        )
        halves[rows, split] = halves[:, -1] = mass[split] / 2
        second[rows, split] = second[:, -1] = within[split]
        apart[rows, split] += shifts[split]
        apart[:, -1] = (means - shifts)[split]
        none = np.zeros(apart.shape[1:])
        return [statistics.with_sums(o, n, none, s) for o, n, s in zip(apart, halves, second, strict=True)]

    def _longest(self, covariances: Array) -> Array:
        """The semi-axes (K, D) that are longest in units of the features' spread, in the features' own units."""
        if covariances.ndim == 2:
            longest = np.arange(len(self.unit)) == (covariances / self.unit**2).argmax(axis=1)[:, None]
            return np.where(longest, np.sqrt(np.maximum(covariances, 0.0)), 0.0)
        values, vectors = np.linalg.eigh(covariances / self.unit / self.unit[:, None])
        axes: Array = np.sqrt(np.maximum(values[:, -1:], 0.0)) * vectors[:, :, -1] * self.unit
        return axes


def begun(statistics: Statistics, blank: Mixture, plan: Plan) -> list[Mixture]:
    """The M-step of shared statistics in the family of ``blank``; empty where it has none."""
    if statistics.second.ndim == 3:
        second = blank.family.structure.moments(statistics.second)
        statistics = statistics.with_sums(statistics.origin, statistics.mass, statistics.first, second)
    made = m_step(statistics, blank, plan.prior, plan.equal_weights)
    return [] if isinstance(made, Collapse) else [made]
