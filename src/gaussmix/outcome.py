"""What a fit found: the best of several runs, and what a user should know about it.

Best is the highest L among sound solutions: a degenerate one loses to any sound one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gaussmix.degeneracy import degenerate_components, spread_features
from gaussmix.em import COLLAPSED, CONVERGED, MAX_ITER, Plan, Run, State
from gaussmix.errors import ConvergenceWarning, DegenerateWarning, SingularError
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior

Rank = tuple[bool, bool, float]


@dataclass(frozen=True, repr=False)
class Fit:
    """What a fit found.

    Attributes
    ----------
    mixture : Mixture
        The best θ.
    reason : str
        "converged", "max_iter" or "collapsed".
    log_likelihoods, objectives : tuple of float
        Trace: L and the objective (L plus the prior's penalty) after each pass, in nats. The last belong to `mixture`.
    weight : float
        N = Σw, the rows' weight.
    n_iter : int
        M-steps of the run that is returned.
    degenerate : tuple of int
        Components that describe too few rows, see `gaussmix.degeneracy`.
    remarks : tuple of str
        What a user should know about this fit, in sentences.
    start_log_likelihoods : tuple of float
        Where each start ended; −inf for one that collapsed.
    equal_weights : bool
        Whether π_k = 1/K was held.
    """

    mixture: Mixture
    reason: str
    log_likelihoods: tuple[float, ...]
    objectives: tuple[float, ...]
    weight: float
    n_iter: int
    degenerate: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    start_log_likelihoods: tuple[float, ...] = ()
    equal_weights: bool = False

    def __repr__(self) -> str:
        """The outcome on one line."""
        outcome = f"log_likelihood={self.log_likelihood:.6g}, {self.reason} after {self.n_iter} iterations"
        return f"Fit({self.mixture!r}, {outcome})"

    @property
    def converged(self) -> bool:
        """Whether the objective's gain fell below ``tol``."""
        return self.reason == CONVERGED

    @property
    def log_likelihood(self) -> float:
        """L of eq. (6) at `mixture`, in nats."""
        return self.log_likelihoods[-1]

    @property
    def n_parameters(self) -> int:
        """p, free parameters: those of the mixture, without weights that were held equal."""
        return self.mixture.n_parameters - self.equal_weights * (self.mixture.n_components - 1)

    @property
    def bic(self) -> float:
        """−2 L + p ln N; lower is better (Schwarz 1978)."""
        return -2 * self.log_likelihood + self.n_parameters * math.log(self.weight)

    @property
    def aic(self) -> float:
        """−2 L + 2 p; lower is better (Akaike 1974)."""
        return -2 * self.log_likelihood + 2 * self.n_parameters


def choose(state: State, weight: float, feature_names: tuple[str, ...] | None = None) -> Fit:
    """The best run of a finished state, with what a user should know about it."""
    ended = [(each, degenerate_in(each, state.plan.prior)) for each in state.runs]
    best, degenerate = max(ended, key=lambda pair: rank(*pair))
    starts = tuple(each.log_likelihoods[-1] if each.mixture else -math.inf for each, _ in ended)
    return fit_of(best, degenerate, starts, state.plan, weight, feature_names)


def fit_of(
    ended: Run,
    degenerate: tuple[int, ...],
    starts: tuple[float, ...],
    plan: Plan,
    weight: float,
    feature_names: tuple[str, ...] | None = None,
) -> Fit:
    """What a run found; ``starts``: the log-likelihoods of all of which it is the best.

    Raises
    ------
    SingularError
        The run has no mixture, or one that collapsed without pseudo-rows.
    """
    if ended.mixture is None or (ended.reason == COLLAPSED and plan.prior.pseudo_rows.count == 0):
        raise SingularError(
            "a covariance became singular: the likelihood is unbounded there and reg_covar=0 lets it grow. "
            "Use the default reg_covar=1e-6, fewer components or a simpler covariance_type."
        )
    return Fit(
        mixture=ended.mixture,
        reason=ended.reason,
        log_likelihoods=ended.log_likelihoods,
        objectives=ended.objectives,
        weight=weight,
        n_iter=ended.n_iter,
        degenerate=degenerate,
        remarks=_remarks(ended, degenerate, plan, weight, feature_names),
        start_log_likelihoods=starts,
        equal_weights=plan.equal_weights,
    )


def degenerate_in(each: Run, prior: Prior) -> tuple[int, ...]:
    """The degenerate components of a run's last mixture."""
    if each.mixture is None or each.folded is None:
        return ()
    return degenerate_components(each.mixture, each.folded, prior)


def rank(ended: Run, degenerate: tuple[int, ...]) -> Rank:
    """What makes one run better than another: that it did not collapse, that it is sound, its L."""
    if ended.mixture is None:
        return False, False, -math.inf
    return ended.reason != COLLAPSED, not degenerate, ended.log_likelihoods[-1]


def _remarks(
    best: Run, degenerate: tuple[int, ...], plan: Plan, weight: float, names: tuple[str, ...] | None
) -> tuple[str, ...]:
    remarks = []
    if best.reason == MAX_ITER and best.n_iter < plan.max_iter:
        remarks.append(
            f"EM did not converge: it was ended after {best.n_iter} iterations, when other starts were far ahead. "
            "Fit this model alone to see where it leads."
        )
    elif best.reason == MAX_ITER:
        remarks.append(
            f"EM did not converge in {best.n_iter} iterations; increase max_iter, or tol, "
            "or use fewer components or another covariance_type."
        )
    if best.reason == COLLAPSED:
        remarks.append(
            f"EM stopped after {best.n_iter} iterations because a covariance became singular; "
            "use a larger reg_covar, fewer components or a simpler covariance_type."
        )
    constant = np.flatnonzero(~spread_features(plan.prior))
    if len(constant):
        which = ", ".join(repr(names[j]) if names else str(j) for j in constant)
        features, have, it = ("feature", "has", "it") if len(constant) == 1 else ("features", "have", "them")
        remarks.append(
            f"{features} {which} {have} no spread: every row holds the same value. Leave {it} out."
        )
    if degenerate:
        assert best.mixture is not None
        rows = ", ".join(f"{best.mixture.weights[k] * weight:.3g}" for k in degenerate)
        components, own = ("component", "is") if len(degenerate) == 1 else ("components", "are")
        which = ", ".join(map(str, degenerate))
        remarks.append(
            f"{components} {which} {own} degenerate ({rows} rows, without a spread of their own in some direction): "
            "the likelihood means little. "
            "Use fewer components, a simpler covariance_type or more reg_covar."
        )
    return tuple(remarks)


def warning_category(remark: str) -> type[UserWarning]:
    """The warning class of one of the remarks of a fit."""
    return ConvergenceWarning if remark.startswith("EM did not converge") else DegenerateWarning
