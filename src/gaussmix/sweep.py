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
from dataclasses import replace

from gaussmix import em, families
from gaussmix.degeneracy import degenerate_components
from gaussmix.em import Plan, Run, State
from gaussmix.mixture import Mixture
from gaussmix.rows import Source
from gaussmix.shared_starts import SharedStarts, begun
from gaussmix.statistics import Statistics

Cell = tuple[int, str]
Rank = tuple[bool, bool, float]

# M-steps of a brief run and of a glance.
BRIEF = 6
GLANCE = 3
# Passes after which a run must be sound to go on.
LEAVING = 12
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
        self.dense = any(len(families.get(name).structure.moment_shape(2, 2)) == 3 for name in names)
        first = (1, self.names[0])
        self.starts = SharedStarts(source, plan_of(*first), blank_of(*first), self.dense, seed)
        self.runs: dict[Cell, list[Run]] = {}
        self._lent: dict[Cell, Statistics] = {}
        self._sound: dict[int, tuple[Run, bool]] = {}

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
        return max(self.runs[cell], key=lambda run: self._rank(run, cell), default=None)

    def _fit(self, cell: Cell, shared: list[Statistics]) -> None:
        """From the first of the classes, and from the best of the other starts after some steps, to the end."""
        plan, blank = self.plan_of(*cell), self.blank_of(*cell)
        starts = [mixture for each in shared for mixture in begun(each, blank, plan)]
        others = self._brief(starts[1:] + self._split(cell), cell, BRIEF)
        ranked = sorted(others, key=lambda run: self._is_sound(run, cell), reverse=True)
        self.runs[cell] = self._run(starts[:1] + [_of(run) for run in ranked[:1]], cell, plan)
        self._lend(cell)

    def _split(self, cell: Cell) -> list[Mixture]:
        """The start from one component fewer, if that was fitted."""
        k, name = cell
        if (k - 1, name) not in self._lent or k > self.source.n_rows:
            return []
        plan, blank = self.plan_of(*cell), self.blank_of(*cell)
        halved = self.starts.splits(self._lent[k - 1, name])
        starts = [mixture for each in halved for mixture in begun(each, blank, plan)]
        return [_of(run) for run in self._brief(starts, cell, GLANCE)[:1]]

    # ---- lending -----------------------------------------------------------------------------------------------

    def _lend_round(self, cells: Iterable[Cell]) -> None:
        """Every cell looks at the solutions of its neighbours; again at those that became better by that."""
        changed = [cell for cell in cells if cell in self._lent and cell[0] > 1]
        for _ in range(ROUNDS):
            lenders, changed = set(changed), []
            for k, name in ((k, name) for k in {k for k, _ in lenders} for name in self.names):
                near = [(k, other) for other in _neighbours(name, self.names) if (k, other) in lenders]
                if near and self._borrow((k, name), near):
                    changed.append((k, name))

    def _borrow(self, cell: Cell, lenders: list[Cell]) -> bool:
        """Go on from the best of the lent solutions where it promises something; whether it was better."""
        plan, blank, best = self.plan_of(*cell), self.blank_of(*cell), self.best(cell)
        own = self._rank(best, cell) if best else (False, False, -math.inf)
        starts = [mixture for lender in lenders for mixture in begun(self._lent[lender], blank, plan)]
        runs = self._brief(starts, cell, GLANCE)[:1]
        enough = own[2] - SLACK * self.source.weight if own[:2] == (True, True) else -math.inf
        if not runs or runs[0].log_likelihoods[-1] < enough:
            return False
        ended = self._run([_of(runs[0])], cell, plan)
        self.runs[cell] += ended
        if not ended or self._rank(ended[0], cell) <= (*own[:2], own[2] + BETTER):
            return False
        self._lend(cell)
        return True

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

    def _brief(self, starts: list[Mixture], cell: Cell, n_steps: int) -> list[Run]:
        """The starts after some plain EM steps, best first."""
        plan = self.plan_of(*cell)
        runs = self._run(starts, cell, replace(plan, max_iter=min(n_steps, plan.max_iter), memory=0))
        return sorted(runs, key=lambda run: -run.log_likelihoods[-1])

    def _run(self, starts: list[Mixture], cell: Cell, plan: Plan) -> list[Run]:
        """A batch through the one loop; those that were evaluated at least once.

        A run that is degenerate after `LEAVING` passes seldom leaves that, and creeps: it ends there.
        """
        state = State(tuple(Run(mixture) for mixture in starts), plan)
        for passes, after in enumerate(em.passes(self.source, state), start=1):
            state = after
            if passes == LEAVING:
                break
        state = replace(state, runs=tuple(self._ended_if_degenerate(run, cell) for run in state.runs))
        for after in em.passes(self.source, state):
            state = after
        return [run for run in state.runs if run.mixture is not None]

    def _ended_if_degenerate(self, run: Run, cell: Cell) -> Run:
        if run.candidate is None or self._is_sound(run, cell):
            return run
        return replace(run, candidate=None, reason=em.COLLAPSED)

    def _rank(self, run: Run, cell: Cell) -> Rank:
        return run.reason != em.COLLAPSED, self._is_sound(run, cell), run.log_likelihoods[-1]

    def _is_sound(self, run: Run, cell: Cell) -> bool:
        if id(run) not in self._sound:
            assert run.mixture is not None and run.folded is not None
            degenerate = degenerate_components(run.mixture, run.folded, self.plan_of(*cell).prior)
            self._sound[id(run)] = run, not degenerate
        return self._sound[id(run)][1]


def _of(run: Run) -> Mixture:
    assert run.mixture is not None
    return run.mixture


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
