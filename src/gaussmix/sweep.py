"""The sweep over all cells, components × families: where each starts, and what its neighbours lend it.

A cell starts from hierarchical classes, which all families share, and from the best, after some steps, of k-means
classes and the solution of its own family with one component fewer, that component split which gains most. Then
families that differ in one letter (volume, shape or orientation) lend each other their solutions: an M-step from a
neighbour's statistics, and EM from there where that comes near what the cell has. Every cell keeps the best sound of
its runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

from gaussmix import em, families
from gaussmix.acceleration import remaining_gain
from gaussmix.degeneracy import Degeneracy
from gaussmix.em import Plan, Run, State
from gaussmix.mixture import Mixture
from gaussmix.outcome import Rank, rank
from gaussmix.rows import Source
from gaussmix.shared_starts import SharedStarts, begun
from gaussmix.statistics import Statistics

Cell = tuple[int, str]

# M-steps of a brief run, of a look at the best of what neighbours lend, and of a glance at starts; those that are
# highest at once get a glance: of the K splits of a solution a part, of the lent solutions three.
BRIEF = 1
LOOK = 2
GLANCE = 1
SPLITS = 1 / 3
LENT = 3
# Passes after which a run must be sound to go on, and ends, then and every few passes, when it has fallen so far behind
# another that it would have to gain `HOPE` times what it gained in its `RECENT` last passes.
LEAVING, OFTEN = 12, 3
HOPE = 10
RECENT = 6
# Nats per row below its own at which a neighbour's solution may still become better; nats that make it so.
SLACK = 0.02
BETTER = 0.01
# How often solutions are lent in turn.
ROUNDS = 2


class Sweep:
    """All cells of one source; ``plan_of`` and ``blank_of`` say how a cell is fitted and what it fits."""

    def __init__(
        self,
        source: Source,
        names: Sequence[str],
        plan_of: Callable[[int, str], Plan],
        blank_of: Callable[[int, str], Mixture],
        seed: int,
    ) -> None:
        self.source, self.names, self.plan_of, self.blank_of = source, tuple(names), plan_of, blank_of
        self._neighbours = {name: _neighbours(name, names) for name in names}
        self.dense = any(len(families.get(name).structure.moment_shape(2, 2)) == 3 for name in names)
        first = (1, self.names[0])
        self.starts = SharedStarts(source, plan_of(*first), blank_of(*first), self.dense, seed)
        self.runs: dict[Cell, list[Run]] = {}
        self._lent: dict[Cell, Statistics] = {}
        self._degeneracy = Degeneracy()

    def cells(self, counts: Iterable[int]) -> Iterator[Cell]:
        """Fit cell after cell, each number of components with all families; `runs` holds what was found."""
        for k in sorted(counts):
            shared = self.starts.classes(k) if k <= self.source.n_rows else []
            for name in self.names:
                self._fit((k, name), shared)
            self._lend_round((k, name) for name in self.names)
            yield from ((k, name) for name in self.names)

    def best(self, cell: Cell) -> Run | None:
        """The best run of a cell: sound ones first, then by L."""
        going = [run for run in self.runs[cell] if run.reason != em.COLLAPSED] or self.runs[cell]
        return self._first_sound(sorted(going, key=lambda run: -run.log_likelihoods[-1]), cell)

    def degenerate(self, run: Run, cell: Cell) -> tuple[int, ...]:
        """The degenerate components of one of its runs."""
        assert run.mixture is not None and run.folded is not None
        return self._degeneracy.of(run.mixture, run.folded, self.plan_of(*cell).prior)

    def _fit(self, cell: Cell, shared: list[Statistics]) -> None:
        """From the first of the classes, and from the best of the other starts after some steps, to the end."""
        plan = self.plan_of(*cell)
        starts = self._begun(shared, cell)
        others = self._brief(starts[1:] + self._split(cell), cell, BRIEF)
        second = self._first_sound(others, cell)
        self.runs[cell] = self._run(starts[:1] + ([second] if second else []), cell, plan)
        self._lend(cell)

    def _split(self, cell: Cell) -> list[Run]:
        """The start from one component fewer, if that was fitted."""
        k, name = cell
        if (k - 1, name) not in self._lent or k > self.source.n_rows:
            return []
        halved = self.starts.splits(self._lent[k - 1, name])
        likely = self._brief(self._begun(halved, cell), cell, 0)[: 1 + int(SPLITS * k)]
        return self._brief(likely, cell, GLANCE)[:1]

    def _begun(self, shared: Iterable[Statistics], cell: Cell) -> list[Run]:
        """Runs that start from statistics, without those that have no M-step."""
        plan, blank = self.plan_of(*cell), self.blank_of(*cell)
        return [Run(mixture) for each in shared for mixture in begun(each, blank, plan)]

    # ---- lending -----------------------------------------------------------------------------------------------

    def _lend_round(self, cells: Iterable[Cell]) -> None:
        """Every cell looks at the solutions of its neighbours; again at those that became better by that."""
        changed = [cell for cell in cells if cell in self._lent and cell[0] > 1]
        for _ in range(ROUNDS):
            lenders, changed = set(changed), []
            for k, name in ((k, name) for k in {k for k, _ in lenders} for name in self.names):
                near = [(k, other) for other in self._neighbours[name] if (k, other) in lenders]
                if near and self._borrow((k, name), near):
                    changed.append((k, name))

    def _borrow(self, cell: Cell, lenders: list[Cell]) -> bool:
        """Go on from the best of the lent solutions where it promises something; whether it was better."""
        best = self.best(cell)
        own = self._rank(best, cell) if best else (False, False, -math.inf)
        reached = own[2] if own[:2] == (True, True) else -math.inf
        likely = self._brief(self._begun((self._lent[each] for each in lenders), cell), cell, 0)[:LENT]
        looked = self._brief(self._brief(likely, cell, GLANCE)[:1], cell, LOOK)
        if not looked or not self._promising(looked[0], reached):
            return False
        ended = self._run(looked, cell, self.plan_of(*cell), reached)
        self.runs[cell] += ended
        if not ended or self._rank(ended[0], cell) <= (*own[:2], own[2] + BETTER):
            return False
        self._lend(cell)
        return True

    def _promising(self, run: Run, reached: float) -> bool:
        """Whether a run of plain EM steps may end above the L that was reached."""
        left = max(2 * remaining_gain(run.gains), 0.0)
        near = run.log_likelihoods[-1] >= reached - SLACK * self.source.weight
        return near and run.log_likelihoods[-1] + left > reached + BETTER

    def _lend(self, cell: Cell) -> None:
        """The statistics at the solution of a cell, second moments as full as any family needs."""
        best = self.best(cell)
        if best is None or best.mixture is None or best.folded is None:
            return
        folded = best.folded
        if self.dense and folded.second.shape != (*folded.origin.shape, folded.origin.shape[1]):
            wide, n_threads = _written_out(best.mixture), self.plan_of(*cell).n_threads
            folded = self.source.fold(lambda block: wide.fold(*block, n_threads))
        self._lent[cell] = folded

    # ---- running -----------------------------------------------------------------------------------------------

    def _brief(self, runs: list[Run], cell: Cell, n_steps: int) -> list[Run]:
        """The runs after some plain EM steps, best first."""
        plan = self.plan_of(*cell)
        plan = plan._replace(max_iter=min(n_steps, plan.max_iter), accelerated=False)
        ended = em.final(self.source, _begin(runs, plan)).runs
        return sorted((run for run in ended if run.mixture), key=lambda run: -run.log_likelihoods[-1])

    def _run(self, runs: Sequence[Run], cell: Cell, plan: Plan, reached: float = -math.inf) -> list[Run]:
        """A batch through the one loop; those that were evaluated at least once.

        A run that is degenerate after `LEAVING` passes seldom leaves that, and creeps: it ends there. So does one that
        falls behind another or behind the L that was ``reached`` before.
        """
        state, passes = _begin(runs, plan), LEAVING
        while any(run.candidate for run in state.runs):
            for after in islice(em.passes(self.source, state), passes):
                state = after
            runs = state.runs
            if passes == LEAVING:
                runs = [self._ended_if_degenerate(run, cell) for run in runs]
            state, passes = State(self._without_losers(runs, reached), plan), OFTEN
        return [run for run in state.runs if run.mixture is not None]

    def _ended_if_degenerate(self, run: Run, cell: Cell) -> Run:
        if run.candidate is None or not self.degenerate(run, cell):
            return run
        return run._replace(candidate=None, reason=em.COLLAPSED)

    def _without_losers(self, runs: Sequence[Run], reached: float) -> tuple[Run, ...]:
        """The runs, ended where they fell behind the best."""
        going = [run for run in runs if run.reason != em.COLLAPSED]
        best = max([reached, *(run.log_likelihoods[-1] for run in going)])
        return tuple(
            run._replace(candidate=None, reason=em.MAX_ITER)
            if run.candidate and em.hoped(run, RECENT, HOPE) < best
            else run
            for run in runs
        )

    def _first_sound(self, runs: list[Run], cell: Cell) -> Run | None:
        """The first sound one of the runs; the first of all when none is."""
        return next((run for run in runs if not self.degenerate(run, cell)), runs[0] if runs else None)

    def _rank(self, run: Run, cell: Cell) -> Rank:
        return rank(run, self.degenerate(run, cell))


def _begin(runs: Iterable[Run], plan: Plan) -> State:
    """New runs, and those that ended at their last step and go on."""
    return State(tuple(em.resumed(run, plan) for run in runs), plan)


def _neighbours(name: str, names: Iterable[str]) -> list[str]:
    """The families among ``names`` that differ from one in a single letter."""
    own = families.get(name).name
    return [
        each for each in names if sum(a != b for a, b in zip(families.get(each).name, own, strict=True)) == 1
    ]


def _written_out(mixture: Mixture) -> Mixture:
    """The same mixture as one of family VVV, whose pass yields moments that every family can use."""
    return Mixture.unchecked(
        mixture.weights,
        mixture.means,
        mixture.full_covariances,
        "VVV",
        mixture.noise_weight,
        mixture.noise_density,
        noise_log_density=mixture.noise_log_density,
    )
