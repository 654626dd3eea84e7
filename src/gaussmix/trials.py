"""Trial runs: short EM over a sample of the rows, many of them, to learn which start is worth more.

They are the one loop on an `ArraySource`. What moves between them are `Parts`: mass, mean and scatter of each
component, which can be joined, replaced and left out, and become a mixture again through an M-step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gaussmix import em, start
from gaussmix.degeneracy import Degeneracy
from gaussmix.em import Plan, Run, State
from gaussmix.maximisation import m_step
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
from gaussmix.rows import ArraySource
from gaussmix.statistics import Statistics

Array = NDArray[np.float64]

# Converged, among trial runs, in nats per row.
FINE = 1e-5


class Parts(NamedTuple):
    """Components one by one: mass n_k (M,), means (M, D), scatter n_k Σ_k (M, D, D); axis-parallel: (M, D)."""

    mass: Array
    means: Array
    scatter: Array

    def weighed(self, matrices: Array) -> Array:
        """n_k times what has the shape of the scatter."""
        return self._masses() * matrices

    def covariances(self) -> Array:
        """Σ_k, in the shape of the scatter."""
        return self.scatter / self._masses()

    def squared(self, apart: Array) -> Array:
        """d dᵀ of differences (…, D), or its diagonal, as the scatter is kept."""
        squared: Array = apart**2 if self.scatter.ndim == 2 else apart[..., :, None] * apart[..., None, :]
        return squared

    def _masses(self) -> Array:
        return self.mass.reshape(-1, *[1] * (self.scatter.ndim - 1))

    def of(self, index: NDArray[np.int64]) -> Parts:
        """Those components."""
        return Parts(*(each[index] for each in self))

    def without(self, *left_out: int) -> Parts:
        """All but those components."""
        return self.of(np.delete(np.arange(len(self.mass)), left_out))

    def joined(self, others: Parts) -> Parts:
        """Both together."""
        return Parts(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))


def _lives(run: Run) -> bool:
    return run.mixture is not None


@dataclass(frozen=True, eq=False)
class Trials:
    """Where trial runs happen: a sample of the rows, a plan for it, and what is fitted; ``rng`` is all their chance."""

    sample: ArraySource
    plan: Plan
    blank: Mixture
    rng: np.random.Generator
    _degeneracy: Degeneracy = field(default_factory=Degeneracy, init=False, repr=False)
    _blanks: dict[tuple[int, str], Mixture] = field(default_factory=dict, init=False, repr=False)

    def em(self, starts: list[Mixture], passes: int, tol: float = FINE) -> list[Run]:
        """The starts in a batch through the loop, ``passes`` M-steps at most; the best first, see `rank`."""
        return sorted(filter(_lives, self.in_turn(starts, passes, tol)), key=self.rank, reverse=True)

    def in_turn(
        self, starts: list[Mixture], passes: int, tol: float = FINE, accelerated: bool = True
    ) -> list[Run]:
        """As `em`, in the order of the starts; a run without a mixture has failed."""
        return self.further([Run(each) for each in starts], passes, tol, accelerated)

    def further(self, runs: list[Run], passes: int, tol: float = FINE, accelerated: bool = True) -> list[Run]:
        """Runs that begin, or go on where they had no more M-steps, for so many more, in their order."""
        plan = self.plan._replace(max_iter=passes, tol=tol, accelerated=accelerated)
        return list(em.final(self.sample, State(tuple(em.resumed(run, plan) for run in runs), plan)).runs)

    def plain(self, starts: list[Mixture], passes: int) -> list[Run]:
        """So many steps of plain EM, which costs less than the acceleration where few are made; the highest first."""
        runs = self.in_turn(starts, passes, 0.0, accelerated=False)
        return sorted(filter(_lives, runs), key=lambda run: run.log_likelihoods[-1], reverse=True)

    def rank(self, run: Run) -> tuple[bool, float]:
        """Sound solutions first, then by L in nats per row."""
        assert run.mixture is not None and run.folded is not None
        degenerate = self._degeneracy.of(run.mixture, run.folded, self.plan.prior)
        return not degenerate, run.log_likelihoods[-1] / self.sample.weight

    def better(self, run: Run, than: Run, by: float) -> bool:
        """Whether a run ended higher than another by so many nats per row."""
        sound, level = self.rank(than)
        return self.rank(run) > (sound, level + by)

    def on(self, rows: Array, weights: Array | None, family: str | None = None) -> Trials:
        """Trials over other rows, with as much of the prior as they have of the weight, perhaps of another family."""
        sample = ArraySource(rows, weights)
        prior = self.plan.prior.thinned(sample.weight / self.sample.weight)
        made = replace(self, sample=sample, plan=self.plan._replace(prior=prior))
        return made if family is None else replace(made, blank=made.shaped(self.blank.n_components, family))

    def thinned(self, n_rows: int) -> Trials:
        """Trials over at most so many of the rows, which stand for all: weights sum to what they summed to."""
        if self.sample.n_rows <= n_rows:
            return self
        rows, weights, _ = self.sample.sample(n_rows, self.rng)
        weights = np.ones(len(rows)) if weights is None else weights
        return self.on(rows.astype(self.sample.rows.dtype), weights * (self.sample.weight / weights.sum()))

    @cached_property
    def _steady(self) -> Prior:
        """The prior with so much of a pseudo-row at least that parts of few rows have an M-step."""
        return self.plan.prior.thinned(1.0, at_least=1e-3)

    def shaped(self, n_components: int, family: str | None = None) -> Mixture:
        """A blank mixture of so many components, of the family fitted unless another is named."""
        key = n_components, self.blank.family.name if family is None else family
        if key not in self._blanks:
            self._blanks[key] = start.blank_mixture(*key, self.plan.prior)
        return self._blanks[key]

    def seeded(self, blank: Mixture, n_rows: int, whitening: Array | None = None) -> Mixture:
        """A k-means start, in units of the features' spread or whitened."""
        plan = self.plan
        settings = (plan.prior, self.rng, plan.equal_weights, n_rows, whitening)
        return start.seeded(self.sample, "kmeans", blank, *settings)

    def parts(self, run: Run) -> Parts:
        """The components of a run as its last pass found them; those that share a covariance have one each."""
        mixture, folded = run.mixture, run.folded
        assert mixture is not None and folded is not None
        means, scatter = folded.scatter()
        scatter = self.plan.prior.pseudo_rows.add_to(scatter, folded.mass)[0]
        if len(scatter) != len(means):
            scatter = folded.mass[:, None, None] * mixture.full_covariances
        return Parts(np.maximum(folded.mass, 1e-12), means, scatter)

    def mixture(self, parts: Parts) -> Mixture | None:
        """The M-step of the parts, in the family fitted; None if it has none."""
        n_components, n_features = parts.means.shape
        blank = self.shaped(n_components)
        shared = blank.family.structure.moment_shape(n_components, n_features)[0] != n_components
        statistics = Statistics(
            origin=parts.means,
            mass=parts.mass,
            first=np.zeros_like(parts.means),
            second=parts.scatter.sum(axis=0, keepdims=True) if shared else parts.scatter,
            noise_mass=0.0,
            weight=self.sample.weight,
            rows=self.sample.n_rows,
            log_likelihood=math.nan,
        )
        made = m_step(statistics, blank, self._steady, self.plan.equal_weights)
        return made if isinstance(made, Mixture) else None
