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
from dataclasses import dataclass
from typing import Any, TypeVar

from gaussmix.acceleration import STRIDE, Pass, extrapolated, memory, remaining_gain
from gaussmix.maximisation import m_step
from gaussmix.mixture import Mixture
from gaussmix.priors import Prior
from gaussmix.rows import Block, Source
from gaussmix.statistics import Statistics

CONVERGED = "converged"
MAX_ITER = "max_iter"
COLLAPSED = "collapsed"

T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
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


@dataclass(frozen=True, init=False)
class State:
    """All that the loop carries from pass to pass."""

    runs: tuple[Run, ...]
    plan: Plan

    def __init__(self, runs: tuple[Run, ...], plan: Plan) -> None:
        self.__dict__.update(runs=runs, plan=plan)  # see `Statistics`


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
    last = {"log_likelihoods": run.log_likelihoods[-1:], "objectives": run.objectives[-1:]}
    return _next(changed(run, reason="", n_iter=0, **last), plan)


def hoped(run: Run, recent: int, times: float) -> float:
    """An L that a run hardly exceeds: so many ``times`` more than it gained in its ``recent`` last passes."""
    lately = run.log_likelihoods[-1 - recent :]
    return lately[-1] + times * (lately[-1] - lately[0])


def changed(value: T, **changes: Any) -> T:
    """A run or a plan with some fields changed, as `dataclasses.replace` does it, at a tenth of its time."""
    made: T = object.__new__(type(value))
    # Of a dictionary of its own: fields in one that shares its keys with others take four times as long to read.
    made.__dict__.update({**value.__dict__, **changes})
    return made


def _set(run: Run, **changes: Any) -> Run:
    """The run itself with some fields changed, before anybody else holds it."""
    run.__dict__.update(changes)
    return run


def _advance(run: Run, statistics: Statistics, plan: Plan) -> Run:
    """What one pass taught a run: L of its candidate, and the next candidate or why there is none."""
    mixture = run.candidate
    assert mixture is not None
    _, whitening, log_root = mixture.prepared
    objective = statistics.log_likelihood + plan.prior.log_density(mixture.means, whitening, log_root)
    gain = objective - run.objectives[-1] if run.objectives else math.inf
    if run.trial and not gain > 0:
        return _next(changed(run), plan)
    if not math.isfinite(objective):
        return changed(run, candidate=None, reason=COLLAPSED)
    after = changed(
        run,
        mixture=mixture,
        log_likelihoods=run.log_likelihoods + (statistics.log_likelihood,),
        objectives=run.objectives + (objective,),
        made_of=run.used,
        folded=statistics,
        earlier=_passes(run)[-memory(statistics) :] if plan.accelerated else (),
        # The first pass gains nothing: there is no objective before it.
        gains=(run.gains + (gain,))[-2:] if run.objectives and not run.trial else (),
    )
    rounding = 4 * 2.0**-52 * abs(objective)  # what the objective may change by rounding alone
    if _converged(after.gains, rounding, plan, statistics.weight):
        return _set(after, candidate=None, reason=CONVERGED)
    # A plain step when the last one gained so little that two of them may tell that this is the end.
    testing = gain < max(0.1 * plan.tol * statistics.weight, rounding) and len(after.gains) < 2
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
    """The run, which nobody else holds yet, with its next candidate.

    That is of EM's own step, or of a longer one if that is wanted and has an M-step.
    """
    if run.n_iter >= plan.max_iter:
        return _set(run, candidate=None, trial=False, reason=MAX_ITER)
    assert run.folded is not None and run.mixture is not None
    proposed = extrapolated(_passes(run), run.mixture, plan.stride) if longer and run.earlier else None
    for used in (run.folded,) if proposed is None else (proposed, run.folded):
        candidate = m_step(used, run.mixture, plan.prior, plan.equal_weights)
        if isinstance(candidate, Mixture):
            return _set(run, candidate=candidate, used=used, trial=used is proposed, n_iter=run.n_iter + 1)
    return _set(run, candidate=None, trial=False, reason=COLLAPSED)
