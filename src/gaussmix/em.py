"""The one EM loop: E-step and M-step in turn, until nothing changes.

A pass at θ_t yields the statistics and L(θ_t); the M-step makes θ_{t+1} of them, eqs. (7), (8), (11). `passes`
yields a frozen `State` after each pass; progress, checkpoints and Ctrl-C only consume it, and to resume is to
start from a State. Several starts are one tuple of runs: each visit to the rows folds every one that still lives.

`max_iter` counts M-steps, and one more pass evaluates the last θ, so the L that is reported belongs to the
parameters that are returned. The objective is L plus the prior's penalty; it never falls.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from gaussmix.mixture import Collapse, Mixture, m_step
from gaussmix.priors import PseudoRows
from gaussmix.rows import Block, Source
from gaussmix.statistics import Statistics

CONVERGED = "converged"
MAX_ITER = "max_iter"
COLLAPSED = "collapsed"


@dataclass(frozen=True)
class Plan:
    """What stays the same during a run.

    Attributes
    ----------
    prior : PseudoRows
    tol : float
        Stop when the objective gains less than this many nats per row.
    max_iter : int
        M-steps at most.
    equal_weights : bool
        Hold π_k = 1/K.
    n_threads : int
        Threads of a fold; no result depends on it.
    """

    prior: PseudoRows
    tol: float = 1e-3
    max_iter: int = 100
    equal_weights: bool = False
    n_threads: int = 1


@dataclass(frozen=True)
class Run:
    """One start and where it got to.

    Attributes
    ----------
    candidate : Mixture or None
        θ that the next pass evaluates; None when the run has ended.
    mixture : Mixture or None
        The last θ that was evaluated; `log_likelihoods[-1]` is its L.
    log_likelihoods, objectives : tuple of float
        L and L + penalty of each evaluated θ, in nats.
    reason : str
        Why it ended: "converged", "max_iter", "collapsed"; empty while it lives.
    """

    candidate: Mixture | None
    mixture: Mixture | None = None
    log_likelihoods: tuple[float, ...] = ()
    objectives: tuple[float, ...] = ()
    reason: str = ""

    @property
    def n_iter(self) -> int:
        """M-steps that led to `mixture`."""
        return max(len(self.objectives) - 1, 0)


@dataclass(frozen=True)
class State:
    """All that the loop carries from pass to pass."""

    runs: tuple[Run, ...]
    plan: Plan


@dataclass(frozen=True)
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
    degenerate : tuple of int
        Components that describe too few rows, see `gaussmix.degeneracy`.
    remarks : tuple of str
        What a user should know about this fit, in sentences.
    start_log_likelihoods : tuple of float
        Where each start ended; −inf for one that collapsed.
    """

    mixture: Mixture
    reason: str
    log_likelihoods: tuple[float, ...]
    objectives: tuple[float, ...]
    weight: float
    degenerate: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()
    start_log_likelihoods: tuple[float, ...] = field(default=())

    @property
    def converged(self) -> bool:
        """Whether the objective's gain fell below ``tol``."""
        return self.reason == CONVERGED

    @property
    def n_iter(self) -> int:
        """M-steps of the run that is returned."""
        return len(self.objectives) - 1

    @property
    def log_likelihood(self) -> float:
        """L of eq. (6) at `mixture`, in nats."""
        return self.log_likelihoods[-1]

    @property
    def bic(self) -> float:
        """−2 L + p ln N; lower is better (Schwarz 1978)."""
        return -2 * self.log_likelihood + self.mixture.n_parameters * math.log(self.weight)

    @property
    def aic(self) -> float:
        """−2 L + 2 p; lower is better (Akaike 1974)."""
        return -2 * self.log_likelihood + 2 * self.mixture.n_parameters


class _Batch(tuple[Statistics, ...]):
    """Statistics of several runs over the same rows; adds elementwise."""

    def __add__(self, other: object) -> _Batch:
        return _Batch(a + b for a, b in zip(self, other, strict=True))  # type: ignore[call-overload]


def passes(source: Source, state: State) -> Iterator[State]:
    """One pass over the rows after the other, until every run has ended; yields the state after each."""
    while living := [run.candidate for run in state.runs if run.candidate is not None]:

        def step(block: Block, living: list[Mixture] = living) -> _Batch:
            return _Batch(mixture.fold(*block, state.plan.n_threads) for mixture in living)

        folded = iter(source.fold(step))
        runs = (run if run.candidate is None else _advance(run, next(folded), state.plan) for run in state.runs)
        state = replace(state, runs=tuple(runs))
        yield state


def _advance(run: Run, statistics: Statistics, plan: Plan) -> Run:
    """What one pass taught a run: L of its candidate, and the next candidate or why there is none."""
    mixture = run.candidate
    assert mixture is not None
    objective = statistics.log_likelihood + plan.prior.penalty(mixture.whitening, mixture.n_components)
    if not math.isfinite(objective):
        return replace(run, candidate=None, reason=COLLAPSED)
    gain = objective - run.objectives[-1] if run.objectives else math.inf
    run = Run(
        candidate=None,
        mixture=mixture,
        log_likelihoods=(*run.log_likelihoods, statistics.log_likelihood),
        objectives=(*run.objectives, objective),
    )
    if abs(gain) < plan.tol * statistics.weight:
        return replace(run, reason=CONVERGED)
    if run.n_iter >= plan.max_iter:
        return replace(run, reason=MAX_ITER)
    following = m_step(statistics, mixture, plan.prior, plan.equal_weights)
    if isinstance(following, Collapse):
        return replace(run, reason=COLLAPSED)
    return replace(run, candidate=following)
