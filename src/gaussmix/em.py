"""The one EM loop: E-step and M-step in turn, until nothing changes.

A pass at θ_t yields the statistics and L(θ_t); the M-step makes θ_{t+1} of them, eqs. (7), (8), (11). `passes`
yields a frozen `State` after each pass; progress, checkpoints and Ctrl-C only consume it, and to resume is to
start from a State. Several starts are one tuple of runs: each visit to the rows folds every one that still lives.

`max_iter` counts M-steps, and one more pass evaluates the last θ, so the L that is reported belongs to the
parameters that are returned. The objective is L plus the prior's penalty; it never falls: a step that
`gaussmix.acceleration` proposed is taken back when it does not rise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from gaussmix.acceleration import STRIDE, Pass, extrapolated, memory, remaining_gain
from gaussmix.maximisation import m_step
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
from gaussmix.rows import Block, Source
from gaussmix.statistics import Statistics

CONVERGED = "converged"
MAX_ITER = "max_iter"
COLLAPSED = "collapsed"


class Plan(NamedTuple):
    """What stays the same during a run.

    Attributes
    ----------
    prior : Prior
    tol : float
        Nats per row: stop when the last plain EM step gained less and all that are still to come less than a tenth.
    max_iter : int
        M-steps at most.
    equal_weights : bool
        Hold π_k = 1/K.
    n_threads : int
        Threads of a fold; no result depends on it.
    accelerated : bool
        Whether to take longer steps than plain EM, see `gaussmix.acceleration`.
    stride : float
        How long: the shorter, the more surely in plain EM's own optimum.
    """

    prior: Prior
    tol: float = 1e-3
    max_iter: int = 100
    equal_weights: bool = False
    n_threads: int = 1
    accelerated: bool = True
    stride: float = STRIDE


class Run(NamedTuple):
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
    n_iter : int
        M-steps so far, those that were taken back included.
    used : Statistics or None
        What the candidate was made of; None for a first one.
    made_of, folded : Statistics or None
        What `mixture` was made of, and what the pass at it gave.
    earlier : tuple of pairs of Statistics
        The same of the passes before it, the last ones of an accelerated run.
    gains : tuple of float
        Gains of the last plain EM steps in a row.
    trial : bool
        Whether the candidate was made of extrapolated statistics.
    """

    candidate: Mixture | None
    mixture: Mixture | None = None
    log_likelihoods: tuple[float, ...] = ()
    objectives: tuple[float, ...] = ()
    reason: str = ""
    n_iter: int = 0
    used: Statistics | None = None
    made_of: Statistics | None = None
    folded: Statistics | None = None
    earlier: tuple[Pass, ...] = ()
    gains: tuple[float, ...] = ()
    trial: bool = False


class State(NamedTuple):
    """All that the loop carries from pass to pass."""

    runs: tuple[Run, ...]
    plan: Plan


class _Batch(tuple[Statistics, ...]):
    """Statistics of several runs over the same rows; adds elementwise."""

    def __add__(self, other: object) -> _Batch:
        return _Batch(a + b for a, b in zip(self, other, strict=True))  # type: ignore[call-overload]


def passes(source: Source, state: State) -> Iterator[State]:
    """One pass over the rows after the other, until every run has ended; yields the state after each."""
    plan = state.plan
    while living := [run.candidate for run in state.runs if run.candidate is not None]:

        def step(block: Block, living: list[Mixture] = living) -> _Batch:
            rows, weights, memo = block
            return _Batch([mixture.fold(rows, weights, memo, plan.n_threads) for mixture in living])

        folded = iter(source.fold(step))
        runs = [run if run.candidate is None else _advance(run, next(folded), plan) for run in state.runs]
        state = State(tuple(runs), plan)
        yield state


def final(source: Source, state: State) -> State:
    """The state after the last pass."""
    for after in passes(source, state):
        state = after
    return state


