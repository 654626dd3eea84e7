"""The search over starts: which states the loop runs when nobody says where to begin.

EM climbs to the optimum near its start. The search, on a sample of the rows that it can afford to visit often,

1. starts a few times, mostly with twice the components (they find every cluster, some of them twice), runs each
   briefly and merges pairs until K are left;
2. lets the best converge, then perturbs it: every component is split along one of its axes, the 2K components settle
   briefly, pairs are merged again, and the result is kept only if L rises and it stays sound (the split and merge
   moves of Ueda et al. 2000, all at once: which ones were good is known only after the parts have settled).

A merge of i and j replaces q_i and q_j by their sum and two Gaussians by one with their joint moments. By the lower
bound of EM it changes L by at least

    n_ij ln n_ij − n_i ln n_i − n_j ln n_j − ½(n_ij ln|Σ_ij| − n_i ln|Σ_i| − n_j ln|Σ_j|) + E_i + E_j − E_ij,

with E = Σ_n q_n ln q_n; pairs are merged greedily by that number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gaussmix import em, start
from gaussmix.degeneracy import degenerate_components
from gaussmix.em import Plan, Run, State
from gaussmix.mixture import Collapse, Mixture, m_step
from gaussmix.rows import ArraySource, Source
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]

# Rows that the search visits; those of its merges; passes of a brief run.
SEARCH_ROWS = 20_000
MERGE_ROWS = 1_000
SEED_ROWS = 3_000
BRIEF = 12
SETTLE = 20
# Moves without success in a row after which the search ends, and moves at most.
PATIENCE = 4
MOVES = 12
# Nats per row: a result this much below the best after a brief run may still overtake it; a success gains more.
SLACK = 3e-3
SUCCESS = 1e-5
# Converged, inside the search, in nats per row.
FINE = 1e-5
# Half the distance of the two parts of a split, in standard deviations along the axis.
SPLIT = 0.7
# More components than this are not searched over: the moves cost their square.
LARGEST = 48


def searched(source: Source, blank: Mixture, plan: Plan, rng: np.random.Generator) -> Mixture:
    """The mixture where the last run over all rows should start; ``blank`` gives K, D and family.

    Components are ordered by their means, first feature first.
    """
    if blank.n_components == 1 or blank.n_components > LARGEST or blank.has_noise:
        return start.seeded(source, "kmeans", blank, plan.prior, rng, plan.equal_weights)
    block = source.sample(SEARCH_ROWS, rng)
    sample = ArraySource(block.rows, block.weights)
    share = sample.weight / source.weight
    brief = replace(plan, prior=plan.prior.thinned(share))
    best = _Search(sample, blank, brief, rng).run()
    order = np.lexsort(best.means.T[::-1])
    return _reordered(best, order, blank.feature_names)


class _Search:
    """One search over a sample in memory; all its randomness comes from ``rng``."""

    def __init__(self, sample: ArraySource, blank: Mixture, plan: Plan, rng: np.random.Generator) -> None:
        self.sample, self.blank, self.plan, self.rng = sample, blank, plan, rng
        some = sample.sample(MERGE_ROWS, rng)
        self.rows = some.rows
        self.row_weights = np.ones(len(some.rows)) if some.weights is None else some.weights
        self.row_weights = self.row_weights * (sample.weight / self.row_weights.sum())

    def run(self) -> Mixture:
        doubled = self._blank(2 * self.blank.n_components)
        seeds = [self._seeded(doubled), self._seeded(doubled)] if self._room_for_double() else []
        starts = [self.merged(run) for run in self.em(seeds, SETTLE)] + [self._seeded(self.blank)]
        best = max(self.em(starts, BRIEF), key=self.rank)
        assert best.mixture is not None
        best = self.em([best.mixture], self.plan.max_iter, FINE)[0]
        return self._moved(best)

    def _moved(self, best: Run) -> Mixture:
        """The best run after split and merge moves."""
        failures = 0
        for move in range(MOVES if self._room_for_double() else 0):
            assert best.mixture is not None
            proposal = self.em([self.split(best.mixture, AXES[move % len(AXES)])], SETTLE)[0]
            run = self.em([self.merged(proposal)], BRIEF)[0]
            if self.rank(run) > self._lowered(best, SLACK):
                assert run.mixture is not None
                run = self.em([run.mixture], self.plan.max_iter, FINE)[0]
            if self.rank(run) > self._lowered(best, -SUCCESS):
                best, failures = run, 0
                continue
            failures += 1
            if failures == PATIENCE:
                break
        assert best.mixture is not None
        return best.mixture

    def em(self, starts: list[Mixture], passes: int, tol: float = 1e-3) -> list[Run]:
        """A batch through the one loop, ``passes`` M-steps at most."""
        plan = replace(self.plan, max_iter=passes, tol=tol)
        state = State(tuple(Run(mixture) for mixture in starts), plan)
        return list(em.final(self.sample, state).runs)

    def rank(self, run: Run) -> tuple[bool, float]:
        """Sound solutions first, then by L."""
        if run.mixture is None or run.folded is None:
            return False, -math.inf
        sound = not degenerate_components(run.mixture, run.folded, self.plan.prior)
        return sound, run.log_likelihoods[-1]

    def _lowered(self, best: Run, nats_per_row: float) -> tuple[bool, float]:
        sound, log_likelihood = self.rank(best)
        return sound, log_likelihood - nats_per_row * self.sample.weight

    def _room_for_double(self) -> bool:
        return self.sample.n_rows >= 4 * self.blank.n_components * (self.blank.n_features + 1)

    def _blank(self, n_components: int) -> Mixture:
        return start.blank_mixture(n_components, self.blank.covariance_type, self.plan.prior)

    def _seeded(self, blank: Mixture) -> Mixture:
        plan = self.plan
        return start.seeded(self.sample, "kmeans", blank, plan.prior, self.rng, plan.equal_weights, SEED_ROWS)

    # ---- moves ------------------------------------------------------------------------------------------------

    def split(self, mixture: Mixture, axis_of: AxisChoice) -> Mixture:
        """Every component in two halves along one of its axes, moments preserved; 2K components.

        Axes are those of the features in units of their spread, so that other units choose no other axes.
        """
        scale = np.sqrt(self.plan.prior.variances)
        mass = np.repeat(mixture.weights * self.sample.weight / 2, 2)
        shift = SPLIT * scale * axis_of(mixture.full_covariances / np.outer(scale, scale), self.rng)
        both = np.stack([shift, -shift], axis=1).reshape(-1, mixture.n_features)
        outer = np.repeat(mixture.full_covariances - shift[:, :, None] * shift[:, None, :], 2, axis=0)
        moments = mass[:, None, None] * outer
        origin = np.repeat(mixture.means, 2, axis=0) + both
        blank = self._blank(len(mass))
        structure = mixture.family.structure
        statistics = Statistics(
            origin=origin,
            mass=mass,
            first=np.zeros_like(origin),
            second=structure.moments(moments),
            noise_mass=0.0,
            weight=self.sample.weight,
            rows=self.sample.n_rows,
            log_likelihood=math.nan,
        )
        return self._mixture(statistics, blank)

    def merged(self, run: Run) -> Mixture:
        """The mixture of a run with pairs of components merged until K are left."""
        assert run.mixture is not None and run.folded is not None
        gamma = run.mixture.evaluate(self.rows, wanted=["responsibilities"]).responsibilities
        moments = run.folded.mass[:, None, None] * run.mixture.full_covariances
        groups = merge_groups(
            np.maximum(run.folded.mass, 1e-12),
            run.folded.scatter()[0],
            moments,
            gamma * self.row_weights[:, None],
            self.blank.n_components,
            run.mixture.family.structure.log_det,
        )
        return self._mixture(run.folded.grouped(groups), self.blank)

    def _mixture(self, statistics: Statistics, blank: Mixture) -> Mixture:
        """The M-step of made-up statistics; a blank start in the rare case that it has none."""
        made = m_step(statistics, blank, self.plan.prior.thinned(1.0, at_least=1e-3))
        return self._seeded(blank) if isinstance(made, Collapse) else made


AxisChoice = Callable[[Array, np.random.Generator], Array]


def principal_axes(covariances: Array, rng: np.random.Generator) -> Array:
    """The longest semi-axis of each of the covariances (K, D, D): (K, D)."""
    values, vectors = _axes(covariances)
    return np.sqrt(values[:, -1:]) * vectors[:, :, -1]


def any_axes(covariances: Array, rng: np.random.Generator) -> Array:
    """For each of the covariances (K, D, D) one of its semi-axes, all equally likely."""
    values, vectors = _axes(covariances)
    each, chosen = np.arange(len(values)), rng.integers(values.shape[1], size=len(values))
    return np.sqrt(values[each, chosen])[:, None] * vectors[each, :, chosen]


def any_direction(covariances: Array, rng: np.random.Generator) -> Array:
    """For each of the covariances (K, D, D) a random direction in its own metric, (K, D)."""
    values, vectors = _axes(covariances)
    drawn = rng.standard_normal(values.shape)
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    direction: Array = np.einsum("kij,kj->ki", vectors, np.sqrt(values) * drawn)
    return direction


AXES: tuple[AxisChoice, ...] = (principal_axes, any_direction, any_axes)


def _axes(covariances: Array) -> tuple[Array, Array]:
    values, vectors = np.linalg.eigh(covariances)
    return np.maximum(values, 0.0), vectors


def merge_groups(
    mass: Array,
    means: Array,
    moments: Array,
    gamma: Array,
    n_groups: int,
    log_det: Callable[[Array], Array],
) -> NDArray[np.int64]:
    """Which of ``n_groups`` each of M components belongs to, by greedy merging.

    mass (M,), means (M, D), moments n_k Σ_k (M, D, D), gamma (n, M) the responsibilities of some rows times their
    weights; ``log_det`` the family's ln|Σ| of (…, D, D).
    """
    mass, means, moments, gamma = mass.copy(), means.copy(), moments.copy(), gamma.copy()
    group = np.arange(len(mass))
    entropy = _entropy(gamma)
    own = mass * (np.log(mass) - 0.5 * log_det(moments / mass[:, None, None])) - entropy
    gain = np.full((len(mass), len(mass)), -np.inf)

    def joined(i: int, others: NDArray[np.int64]) -> tuple[Array, Array, Array]:
        total = mass[i] + mass[others]
        apart = means[others] - means[i]
        between = (mass[i] * mass[others] / total)[:, None, None] * apart[:, :, None] * apart[:, None, :]
        return total, apart, moments[i] + moments[others] + between

    def gains(i: int, others: NDArray[np.int64]) -> Array:
        total, _, moment = joined(i, others)
        together = total * (np.log(total) - 0.5 * log_det(moment / total[:, None, None]))
        merged: Array = together - _entropy(gamma[:, [i]] + gamma[:, others]) - own[i] - own[others]
        return merged

    for i in range(1, len(mass)):
        gain[i, :i] = gains(i, np.arange(i))
    for _ in range(len(mass) - n_groups):
        j, i = sorted(divmod(int(np.argmax(gain)), len(mass)))
        total, apart, moment = joined(i, np.array([j]))
        means[i] += apart[0] * mass[j] / total[0]
        mass[i], moments[i] = total[0], moment[0]
        gamma[:, i] += gamma[:, j]
        own[i] = (
            mass[i] * (np.log(mass[i]) - 0.5 * log_det(moments[i] / mass[i])) - _entropy(gamma[:, [i]])[0]
        )
        group[group == j] = i
        gain[j, :] = gain[:, j] = -np.inf
        left = np.setdiff1d(np.unique(group), [i])
        if len(left):
            updated = gains(i, left)
            gain[np.maximum(i, left), np.minimum(i, left)] = updated
    return np.unique(group, return_inverse=True)[1]


def _entropy(gamma: Array) -> Array:
    """Σ_n q ln q of each column."""
    tiny = np.maximum(gamma, 1e-300)
    sums: Array = np.einsum("nk,nk->k", gamma, np.log(tiny))
    return sums


def _reordered(mixture: Mixture, order: NDArray[np.int64], feature_names: tuple[str, ...] | None) -> Mixture:
    shared = mixture.covariances.shape == mixture.family.structure.shape(0, mixture.n_features)
    covariances = mixture.covariances if shared else mixture.covariances[order]
    return Mixture.unchecked(
        mixture.weights[order],
        mixture.means[order],
        covariances,
        mixture.covariance_type,
        feature_names=feature_names,
    )
