"""Criteria that need the rows: ICL, and the held-out log density.

ICL = BIC − 2 Σ_n w_n ln max_k γ(z_nk) (Biernacki, Celeux & Govaert 2000, as mclust computes it). CV is the mean
negative log density of rows that the parameters have not seen, each part of the rows held out in turn. Lower is
better in both.
"""

from __future__ import annotations

import numpy as np

from gaussmix import em
from gaussmix.em import Plan, Run, State
from gaussmix.outcome import Fit
from gaussmix.rows import ArraySource, Block, Source

FOLDS = 5


def icl(source: Source, fit: Fit) -> float:
    """ICL of a fit to the rows of the source."""

    def certainty(block: Block) -> float:
        gamma = fit.mixture.evaluate(block.rows, wanted=["responsibilities"]).responsibilities
        logs = np.log(gamma.max(axis=1))
        return float(logs.sum() if block.weights is None else logs @ block.weights)

    return fit.bic - 2 * source.fold(certainty) * fit.weight / source.weight


class Folds:
    """Some rows in `FOLDS` parts, the same for every candidate."""

    def __init__(self, source: Source, n_rows: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        block = source.sample(n_rows, rng)
        order = rng.permutation(len(block.rows))
        self.parts = [np.sort(part) for part in np.array_split(order, min(FOLDS, len(order)))]
        self.rows = block.rows
        self.weights = np.ones(len(order)) if block.weights is None else block.weights

    def held_out(self, fit: Fit, plan: Plan) -> float | None:
        """Mean −ln p of the rows of each part under the fit to the others, which goes on from the fit to all.

        None where a fit to the others collapses.
        """
        total, share = 0.0, 1 - 1 / len(self.parts)
        for part in self.parts:
            others = np.setdiff1d(np.arange(len(self.rows)), part)
            training = ArraySource(self.rows[others], self.weights[others])
            prior = plan.prior.thinned(share * float(self.weights.sum()) / fit.weight)
            state = State((Run(fit.mixture),), plan._replace(prior=prior))
            ended = em.final(training, state).runs[0]
            if ended.mixture is None or ended.reason == em.COLLAPSED:
                return None
            log_density = ended.mixture.evaluate(self.rows[part], wanted=["log_density"]).log_density
            total -= float(self.weights[part] @ log_density)
        return total / float(self.weights.sum())