def resumed(run: Run, plan: Plan) -> Run:
    """A run that ended at `max_iter` goes on from its last pass under another plan; one that ended otherwise stays."""
    if run.reason != MAX_ITER or run.folded is None:
        return run
    lately = run._replace(log_likelihoods=run.log_likelihoods[-1:], objectives=run.objectives[-1:], n_iter=0)
    return _next(lately, plan)


def hoped(run: Run, recent: int, times: float) -> float:
    """An L that a run hardly exceeds: so many ``times`` more than it gained in its ``recent`` last passes."""
    lately = run.log_likelihoods[-1 - recent :]
    return lately[-1] + times * (lately[-1] - lately[0])


def _advance(run: Run, statistics: Statistics, plan: Plan) -> Run:
    """What one pass taught a run: L of its candidate, and the next candidate or why there is none."""
    mixture = run.candidate
    assert mixture is not None
    _, whitening, log_root = mixture.prepared
    objective = statistics.log_likelihood + plan.prior.log_density(mixture.means, whitening, log_root)
    gain = objective - run.objectives[-1] if run.objectives else math.inf
    if run.trial and not gain > 0:
        return _next(run, plan)
    if not math.isfinite(objective):
        return run._replace(candidate=None, reason=COLLAPSED)
    # The first pass gains nothing: there is no objective before it.
    gains = (run.gains + (gain,))[-2:] if run.objectives and not run.trial else ()
    rounding = 4 * 2.0**-52 * abs(objective)  # what the objective may change by rounding alone
    # In the order of its fields: names would take as long again as all of them.
    after = Run(
        None,
        mixture,
        run.log_likelihoods + (statistics.log_likelihood,),
        run.objectives + (objective,),
        CONVERGED if _converged(gains, rounding, plan, statistics.weight) else "",
        run.n_iter,
        run.used,
        run.used,
        statistics,
        _passes(run)[-memory(statistics) :] if plan.accelerated else (),
        gains,
    )
    if after.reason:
        return after
    # A plain step when the last one gained so little that two of them may tell that this is the end.
    testing = gain < max(0.1 * plan.tol * statistics.weight, rounding) and len(gains) < 2
    return _next(after, plan, longer=plan.accelerated and not testing)


def _passes(run: Run) -> tuple[Pass, ...]:
    """(u, g) of the last passes, without a first one, whose θ was made of no statistics."""
    if run.made_of is None or run.folded is None:
        return run.earlier
    return run.earlier + ((run.made_of, run.folded),)


def _converged(gains: tuple[float, ...], rounding: float, plan: Plan, weight: float) -> bool:
    """Whether the last plain EM step gained less than tol, and those to come less than a tenth of it."""
    if not gains or gains[-1] > max(plan.tol * weight, rounding):
        return False
    if gains[-1] <= rounding or plan.max_iter == 1:  # of one step in all, one gain is all there is
        return True
    return remaining_gain(gains) < 0.1 * plan.tol * weight


def _next(run: Run, plan: Plan, longer: bool = False) -> Run:
    """The run with its next candidate, of EM's own step, or of a longer one if that is wanted and has an M-step."""
    if run.n_iter >= plan.max_iter:
        return run._replace(candidate=None, trial=False, reason=MAX_ITER)
    assert run.folded is not None and run.mixture is not None
    proposed = extrapolated(_passes(run), run.mixture, plan.stride) if longer and run.earlier else None
    for used in (run.folded,) if proposed is None else (proposed, run.folded):
        candidate = m_step(used, run.mixture, plan.prior, plan.equal_weights)
        if isinstance(candidate, Mixture):
            return Run(
                candidate,
                run.mixture,
                run.log_likelihoods,
                run.objectives,
                "",
                run.n_iter + 1,
                used,
                run.made_of,
                run.folded,
                run.earlier,
                run.gains,
                used is proposed,
            )
    return run._replace(candidate=None, trial=False, reason=COLLAPSED)
